package resolver

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestCanonical(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	name253 := strings.Repeat(label63+".", 3) + strings.Repeat("b", 61)
	for _, c := range []struct{ name, want string }{
		{"example.com", "example.com"},
		{"Example.Com.", "example.com"},
		{"s1._domainkey.example.com", "s1._domainkey.example.com"},
		{"r3---sn.example.com", "r3---sn.example.com"},
		{"bücher.example", "xn--bcher-kva.example"},
		{"BÜCHER.Example.", "xn--bcher-kva.example"},
		{"_dmarc.bücher.example", "_dmarc.xn--bcher-kva.example"},
		{"bücher。example", "xn--bcher-kva.example"}, // an ideographic full stop is a dot
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{`a+b=c.example`, `a+b=c.example`},
		{`a"b\c(d).example`, `a\"b\\c\(d\).example`},
		{`a\046b.example`, `a\\046b.example`}, // no escape: a backslash and three digits
		{label63 + ".example", label63 + ".example"},
		{name253, name253},
		{name253 + ".", name253},

		{"", ""},
		{".", ""},
		{".example", ""},
		{"a..b", ""},
		{"a.b..", ""},
		{"a\tb.example", ""},
		{"a\x7fb.example", ""},
		{"a\xffb.example", ""},
		{"a\ufffdb.example", ""},
		{"a\u0000ü.example", ""},
		{label63 + "a.example", ""},
		{name253 + "b", ""},
		{strings.Repeat("ü", 80) + ".example", ""},
	} {
		got, ok := canonical(c.name)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%q: got %q, %v; want %q", c.name, got, ok, c.want)
		}
	}
}

// A name of a megabyte of different letters would take the mapping to A-labels minutes.
func TestLongNameTakesNoTime(t *testing.T) {
	var b strings.Builder
	for b.Len() < 1<<20 {
		for c := rune(0x4E00); c < 0x9FA0; c++ {
			b.WriteRune(c)
		}
	}
	if got, ok := canonical(b.String()); ok {
		t.Errorf("got %q", got)
	}
}

// Names are compared as text, so ours must look as the library's do.
func TestEscapesAsTheLibraryDoes(t *testing.T) {
	for c := byte(' '); c <= '~'; c++ {
		if c == '.' || 'A' <= c && c <= 'Z' {
			continue
		}
		name, ok := canonical("x" + string(c) + "y.example")
		if !ok {
			t.Fatalf("%q is refused", c)
		}
		q := question{name, dns.TypeA}
		raw, err := pack(q, withEDNS)
		if err != nil {
			t.Fatal(err)
		}
		raw[2] |= 0x80 // An answer without records now.
		if _, err := read(raw, raw, q); err != nil {
			t.Errorf("%q: asked for %q: %v", c, name, err)
		}
	}
}
