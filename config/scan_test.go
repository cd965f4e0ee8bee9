package config

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

func TestScan(t *testing.T) {
	tests := []struct {
		name, text string
		want       map[string]string // line:column of key and of value
	}{
		{"plain", "a = 1\n  b='x' # = c\n", map[string]string{"a": "1:1 1:5", "b": "2:3 2:5"}},
		{"tables", "[a]\nb = 1\n[c . d]\ne = 2", map[string]string{
			"a": "1:2 1:1", "a.b": "2:1 2:5", "c": "3:2 3:2", "c.d": "3:6 3:1", "c.d.e": "4:1 4:5"}},
		{"table after its part", "[a.b]\n[a]\nc = 1", map[string]string{"a": "2:2 2:1", "a.b": "1:4 1:1", "a.c": "3:1 3:5"}},
		{"dotted", "a.b.c = 1\na.b.d = 2", map[string]string{
			"a": "1:1 1:1", "a.b": "1:3 1:3", "a.b.c": "1:5 1:9", "a.b.d": "2:5 2:9"}},
		{"quoted", `"a.b" = 1` + "\n" + `'c"\d' = 2` + "\n" + `"\u00e9\"" = 3`, map[string]string{
			`"a.b"`: "1:1 1:9", `"c\"\\d"`: "2:1 2:10", `"é\""`: "3:1 3:14"}},
		{"inline", "a = { b = 1, c.d = [2] }", map[string]string{
			"a": "1:1 1:5", "a.b": "1:7 1:11", "a.c": "1:14 1:14", "a.c.d": "1:16 1:20", "a.c.d[0]": "1:21 1:21"}},
		{"list over lines", "a = [\n  1, # one, ]\n  \"]\",\n]\nb = 2", map[string]string{
			"a": "1:1 1:5", "a[0]": "2:3 2:3", "a[1]": "3:3 3:3", "b": "5:1 5:5"}},
		{"text over lines", "a = \"\"\"\nb = 1 \\\"\"\"\"\"\nc = '''\n[d]''''\ne = 1", map[string]string{
			"a": "1:1 1:5", "c": "3:1 3:5", "e": "5:1 5:5"}},
		{"list of tables", "[[a]]\nb = 1\n[[a]]\n[a.c]\nb = 2", map[string]string{
			"a": "1:3 1:1", "a[0]": "1:3 1:1", "a[0].b": "2:1 2:5", "a[1]": "3:3 3:1", "a[1].c": "4:4 4:1", "a[1].c.b": "5:1 5:5"}},
		{"umlaut", `ü1 = 1`, map[string]string{}},
		{"date", "a = 2027-01-31 10:00:00\nb = 1", map[string]string{"a": "1:1 1:5", "b": "2:1 2:5"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := places{tt.text, scan(tt.text)}
			if _, err := toml.Decode(tt.text, new(map[string]any)); err != nil {
				return // only that it ends
			}
			got := map[string]string{}
			for path := range p.spots {
				l, c := p.key(path)
				vl, vc := p.value(path)
				got[path] = fmt.Sprintf("%d:%d %d:%d", l, c, vl, vc)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// pathsOf is every path of a decoded tree.
func pathsOf(path string, in any, to map[string]bool) {
	if path != "" {
		to[path] = true
	}
	switch v := in.(type) {
	case map[string]any:
		for key, in := range v {
			pathsOf(under(path, key), in, to)
		}
	case []any:
		for i, in := range v {
			pathsOf(element(path, i), in, to)
		}
	case []map[string]any:
		for i, in := range v {
			pathsOf(element(path, i), in, to)
		}
	}
}

// FuzzScan holds the scanner against the library: both must know the very same paths.
func FuzzScan(f *testing.F) {
	for _, text := range []string{
		Example(), "a.b = [1, { c = '''x''' }]\n[[d]]\n[d.e]\n\"f\\x41\" = 2027-01-31 10:00:00", "[a.b]\n[a]\n\"\" = {}",
		"a = \"\"\"\\\n \"\"\\\"\"\"\"\"\r\n#x\r\n'b.c'=[[],[[]],]", "a = { b = 1, # x\n c = 2,\n}", "1.2 = 3.4", "a\\", "[", "a = \"\\",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spots := scan(text)
		var tree map[string]any
		if _, err := toml.Decode(text, &tree); err != nil {
			return
		}
		want, got := map[string]bool{}, map[string]bool{}
		pathsOf("", tree, want)
		for path := range spots {
			got[path] = true
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("%q: -library +scanner\n%s", text, diff)
		}
	})
}
