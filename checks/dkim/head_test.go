package dkim

import (
	"bufio"
	"bytes"
	"math/big"
	"strings"
	"testing"

	"gatepost/policy"
)

// nextOdd is an odd number of so many bits.
func nextOdd(bits uint) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return n.SetBit(n, 0, 1)
}

// TestHeadersOverABound have a good signature that is not verified.
func TestHeadersOverABound(t *testing.T) {
	c, server := goldenCheck(t)
	for _, x := range []struct {
		name, more string
		want       error
	}{
		{"1000 fields and more", strings.Repeat("X: y\r\n", 1000), errManyFields},
		{"a field of 64 KiB", "X: " + strings.Repeat("y", 64<<10) + "\r\n", errLargeField},
		{"a field in 1001 lines", "X: " + strings.Repeat("\r\n y", 1001) + "\r\n", errManyLines},
		{"600 KiB", strings.Repeat("X: "+strings.Repeat("y", 60<<10)+"\r\n", 10), errLargeHead},
		{"a signature of 250 KiB in folds of 4 octets", "DKIM-Signature: v=1" + strings.Repeat("\r\n a", 50<<10) + "\r\n", errLargeField},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := run(t, c, golden(t, "rsa2048")[:600]+"\r\n"+x.more+"\r\nHello\r\n")
			if f.Outcome != policy.PermError || f.Fact("error") != x.want.Error() {
				t.Errorf("%s\n%s", f.Outcome, evidence(f))
			}
		})
	}
	if n := server.Total(); n != 0 {
		t.Errorf("%d queries", n)
	}
}

// TestTheSignatureBehindTheBound stands where it is not read: that is not the same as none.
func TestTheSignatureBehindTheBound(t *testing.T) {
	c, _ := goldenCheck(t)
	f := run(t, c, strings.Repeat("X: "+strings.Repeat("y", 60<<10)+"\r\n", 10)+golden(t, "rsa2048"))
	if f.Outcome != policy.PermError || f.Auth[0].Result != "permerror" {
		t.Errorf("%s %v", f.Outcome, f.Auth)
	}
}

// TestManyNamesAgainstManyFields is bounded by the number of names.
func TestManyNamesAgainstManyFields(t *testing.T) {
	c, _ := goldenCheck(t)
	message := "DKIM-Signature: v=1; a=rsa-sha256; d=shop.example; s=r2048; bh=AAAA; b=AAAA; h=from" + strings.Repeat(":x", 1e4) + "\r\n" +
		"From: amy@shop.example\r\n" + strings.Repeat("X: y\r\n", 900) + "\r\n"
	if f := run(t, c, message); !strings.Contains(evidence(f), "it names more than 200 header fields") {
		t.Errorf("%s\n%s", f.Outcome, evidence(f))
	}
}

func TestReadHead(t *testing.T) {
	for _, x := range []struct{ name, in, head, rest string }{
		{"with a body", "A: b\r\n\r\nbody\r\n", "A: b\r\n", "body\r\n"},
		{"folded", "A: b\r\n c\r\n\r\n", "A: b\r\n c\r\n", ""},
		{"a folded line of spaces", "A: b\r\n  \r\nC: d\r\n\r\n", "A: b\r\n  \r\nC: d\r\n", ""},
		{"no header", "\r\nbody", "", "body"},
		{"no body", "A: b\r\n", "A: b\r\n", ""},
		{"no end of line", "A: b", "A: b\r\n", ""},
		{"nothing", "", "", ""},
		{"bare line feeds", "A: b\n\nbody", "A: b\n\nbody\r\n", ""},
		{"a bare line feed before the end", "A: b\n\r\nC: d\r\n\r\nbody", "A: b\n\r\nC: d\r\n", "body"},
		{"a line longer than the buffer", "A: " + strings.Repeat("b", 100) + "\r\n\r\nbody", "A: " + strings.Repeat("b", 100) + "\r\n", "body"},
	} {
		r := bufio.NewReaderSize(strings.NewReader(x.in), 16)
		head, err := readHead(r)
		var rest bytes.Buffer
		rest.ReadFrom(r)
		if err != nil || string(head) != x.head || rest.String() != x.rest {
			t.Errorf("%s: %q, %v, rest %q", x.name, head, err, rest.String())
		}
	}
}
