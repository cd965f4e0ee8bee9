package dkim

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// recorder is a hash that shows what it was given.
type recorder struct{ bytes.Buffer }

func (r *recorder) Sum([]byte) []byte { return r.Bytes() }
func (r *recorder) Size() int         { return 0 }
func (r *recorder) BlockSize() int    { return 1 }

var _ hash.Hash = (*recorder)(nil)

// bodyForm is what is hashed of a body that comes in parts.
func bodyForm(relaxed bool, parts ...string) string {
	b := newBodyHash(relaxed)
	b.sum = &recorder{}
	for _, p := range parts {
		b.write([]byte(p))
	}
	return string(b.end())
}

var bodies = []struct{ name, in, simple, relaxed string }{
	{"RFC 6376 section 3.4.5", " C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"},
	{"nothing", "", "\r\n", ""},
	{"an empty line", "\r\n", "\r\n", ""},
	{"empty lines", "\r\n\r\n\r\n", "\r\n", ""},
	{"no end of line", "a", "a\r\n", "a\r\n"},
	{"no end of the second line", "a\r\nb", "a\r\nb\r\n", "a\r\nb\r\n"},
	{"empty lines in the middle", "a\r\n\r\n\r\nb\r\n", "a\r\n\r\n\r\nb\r\n", "a\r\n\r\n\r\nb\r\n"},
	{"empty lines first", "\r\n\r\na\r\n", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
	{"space at ends of lines", "a \t\r\nb\t \r\n", "a \t\r\nb\t \r\n", "a\r\nb\r\n"},
	{"space at the end", "a\r\n \t", "a\r\n \t\r\n", "a\r\n"},
	{"lines of space at the end", "a\r\n \r\n\t\r\n", "a\r\n \r\n\t\r\n", "a\r\n"},
	{"nothing but space", " \t ", " \t \r\n", ""},
	{"space at starts of lines", "\ta\r\n  b\r\n", "\ta\r\n  b\r\n", " a\r\n b\r\n"},
	{"space inside", "a  b\tc \t d\r\n", "a  b\tc \t d\r\n", "a b c d\r\n"},
	{"bare line feeds", "a\n b\n\n", "a\n b\n\n\r\n", "a\n b\n\n\r\n"},
	{"space before a bare line feed", "a \t\nb\n \r\n", "a \t\nb\n \r\n", "a \nb\n\r\n"},
	{"a bare carriage return", "a\rb\r\n", "a\rb\r\n", "a\rb\r\n"},
	{"a carriage return at the end", "a\r", "a\r\r\n", "a\r\r\n"},
	{"two before a line feed", "a\r\r\nb", "a\r\r\nb\r\n", "a\r\r\nb\r\n"},
	{"space before a bare one", "a \t\rb", "a \t\rb\r\n", "a \rb\r\n"},
	{"space behind a bare one", "a\r \r\n", "a\r \r\n", "a\r\r\n"},
	{"eight bits and a NUL", "\xe4\x00 \xff\r\n", "\xe4\x00 \xff\r\n", "\xe4\x00 \xff\r\n"},
	{"a dot", ".\r\n..\r\n", ".\r\n..\r\n", ".\r\n..\r\n"},
}

// TestBodyForms has each body whole, and cut in two and three at every place.
func TestBodyForms(t *testing.T) {
	for _, x := range bodies {
		t.Run(x.name, func(t *testing.T) {
			for relaxed, want := range map[bool]string{false: x.simple, true: x.relaxed} {
				for i := range len(x.in) + 1 {
					for j := i; j <= len(x.in); j++ {
						if got := bodyForm(relaxed, x.in[:i], x.in[i:j], x.in[j:]); got != want {
							t.Fatalf("relaxed %t, cut at %d and %d: %q, want %q", relaxed, i, j, got, want)
						}
					}
				}
			}
		})
	}
}

// plainForm is the canonical form as the RFC words it, step by step over the whole body.
func plainForm(body string, relaxed bool) string {
	if relaxed {
		body = regexp.MustCompile(`[ \t]+(\r\n|\z)`).ReplaceAllString(body, "$1")
		body = regexp.MustCompile(`[ \t]+`).ReplaceAllString(body, " ")
	}
	body = regexp.MustCompile(`(\r\n)+\z`).ReplaceAllString(body, "")
	if body == "" && relaxed {
		return ""
	}
	return body + "\r\n"
}

// FuzzBody holds the hasher against the plain form. The body is repeated, so that it goes over the sizes of the pieces.
func FuzzBody(f *testing.F) {
	for i, x := range bodies {
		f.Add(x.in, uint16(i*100), uint16(i))
	}
	f.Fuzz(func(t *testing.T, part string, times, cut uint16) {
		body := strings.Repeat(part, min(int(times), 16<<10/max(1, len(part)))+1)
		at := min(int(cut), len(body))
		for _, relaxed := range []bool{false, true} {
			if got, want := bodyForm(relaxed, body[:at], body[at:]), plainForm(body, relaxed); got != want {
				t.Errorf("relaxed %t: %.300q, want %.300q", relaxed, got, want)
			}
		}
	})
}

// TestBodiesOfManyPieces are made of what is dealt with apart, in sizes around those of the pieces.
func TestBodiesOfManyPieces(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", " ", "\t", "\r\n", "\n", "\r", strings.Repeat("text ", 300), strings.Repeat("\r\n", blockSize), strings.Repeat(" ", outSize)}
	for range 60 {
		body := ""
		for len(body) < 3*outSize {
			body += parts[random.IntN(len(parts))]
		}
		at := random.IntN(len(body))
		for _, relaxed := range []bool{false, true} {
			if got, want := bodyForm(relaxed, body[:at], body[at:]), plainForm(body, relaxed); got != want {
				t.Fatalf("relaxed %t: %q is not as it should be", relaxed, body)
			}
		}
	}
}

// TestEmptyLinesAreNotKept has 1 MB of them, and keeps a number.
func TestEmptyLinesAreNotKept(t *testing.T) {
	b := newBodyHash(true)
	for range 50 {
		b.write([]byte(strings.Repeat(" \r\n", 10000)))
	}
	b.write([]byte("x"))
	if b.lines != 0 || cap(b.out) > 2*outSize {
		t.Errorf("%d lines and %d octets are kept", b.lines, cap(b.out))
	}
	want := sha256.New()
	for range 500_000 {
		want.Write([]byte("\r\n"))
	}
	want.Write([]byte("x\r\n"))
	if !bytes.Equal(b.end(), want.Sum(nil)) {
		t.Error("another hash")
	}
}
