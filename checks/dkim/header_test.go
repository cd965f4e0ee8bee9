package dkim

import (
	"testing"

	"gatepost/policy"
)

func TestFieldForms(t *testing.T) {
	for _, x := range []struct{ name, in, simple, relaxed string }{
		{"RFC 6376 section 3.4.5", "A: X\r\n", "A: X\r\n", "a:X\r\n"},
		{"RFC 6376 section 3.4.5, folded", "B : Y\t\r\n\tZ  \r\n", "B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"},
		{"nothing behind the colon", "A:\r\n", "A:\r\n", "a:\r\n"},
		{"space alone", "A: \t\r\n", "A: \t\r\n", "a:\r\n"},
		{"a fold first", "A:\r\n x\r\n", "A:\r\n x\r\n", "a:x\r\n"},
		{"a line of space", "A: x\r\n \r\n y\r\n", "A: x\r\n \r\n y\r\n", "a:x y\r\n"},
		{"colons", "A: b: c\r\n", "A: b: c\r\n", "a:b: c\r\n"},
		{"eight bits", "A: \xe4\r\n", "A: \xe4\r\n", "a:\xe4\r\n"},
	} {
		t.Run(x.name, func(t *testing.T) {
			for relaxed, want := range map[bool]string{false: x.simple, true: x.relaxed} {
				if got := string(appendField(nil, []byte(x.in), relaxed)); got != want {
					t.Errorf("relaxed %t: %q, want %q", relaxed, got, want)
				}
			}
		})
	}
}

func TestWithoutSign(t *testing.T) {
	for _, x := range []struct{ name, in, want string }{
		{"at the end", "D: a=x; b=AAAA", "D: a=x; b="},
		{"in the middle", "D: a=x; b=AA\r\n AA; c=y\r\n", "D: a=x; b=; c=y\r\n"},
		{"first", "D:b=AAAA;a=x\r\n", "D:b=;a=x\r\n"},
		{"space around", "D: a=x;\r\n b = AAAA ; c=y\r\n", "D: a=x;\r\n b =; c=y\r\n"},
		{"behind bh=", "D: bh=BBBB; b=AAAA\r\n", "D: bh=BBBB; b="},
		{"padding", "D: b=AA==; bh=BB==\r\n", "D: b=; bh=BB==\r\n"},
		{"none", "D: bh=BBBB\r\n", "D: bh=BBBB\r\n"},
	} {
		if got := string(withoutSign([]byte(x.in))); got != x.want {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
	}
}

// TestPicks looks at which fields an h= means (RFC 6376 sections 3.5, 5.4.2).
func TestPicks(t *testing.T) {
	const sign, rest = "DKIM-Signature: b=; d=me\r\n", "X: 1\r\nDKIM-Signature: d=other\r\nx: 2\r\nFrom: amy\r\n"
	for _, x := range []struct {
		name, want string
		names      []string
	}{
		{"from the bottom", "x:2\r\nx:1\r\n", []string{"x", "x"}},
		{"in the order of h=", "x:2\r\nfrom:amy\r\nx:1\r\n", []string{"x", "from", "x"}},
		{"one that is missing", "x:2\r\n", []string{"y", "x"}},
		{"once more than there are", "from:amy\r\n", []string{"from", "from"}},
		{"the other signature, never itself", "dkim-signature:d=other\r\n", []string{"dkim-signature", "dkim-signature"}},
		{"none", "", nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			head := []byte(sign + rest)
			s := &signature{names: x.names, headRelaxed: true}
			for f := range policy.Fields(head) {
				s.raw = f.Raw
				break
			}
			var sum recorder
			newIndex(head).write(&sum, s)
			if got, want := sum.String(), x.want+"dkim-signature:b=; d=me"; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}
