package config

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

// sorts has a field of each sort that the binder knows and the sections so far do not use.
type sorts struct {
	Float   float64        `toml:"float"`
	Maybe   *bool          `toml:"maybe"`
	When    time.Time      `toml:"when"`
	Weights map[string]int `toml:"weights"`
	Address netip.Addr     `toml:"address"`
	Lists   [][]int        `toml:"lists"`
	Sizes   []int64        `toml:"sizes" unit:"size"`
	Words   []string       `toml:"words" oneof:"red green"`
	Tables  []prefixes     `toml:"tables"`
	Kept    string         `toml:"kept"`
}

func bindText(t *testing.T, text string, out any) error {
	t.Helper()
	var tree map[string]any
	if _, err := toml.Decode(text, &tree); err != nil {
		t.Fatal(err)
	}
	b := newBinder("f", places{text, scan(text)})
	b.table("", tree, out)
	if len(b.problems) == 0 {
		return nil
	}
	return b.problems.sorted()
}

func TestBind(t *testing.T) {
	yes := true
	tests := []struct {
		text string
		want sorts
	}{
		{`float = 1.5`, sorts{Float: 1.5}},
		{`float = 2`, sorts{Float: 2}},
		{`maybe = true`, sorts{Maybe: &yes}},
		{`when = 2027-01-31`, sorts{When: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)}},
		{`when = 2027-01-31T10:00:00`, sorts{When: time.Date(2027, 1, 31, 10, 0, 0, 0, time.UTC)}},
		{`when = 2027-01-31T10:00:00+02:00`, sorts{When: time.Date(2027, 1, 31, 8, 0, 0, 0, time.UTC)}},
		{`weights = { a = 1, "b.c" = -2 }`, sorts{Weights: map[string]int{"a": 1, "b.c": -2}}},
		{`address = "2001:db8::1"`, sorts{Address: netip.MustParseAddr("2001:db8::1")}},
		{`lists = [[1], [], [2, 3]]`, sorts{Lists: [][]int{{1}, {}, {2, 3}}}},
		{`sizes = ["1kB", "1KiB"]`, sorts{Sizes: []int64{1000, 1024}}},
		{`words = ["green", "red"]`, sorts{Words: []string{"green", "red"}}},
		{`tables = [{ ipv4 = 1 }, { ipv6 = 2 }]`, sorts{Tables: []prefixes{{IPv4: 1}, {IPv6: 2}}}},
		{"[[tables]]\nipv4 = 1\n[[tables]]\nipv6 = 2", sorts{Tables: []prefixes{{IPv4: 1}, {IPv6: 2}}}},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got := sorts{Kept: "before"}
			tt.want.Kept = "before"
			if err := bindText(t, tt.text, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestBindProblems(t *testing.T) {
	for text, want := range map[string]string{
		`float = "1.5"`:                    `f:1:9: float: expected a number, found "1.5"`,
		`when = 10:00:00`:                  `f:1:8: when: expected a date such as 2027-01-31, without quotes, found a date or time`,
		`weights = { a = 1, b = "x" }`:     `f:1:24: weights.b: expected a whole number, found "x"`,
		`weights = [1]`:                    `f:1:11: weights: expected a table, found a list`,
		`address = "mx"`:                   `f:1:11: address: ParseAddr("mx"): unable to parse IP`,
		`address = 1`:                      `f:1:11: address: expected text in quotes, found 1`,
		`lists = [[1], [2, true]]`:         `f:1:19: lists[1][1]: expected a whole number, found true`,
		`sizes = ["1kB", 2]`:               `f:1:17: sizes[1]: 2 has no unit: write "2B", "2KiB" or "2MB"`,
		`words = ["gren"]`:                 `f:1:10: words[0]: expected red or green, found "gren"; did you mean "green"?`,
		"[[tables]]\n[[tables]]\nipv5 = 2": `f:3:1: tables[1].ipv5: unknown key; did you mean "ipv4"?`,
		`kept = { a = 1 }`:                 `f:1:8: kept: expected text in quotes, found a table`,
		`Kept = "x"`:                       `f:1:1: Kept: unknown key; did you mean "kept"?`,
	} {
		if err := bindText(t, text, &sorts{}); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

// TestBindShared gives each key to the struct that knows it, and tells the keys of all in a problem.
func TestBindShared(t *testing.T) {
	var a prefixes
	var b zone
	tree := map[string]any{"ipv4": int64(1), "weight": int64(2), "zzzzz": int64(3)}
	r := newBinder("f", places{})
	r.table("", tree, &a, &b)
	if a.IPv4 != 1 || b.Weight != 2 {
		t.Errorf("got %+v and %+v", a, b)
	}
	if got := r.problems.Error(); !strings.Contains(got, "known here: ipv4, ipv6, weight") {
		t.Errorf("got %s", got)
	}
}
