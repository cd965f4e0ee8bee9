package resolver

import (
	"fmt"
	"net/netip"
	"testing"

	"gatepost/internal/dnstest"
)

func BenchmarkHit(b *testing.B) {
	r := over(b, dnstest.Start(b, zone), Settings{})
	for _, c := range []struct {
		name string
		ask  func() error
	}{
		{"TXT", func() error { _, err := r.TXT(background(), "example.com"); return err }},
		{"A and AAAA", func() error { _, err := r.Addrs(background(), "mx1.example.com", Both); return err }},
		{"not listed", func() error { _, _, err := r.Listing(background(), "1.0.0.127.list.example"); return err }},
		{"PTR", func() error { _, err := r.PTR(background(), netip.AddrFrom4([4]byte{192, 0, 2, 1})); return err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMiss includes what the DNS server takes, which runs in the same process.
func BenchmarkMiss(b *testing.B) {
	s := dnstest.Start(b, "*.example. IN A 192.0.2.1")
	r := over(b, s, Settings{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := r.Addrs(background(), fmt.Sprintf("%d.example", i), IPv4); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMissParallel(b *testing.B) {
	s := dnstest.Start(b, "*.example. IN A 192.0.2.1")
	r := over(b, s, Settings{})
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for i := 0; p.Next(); i++ {
			if _, err := r.Addrs(background(), fmt.Sprintf("%d.%p.example", i, p), IPv4); err != nil {
				b.Error(err)
			}
		}
	})
}
