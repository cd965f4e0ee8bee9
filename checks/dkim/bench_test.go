package dkim

import (
	"context"
	"strings"
	"testing"

	"gatepost/policy"
)

// anyKey is a DNS with one key at every name.
type anyKey string

func (k anyKey) TXT(context.Context, string) ([]string, error) { return []string{string(k)}, nil }

func BenchmarkRun(b *testing.B) {
	for _, x := range []struct {
		name string
		body int
	}{{"4KB", 4 << 10}, {"10MB", 10 << 20}} {
		b.Run(x.name, func(b *testing.B) {
			line := strings.Repeat("0123456789", 7) + "\r\n"
			message, dns := signed(b, "shop.example", strings.Repeat(line, x.body/len(line)), edKey())
			c := checkWith(dns)
			b.ReportAllocs()
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				if f := run(b, c, message); f.Outcome != policy.Pass {
					b.Fatal(f)
				}
			}
		})
	}
}

// BenchmarkHostile has what is dearest within the bounds: folds, names, empty lines that are kept back, and a body that is nowhere canonical.
func BenchmarkHostile(b *testing.B) {
	head := "DKIM-Signature: v=1; a=ed25519-sha256; d=shop.example; s=k; bh=" + strings.Repeat("A", 43) + "=; b=AAAA; c=simple/simple; h=from" +
		strings.Repeat(":x", 199) + "\r\nFrom: amy@shop.example\r\n"
	fields := strings.Repeat("X: y\r\n", 990) + strings.Repeat("X:"+strings.Repeat("\r\n "+strings.Repeat("y", 60), 990)+"\r\n", 7)
	body := strings.Repeat(strings.Repeat("\r\n", 100<<10)+"x", 40)
	_, dns := signed(b, "shop.example", "", edKey())
	c := checkWith(dns)
	for _, x := range []struct{ name, message string }{
		{"fields", head + fields + "\r\nHello\r\n"}, {"gaps", head + "\r\n" + body},
		{"spaces", strings.Replace(head, "simple/simple", "relaxed/relaxed", 1) + "\r\n" + strings.Repeat("\tx ", 3<<20)},
	} {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(x.message)))
			for b.Loop() {
				run(b, c, x.message)
			}
		})
	}
}
