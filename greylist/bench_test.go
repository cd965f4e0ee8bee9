package greylist

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"gatepost/policy"
)

// stranger is the sighting of the n-th stranger. Its keys are made up, so that a store is measured and not the hash.
func stranger(n int, at int64) (s Sighting) {
	binary.BigEndian.PutUint64(s.Client[:], uint64(n/4)+1)
	binary.BigEndian.PutUint64(s.Triplet[:], uint64(n)*0x9e3779b97f4a7c15)
	s.Triplet[15] = 1
	s.Label = Label{"203.0.113.0/24", "somebody@some-domain.example", "amy.jones@example.com"}
	s.After, s.Now = 3, start+at
	return s
}

func BenchmarkMemoryStranger(b *testing.B) {
	m := NewMemory(Defaults())
	b.ReportAllocs()
	for i := range b.N {
		m.Sight(context.Background(), stranger(i, int64(i)*10*second))
	}
}

func BenchmarkMemoryKnown(b *testing.B) {
	m := NewMemory(Defaults())
	x := stranger(1, 0)
	m.Put(context.Background(), []Record{{Key: x.Client, Entry: Entry{start, start, 3, IsClient | IsKnown}}})
	b.ReportAllocs()
	for range b.N {
		m.Sight(context.Background(), x)
	}
}

// BenchmarkSQLite is a stranger seen and written: sightings of a second, and the transaction that takes them.
func BenchmarkSQLite(b *testing.B) {
	q := newSQLite(Defaults(), filepath.Join(b.TempDir(), fileName), nowhere())
	if err := q.open(); err != nil {
		b.Fatal(err)
	}
	defer q.db.Close()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		q.Sight(context.Background(), stranger(i, int64(i)*10*second))
		if i%10000 == 9999 || i == b.N-1 {
			if err := q.save(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "upserts/s")
}

// BenchmarkCheck is the whole check on a sender that passed before.
func BenchmarkCheck(b *testing.B) {
	c, clock := newCheck(everyone())
	v := view("192.0.2.1", "amy.jones+x@shop.example", "bob@example.com", found("spf", policy.NoneFound), found("rdns", policy.Pass))
	c.Run(context.Background(), v)
	clock.Time = clock.Add(time.Hour)
	b.ReportAllocs()
	for range b.N {
		c.Run(context.Background(), v)
	}
}

// TestTenMillion measures what ten million strangers cost: GREYLIST_TEN_MILLION=1 go test -run TestTenMillion -v. They come over ten days.
func TestTenMillion(t *testing.T) {
	if os.Getenv("GREYLIST_TEN_MILLION") == "" {
		t.Skip("it takes minutes; GREYLIST_TEN_MILLION=1 runs it")
	}
	const strangers = 10_000_000
	path := filepath.Join(t.TempDir(), fileName)
	q := newSQLite(Defaults(), path, nowhere())
	if err := q.open(); err != nil {
		t.Fatal(err)
	}
	defer q.db.Close()
	before, began := heapBytes(), time.Now()
	disk := int64(0)
	for i := range strangers {
		if _, err := q.Sight(context.Background(), stranger(i, int64(i)*10*aDay/strangers)); err != nil {
			t.Fatal(err)
		}
		if i%10000 == 9999 {
			if err := q.save(); err != nil {
				t.Fatal(err)
			}
			disk = max(disk, fileSize(path)+fileSize(path+"-wal"))
		}
	}
	t.Logf("%d strangers in %s: %d entries kept, %d MB of heap, %d MB of disk", strangers, time.Since(began).Round(time.Second), len(q.table.nodes), (heapBytes()-before)>>20, disk>>20)
	if len(q.table.nodes) > Defaults().MaxEntries || count(t, q) > Defaults().MaxEntries {
		t.Errorf("%d entries in memory, %d on disk", len(q.table.nodes), count(t, q))
	}
}

func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
