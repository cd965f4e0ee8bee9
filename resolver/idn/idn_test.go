package idn

import (
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"Shop.Example": "shop.example", "_spf.a-b.example": "_spf.a-b.example", "BÜCHER.example": "xn--bcher-kva.example",
		"bücher。example": "xn--bcher-kva.example",
		"":               "", "a..b": "", ".a": "", "a.example.": "", "a b.example": "", "a.example;": "", "\xff.example": "", "[192.0.2.1]": "",
		"192.0.2.1": "", "2001:db8::1": "", "１９２.0.2.1": "", // by mapping an address
		"b\u0130g.example":            "xn--big-9dc.example", // a dotted capital I is another letter than I
		strings.Repeat("a", 64):       "",
		strings.Repeat("abc.", 64):    "",
		strings.Repeat("ü", 57):       "xn--td" + strings.Repeat("a", 57),
		strings.Repeat("ü", 58):       "",
		strings.Repeat("ü", 3) + ".a": "xn--tdaaa.a",
	} {
		got, ok := Canonical(in)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", in, got, ok, want)
		}
	}
}

// TestLongNamesAreNotMapped: the mapping takes quadratic time, seconds for a label of some ten KB.
func TestLongNamesAreNotMapped(t *testing.T) {
	for in, want := range map[string]bool{
		strings.Repeat("ü", 126):                              true,
		strings.Repeat("ü", 126) + "x":                        false,
		strings.Repeat(strings.Repeat("ü", 126)+".", 4):       true,
		strings.Repeat(strings.Repeat("ü", 126)+".", 4) + "x": false,
		strings.Repeat("ü.", 340):                             false,
	} {
		if got := mayBeMapped(in); got != want {
			t.Errorf("%d octets: %v", len(in), got)
		}
	}
}
