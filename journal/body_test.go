package journal

import (
	"testing"
	"time"

	"gatepost/journal/journaltest"
	"gatepost/policy"
)

func sample(n int) []*policy.Record {
	m := journaltest.NewMix(1, time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), 86*time.Millisecond)
	rs := make([]*policy.Record, n)
	for i := range rs {
		rs[i] = m.Next()
	}
	return rs
}

func BenchmarkPack(b *testing.B) {
	rs := sample(1000)
	p := newPacker()
	b.ReportAllocs()
	var plain, packed, n int
	for b.Loop() {
		body, err := p.pack(rs[n%len(rs)])
		if err != nil {
			b.Fatal(err)
		}
		n++
		plain += p.text.Len()
		packed += len(body)
	}
	b.ReportMetric(float64(plain)/float64(n), "B/json")
	b.ReportMetric(float64(packed)/float64(n), "B/body")
}

func BenchmarkUnpack(b *testing.B) {
	p := newPacker()
	var bodies [][]byte
	for _, r := range sample(1000) {
		body, _ := p.pack(r)
		bodies = append(bodies, append([]byte(nil), body...))
	}
	b.Run("text", func(b *testing.B) {
		var u unpacker
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			u.text(bodies[n%len(bodies)])
		}
	})
	b.Run("record", func(b *testing.B) {
		var u unpacker
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			t, _ := u.text(bodies[n%len(bodies)])
			decode(t)
		}
	})
}
