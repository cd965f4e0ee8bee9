package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestBucket(t *testing.T) {
	type step struct {
		after time.Duration // since noon
		n     int
		want  Use
	}
	limit := Limit{4, time.Minute} // one leaks out each 15 s
	full, over := Use{4, false, 15 * time.Second}, Use{4, true, 15 * time.Second}
	const day = 24 * time.Hour
	for name, steps := range map[string][]step{
		"up to the limit at once":        {{0, 1, Use{1, false, 0}}, {0, 3, full}, {0, 1, over}},
		"a look adds nothing":            {{0, 0, Use{}}, {0, 4, full}, {0, 0, full}},
		"a look tells what it was":       {{0, 4, full}, {0, 1, over}, {0, 0, over}, {15 * time.Second, 0, Use{3, false, 0}}},
		"it leaks":                       {{0, 4, full}, {20 * time.Second, 0, Use{3, false, 0}}, {time.Minute, 0, Use{}}},
		"a part counts as a whole":       {{0, 2, Use{2, false, 0}}, {time.Second, 0, Use{2, false, 0}}, {16 * time.Second, 0, Use{1, false, 0}}},
		"what is refused is not in":      {{0, 4, full}, {0, 1, over}, {0, 1 << 60, over}, {15 * time.Second, 1, full}},
		"hazard 65: a clock a day back":  {{0, 4, full}, {-day, 0, full}, {-day, 1, over}, {15*time.Second - day, 1, full}},
		"hazard 65: a clock a day ahead": {{0, 4, full}, {day, 1, Use{1, false, 0}}},
	} {
		b := &bucket{}
		for i, s := range steps {
			if got := b.take(s.n, limit, noon.Add(s.after)); got != s.want {
				t.Errorf("%s: step %d: got %+v, want %+v", name, i, got, s.want)
			}
		}
	}
}

// TestLongRun is a client at many times its limit: over a long time just the limit passes, and it is not locked out.
func TestLongRun(t *testing.T) {
	limit := Limit{60, time.Minute}
	r := rand.New(rand.NewPCG(1, 2))
	b := &bucket{}
	passed, now := 0, noon
	for now.Before(noon.Add(time.Hour)) {
		now = now.Add(time.Duration(r.Int64N(int64(300 * time.Millisecond))))
		if !b.take(1, limit, now).Over {
			passed++
		}
	}
	if passed > 60*60+60 || passed < 60*60*9/10 {
		t.Errorf("%d passed in an hour at 60 a minute", passed)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := NewMemory(10)
	for i := range 1000 {
		if _, err := m.Take(t.Context(), fmt.Sprint("messages ", i), 1, Limit{1, time.Hour}, noon); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Take(t.Context(), fmt.Sprint("unknown ", i), 0, Limit{1, time.Hour}, noon); err != nil {
			t.Fatal(err)
		}
	}
	if n := m.buckets.Len(); n != 10 {
		t.Errorf("%d keys", n)
	}
	if use, _ := m.Take(t.Context(), "messages 999", 1, Limit{1, time.Hour}, noon); !use.Over {
		t.Error("the last key is forgotten")
	}
}

func TestMemoryTogether(t *testing.T) {
	m := NewMemory(10)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if use, _ := m.Take(t.Context(), "k", 1, Limit{100, time.Hour}, noon); !use.Over {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != 100 {
		t.Errorf("%d passed, want 100", passed.Load())
	}
}

func TestLimit(t *testing.T) {
	for text, want := range map[string]Limit{
		"60/1m": {60, time.Minute}, "100/10m": {100, 10 * time.Minute}, "1/1s": {1, time.Second}, "1000000/24h": {1_000_000, 24 * time.Hour},
		"5/1h30m": {5, 90 * time.Minute}, "off": {}, "": {},
	} {
		var l Limit
		if err := l.UnmarshalText([]byte(text)); err != nil || l != want {
			t.Errorf("%q: got %+v, %v", text, l, err)
		}
		if text != "" && l.String() != text {
			t.Errorf("%q is written as %q", text, l)
		}
	}
}

func TestBadLimit(t *testing.T) {
	for text, want := range map[string]string{
		"60": "is no limit", "60/m": "is no limit", "60/": "is no limit", "/1m": "is no limit", "60/60": "is no limit", "-1/1m": "is no limit",
		"1.5/1m": "is no limit", "60 / 1m": "is no limit", "OFF": "is no limit", "60/1m/1m": "is no limit", "0/1m": "from 1 to 1000000",
		"1000001/1m": "from 1 to 1000000", "99999999999999999999/1m": "is no limit", "60/0s": "from 1s to 24h", "60/25h": "from 1s to 24h",
		"60/-1m": "from 1s to 24h", "60/1ms": "from 1s to 24h",
	} {
		var l Limit
		if err := l.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || l != (Limit{}) {
			t.Errorf("%q: got %v, want ... %s", text, err, want)
		}
	}
}

func FuzzLimit(f *testing.F) {
	for _, s := range []string{"60/1m", "off", "", "1000000/24h", "1/1.5s", "1000000/1s", "7/1h1ns"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var l, again Limit
		if l.UnmarshalText([]byte(s)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(l.String())); err != nil || again != l {
			t.Errorf("%q is written as %q: %v", s, l, err)
		}
		if l.Count == 0 {
			return
		}
		b := &bucket{}
		if use := b.take(l.Count, l, noon); use.Over || use.Used != l.Count {
			t.Errorf("%q: its whole count: %+v", s, use)
		}
		if use := b.take(1, l, noon); !use.Over || use.Used != l.Count {
			t.Errorf("%q: one more: %+v", s, use)
		}
		if use := b.take(0, l, noon.Add(2*l.Window)); use.Used != 0 {
			t.Errorf("%q: two windows later: %+v", s, use)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	for name, keys := range map[string]int{"one key": 1, "many keys": 4 * DefaultKeys} {
		b.Run(name, func(b *testing.B) {
			m := NewMemory(DefaultKeys)
			names := make([]string, keys)
			for i := range names {
				names[i] = fmt.Sprint("messages ", i)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				_, _ = m.Take(b.Context(), names[i%keys], 1, Limit{60, time.Minute}, noon)
				i++
			}
		})
	}
}
