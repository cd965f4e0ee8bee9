package smtp

import (
	"strings"
	"testing"
)

// FuzzXtext: what is written as xtext reads as it was, and nothing that reads as text holds a control character (hazard 23).
func FuzzXtext(f *testing.F) {
	for _, s := range []string{"", "a+b=c", "x+0D+0ARCPT", "+", "+4", "+zz", "\r\n", "\x00\x7f", "jörg", "\u009b", "\u202e", "\xff", "a b", "+C3+B6", "+c3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		coded := appendXtext(nil, s)
		if strings.ContainsFunc(string(coded), func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '=' }) {
			t.Fatalf("%q is written as %q", s, coded)
		}
		if text, ok := decodeXtext(coded); ok != isPrintable(s) || ok && text != s {
			t.Fatalf("%q is written as %q, which reads %q, %v", s, coded, text, ok)
		}
		if isXtext(coded) && !isPrintable(s) {
			t.Fatalf("%q is taken, and stands for %q", coded, s)
		}
		text, ok := decodeXtext([]byte(s))
		if ok && !isPrintable(text) {
			t.Fatalf("%q reads %q", s, text)
		}
		if isXtext([]byte(s)) && (!ok || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f })) {
			t.Fatalf("%q is taken, and reads %q, %v", s, text, ok)
		}
	})
}
