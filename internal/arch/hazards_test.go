package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// hazards is how many there are.
const hazards = 87

var (
	hazardRow = regexp.MustCompile(`(?m)^\| (\d+) \| [^|]+ \| (.+) \|$`)
	quoted    = regexp.MustCompile("`([^`]+)`")
)

// TestHazardsPage holds docs/hazards.md to what is there: each hazard has its row, and each row names tests that exist, or says
// that there are none.
func TestHazardsPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "hazards.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := hazardRow.FindAllStringSubmatch(string(page), -1)
	if len(rows) != hazards {
		t.Errorf("%d rows, want %d", len(rows), hazards)
	}
	for i, row := range rows {
		if row[1] != strconv.Itoa(i+1) {
			t.Errorf("row %d is of hazard %s", i+1, row[1])
		}
		if !strings.Contains(row[2], "`") && row[2] != "none" && row[2] != "not built yet" {
			t.Errorf("hazard %s names no test: %s", row[1], row[2])
		}
	}
	for _, name := range quoted.FindAllStringSubmatch(string(page), -1) {
		if why := missing(name[1]); why != "" {
			t.Errorf("%s: %s", name[1], why)
		}
	}
}

// TestMissing sees that a slip in the page shows.
func TestMissing(t *testing.T) {
	for name, found := range map[string]bool{
		"internal/arch/hazards_test.go": true, "internal/arch/hazards_test.go:TestMissing": true, "internal/arch/*_test.go": true, "testdata/sessions": true,
		"internal/arch/nothing_test.go": false, "internal/arch/hazards_test.go:TestNothing": false, "internal/arch/hazards_test.go:TestMiss": false,
		"internal/arch/nothing-*.go": false, "internal/arch/hazards_test.go:TestMissing/" + strings.Repeat("no ", 3): false,
		"testdata/policy/spf.txt:no such case":                                   false,
		"internal/arch/hazards_test.go:TestMissing/TestMissing sees that a slip": false, "proxy/routes_test.go:TestRoute/an address in full width": true,
	} {
		if why := missing(name); (why == "") != found {
			t.Errorf("%s: %q, want found %v", name, why, found)
		}
	}
}

// missing says what of "FILE", "FILE:TEST", "FILE:TEST/CASE" or "GOLDEN:CASE" is not there; "" where all is. FILE may be a pattern.
func missing(name string) string {
	path, part, named := strings.Cut(name, ":")
	files, err := filepath.Glob(filepath.Join(root, path))
	if err != nil || len(files) == 0 {
		return "no such file"
	}
	if !named {
		return ""
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		return err.Error()
	}
	text := string(b)
	if !strings.HasSuffix(path, ".go") {
		if !strings.Contains(text, "\n-- envelope "+part+" --\n") {
			return "no such case"
		}
		return ""
	}
	test, sub, _ := strings.Cut(part, "/")
	if !strings.Contains(text, "\nfunc "+test+"(") {
		return "no such function"
	}
	if sub != "" && !strings.Contains(text, strconv.Quote(sub)) { // a comment that holds these words is no case
		return "no such case"
	}
	return ""
}
