package checks_test

import (
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gatepost/checks"
	"gatepost/config"
	"gatepost/policy"
)

// manual is the package comment of a check.
func manual(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		if f.Doc != nil && strings.Contains(f.Doc.Text(), "[check.") {
			return f.Doc.Text()
		}
	}
	t.Fatalf("%s has no manual page with a [check.NAME]", dir)
	return ""
}

// example is the TOML in a manual page: the indented lines from the first [check.NAME] to the end of that block.
func example(doc string) string {
	var b strings.Builder
	in := false
	for _, line := range strings.Split(doc, "\n") {
		text, indented := strings.CutPrefix(line, "\t")
		if indented && strings.HasPrefix(text, "[check.") {
			in = true
		}
		if in && !indented && strings.TrimSpace(line) != "" {
			in = false
		}
		if in {
			b.WriteString(text + "\n")
		}
	}
	return b.String()
}

const minimal = "hostname = \"mx.example.com\"\n[backend.main]\naddress = [\"127.0.0.1:10026\"]\ndomains = [\"example.com\"]\n"

// TestManualsLoad: the example of every check's manual page is a config that loads, and says of the check's outcomes what is true by default.
func TestManualsLoad(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	dirs := []string{"../greylist"}
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, e.Name())
		}
	}
	seen := map[string]bool{}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			text := example(manual(t, dir))
			c, err := config.Parse(filepath.Base(dir)+".toml", []byte(minimal+text), checks.Kinds())
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			for _, k := range c.Checks {
				if strings.Contains(text, "[check."+k.Name+"]") {
					seen[k.Name] = true
					defaults(t, k)
				}
			}
		})
	}
	for _, k := range checks.Kinds() {
		if !seen[k.Name] {
			t.Errorf("no manual page shows [check.%s]", k.Name)
		}
	}
}

// defaults compares the `on` of an example with the check's own.
func defaults(t *testing.T, k config.Check) {
	kinds := checks.Kinds()
	kind := kinds[slices.IndexFunc(kinds, func(x policy.Kind) bool { return x.Name == k.Name })]
	for outcome, action := range k.On {
		if kind.Outcomes[outcome] != action {
			t.Errorf("the example has %s = %s, the default is %s", outcome, action, kind.Outcomes[outcome])
		}
	}
}

// TestTable: each entry makes a check of its kind's name.
func TestTable(t *testing.T) {
	for _, e := range checks.Table() {
		var settings any
		if e.Settings != nil {
			settings = e.Settings()
		}
		c, err := e.New(settings, checks.Deps{Log: slog.New(slog.DiscardHandler), StateDir: t.TempDir()})
		if c, ok := c.(io.Closer); ok {
			defer c.Close()
		}
		if err != nil || c.Name() != e.Name {
			t.Errorf("%s: %v, %v", e.Name, c, err)
		}
	}
}
