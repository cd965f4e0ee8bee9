// Package arch holds the test of the import rules that keep the parts of gatepost apart.
package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "gatepost"
	root   = "../.."
)

// rules say which packages of ours a folder may import; a folder of a row is that folder and all below it. The first
// row that fits a package is its rule; "..." in what is allowed stands for all below.
var rules = []struct {
	folder string
	may    []string
}{
	{"policy", nil},
	{"resolver", nil},
	{"proxy/smtp", nil},
	{"proxy/backend", []string{"proxy/smtp"}},
	{"proxy", []string{"policy", "proxy/...", "resolver/idn"}},
	{"greylist", []string{"policy", "resolver", "resolver/idn", "internal/redisurl", "greylist/..."}},
	{"journal", []string{"policy"}},
	{"config", []string{"policy", "config/..."}},
	{"internal/socket", nil},
	{"internal/workers", nil},
	{"internal/redisurl", nil},
	{"internal", []string{"internal/..."}},
	{"cmd", []string{"..."}},
}

// common is what every folder may import: these import nothing but the standard library themselves.
var common = []string{"internal/socket", "internal/workers"}

// owners are the libraries that one folder alone names; internal holds what tests are made of.
var owners = map[string][]string{
	"github.com/BurntSushi/toml":     {"config"},
	"github.com/miekg/dns":           {"resolver", "internal"},
	"github.com/pires/go-proxyproto": {"proxy", "internal"},
	"github.com/spf13/cobra":         {"cmd"},
}

// standardOnly are the folders that name no library at all.
var standardOnly = []string{"policy", "proxy/smtp", "internal/socket", "internal/workers"}

// TestImports reads the imports of every file that is no test.
func TestImports(t *testing.T) {
	n := 0
	for folder, imports := range sources(t) {
		for _, path := range imports {
			n++
			if why := wrong(folder, path); why != "" {
				t.Errorf("%s imports %s: %s", folder, path, why)
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d imports were seen", n)
	}
}

// TestNoTestingInTheBinary: nothing that the binary links imports testing.
func TestNoTestingInTheBinary(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "./cmd/gatepost")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	linked := strings.Fields(string(out))
	if !slices.Contains(linked, module+"/proxy") {
		t.Errorf("only these were seen: %q", linked)
	}
	for _, path := range linked {
		if path == "testing" || strings.HasPrefix(path, "testing/") {
			t.Errorf("the binary links %s", path)
		}
	}
}

// TestRules holds the rules themselves to what the design says, so that a slip in them shows.
func TestRules(t *testing.T) {
	tests := []struct {
		folder, path string
		ok           bool
	}{
		{"policy", "strings", true},
		{"policy", "gatepost/resolver", false},
		{"policy", "gatepost/internal/workers", true},
		{"policy", "gatepost/internal/mailsink", false},
		{"internal/workers", "gatepost/policy", false},
		{"internal/workers", "gatepost/internal/mailsink", false},
		{"policy", "golang.org/x/net/idna", false},
		{"checks", "gatepost/checks/spf", true},
		{"checks/spf", "gatepost/policy", true},
		{"checks/spf", "gatepost/resolver", true},
		{"checks/spf", "blitiri.com.ar/go/spf", true},
		{"checks/spf", "gatepost/checks/dkim", false},
		{"checks/spf", "gatepost/proxy", false},
		{"checks/spf", "gatepost/config", false},
		{"checks/spf", "github.com/miekg/dns", false},
		{"greylist", "gatepost/checks/spf", false},
		{"greylist", "gatepost/resolver", true},
		{"greylist", "gatepost/internal/redisurl", true},
		{"greylist", "gatepost/internal/mailsink", false},
		{"proxy", "gatepost/policy", true},
		{"proxy", "gatepost/proxy/backend", true},
		{"proxy", "gatepost/checks", false},
		{"proxy", "gatepost/resolver", false},
		{"proxy", "gatepost/resolver/idn", true},
		{"proxy", "gatepost/config", false},
		{"proxy/smtp", "gatepost/policy", false},
		{"proxy/smtp", "golang.org/x/net/idna", false},
		{"proxy/backend", "gatepost/proxy", false},
		{"journal", "gatepost/policy", true},
		{"journal", "gatepost/proxy", false},
		{"config", "github.com/BurntSushi/toml", true},
		{"journal", "github.com/BurntSushi/toml", false},
		{"resolver", "github.com/miekg/dns", true},
		{"resolver", "gatepost/policy", false},
		{"cmd/gatepost", "gatepost/config", true},
		{"cmd/gatepost", "github.com/miekg/dns", false},
		{"elsewhere", "gatepost/policy", false},
	}
	for _, test := range tests {
		if why := wrong(test.folder, test.path); (why == "") != test.ok {
			t.Errorf("%s imports %s: %q, want ok %v", test.folder, test.path, why, test.ok)
		}
	}
}

// wrong says what speaks against an import; "" where nothing does.
func wrong(folder, path string) string {
	first, _, _ := strings.Cut(path, "/")
	if first != module {
		return wrongLibrary(folder, path, strings.Contains(first, "."))
	}
	target := strings.TrimPrefix(path, module+"/")
	if may, ok := allowed(folder); !ok {
		return "no rule knows this folder"
	} else if slices.Contains(common, target) {
		return ""
	} else if !slices.ContainsFunc(may, func(m string) bool { return fits(target, m) }) {
		return "allowed are " + strings.Join(may, ", ")
	}
	return ""
}

func wrongLibrary(folder, path string, foreign bool) string {
	within := func(f string) bool { return fits(folder, f) || fits(folder, f+"/...") }
	if foreign && slices.ContainsFunc(standardOnly, within) {
		return "the standard library only"
	}
	for library, folders := range owners {
		if (path == library || strings.HasPrefix(path, library+"/")) && !slices.ContainsFunc(folders, within) {
			return "only for " + strings.Join(folders, ", ")
		}
	}
	return ""
}

// allowed are the packages that a folder may import. The table of checks imports them all; a check imports none of the others.
func allowed(folder string) ([]string, bool) {
	switch {
	case folder == "checks":
		return []string{"policy", "resolver", "resolver/idn", "checks/...", "greylist/...", "greylist"}, true
	case fits(folder, "checks/..."):
		parts := strings.Split(folder, "/")
		return []string{"policy", "resolver", "resolver/idn", "internal/redisurl", "checks/" + parts[1] + "/..."}, true
	}
	for _, r := range rules {
		if fits(folder, r.folder) || fits(folder, r.folder+"/...") {
			return r.may, true
		}
	}
	return nil, false
}

// fits compares a folder with a pattern whose "..." stands for all below.
func fits(folder, pattern string) bool {
	if prefix, open := strings.CutSuffix(pattern, "..."); open {
		return strings.HasPrefix(folder, prefix)
	}
	return folder == pattern
}

// sources are the imports of each folder's files that are no tests.
func sources(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, e fs.DirEntry, err error) error {
		switch name := e.Name(); {
		case err != nil:
			return err
		case e.IsDir() && path != "." && (name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".")):
			return fs.SkipDir
		case e.IsDir(), !strings.HasSuffix(name, ".go"), strings.HasSuffix(name, "_test.go"):
			return nil
		}
		imports, err := importsOf(filepath.Join(root, path))
		folder := filepath.ToSlash(filepath.Dir(path))
		all[folder] = append(all[folder], imports...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func importsOf(file string) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, i := range f.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}
