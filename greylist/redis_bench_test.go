//go:build interop

package greylist

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkRedis is strangers seen by many sessions at once.
func BenchmarkRedis(b *testing.B) {
	s := newServer(b)
	settings := Defaults()
	settings.Store = s.URL()
	r, err := openRedis(settings, nowhere())
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	s.Until("a connection", func() bool { _, err := r.connected(); return err == nil })
	var n atomic.Int64
	b.SetParallelism(64)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if _, err := r.Sight(ctx, stranger(int(n.Add(1)), 0)); err != nil {
				b.Error(err)
			}
			cancel()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "upserts/s")
}
