//go:build interop

package ratelimit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	"gatepost/internal/redistest"
)

// anyLimit is a limit of any size that can be set.
func anyLimit(r *rand.Rand) Limit {
	count := []int{1, 2, 3, 7, 60, 3000, 999_999, maxCount}[r.IntN(8)]
	window := []time.Duration{minWindow, time.Second + 1, time.Minute, time.Hour + 7, maxWindow}[r.IntN(5)]
	return Limit{count, window}
}

// TestScriptIsTheMemory plays random counts to the script and to a Memory: to the nanosecond both come to the same. The clock
// jumps, and the limit changes.
func TestScriptIsTheMemory(t *testing.T) {
	s := newServer(t)
	f, _ := s.node()
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m, l, now := NewMemory(1), anyLimit(rng), noon
		key := fmt.Sprint("messages ", seed)
		for i := range 25 {
			unit, full := l.measures()
			now = now.Add(time.Duration(rng.Int64N(int64([]time.Duration{1, unit, 3 * unit, full}[rng.IntN(4)]) + 1)))
			switch rng.IntN(20) {
			case 0:
				now = now.Add([]time.Duration{-24 * time.Hour, 24 * time.Hour, -time.Nanosecond}[rng.IntN(3)])
			case 1:
				l = anyLimit(rng)
			}
			n := []int{0, 0, 1, 1, 2, l.Count / 2, l.Count, l.Count + 1, 1 << 40}[rng.IntN(9)]
			want, _ := m.Take(t.Context(), key, n, l, now)
			got, left, err := f.server.take(t.Context(), key, n, l, now)
			if err != nil || got != want {
				t.Fatalf("seed %d, step %d, %d of %v: %v\nRedis %+v\nGo    %+v", seed, i, n, l, err, got, want)
			}
			if b, ok := m.buckets.Peek(key); ok && (!left.empty.Equal(b.empty) || left.refused != b.refused) {
				t.Fatalf("seed %d, step %d, %d of %v: Redis left %+v, Go %+v", seed, i, n, l, left, *b)
			}
		}
	}
}

// TestRedisTimes has days on which seconds and nanoseconds could go wrong.
func TestRedisTimes(t *testing.T) {
	s := newServer(t)
	f, _ := s.node()
	l := Limit{2, time.Second}
	for i, now := range []time.Time{time.Unix(0, 0), time.Unix(-1, 999_999_999), time.Unix(1, 999_999_999), {}, time.Unix(1<<40, 1)} {
		key := fmt.Sprint("times ", i)
		for _, step := range []struct {
			n    int
			want Use
		}{{1, Use{1, false, 0}}, {1, Use{2, false, 500 * time.Millisecond}}, {1, Use{2, true, 500 * time.Millisecond}}} {
			if got, _, err := f.server.take(t.Context(), key, step.n, l, now); err != nil || got != step.want {
				t.Errorf("%v: %+v, %v, want %+v", now, got, err, step.want)
			}
		}
		if got, _, err := f.server.take(t.Context(), key, 1, l, now.Add(500*time.Millisecond)); err != nil || got.Over {
			t.Errorf("%v: half a second later: %+v, %v", now, got, err)
		}
	}
}

// TestRedisForgets: a bucket ends a minute after it is empty, and a look leaves none.
func TestRedisForgets(t *testing.T) {
	s := newServer(t)
	f, _ := s.node()
	c := s.Client()
	ttl := func(key string) time.Duration {
		ms, err := strconv.Atoi(s.Do(c, "PTTL", redisSpace+key))
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(ms) * time.Millisecond
	}
	f.Take(t.Context(), "a", 30, Limit{60, time.Hour}, noon)
	if got := ttl("a"); got > 31*time.Minute || got < 30*time.Minute {
		t.Errorf("kept for %s", got)
	}
	f.Take(t.Context(), "b", 0, Limit{60, time.Hour}, noon)
	if got := ttl("b"); got >= 0 {
		t.Errorf("a look is kept for %s", got)
	}
	s.Do(c, "SET", redisSpace+"c", "another's")
	if use, err := f.Take(t.Context(), "c", 1, Limit{60, time.Hour}, noon); err != nil || use.Used != 1 {
		t.Errorf("beside another's value: %+v, %v", use, err)
	}
	if got := ttl("c"); got < 0 {
		t.Errorf("another's value never ends")
	}
}

// TestTwoNodes has two machines count one client, also at the same time, and each by itself when the server is gone.
func TestTwoNodes(t *testing.T) {
	s := newServer(t)
	a, _ := s.node()
	b, _ := s.node()
	l := Limit{100, time.Hour}
	var passed atomic.Int64
	var wg sync.WaitGroup
	for _, n := range []*fallback{a, b} {
		for range 8 {
			wg.Go(func() {
				for range 20 {
					if use, _ := n.Take(t.Context(), "k", 1, l, noon); !use.Over {
						passed.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	if passed.Load() != 100 {
		t.Errorf("%d passed, want 100", passed.Load())
	}
	s.Kill()
	for _, n := range []*fallback{a, b} {
		if use, err := n.Take(t.Context(), "k", 1, l, noon); err != nil || !use.Over {
			t.Errorf("without the server: %+v, %v", use, err)
		}
	}
}

// TestRedisFaults has the server fail in each way while recipients come: each is answered within the budget and counted, the log
// has one line, and once the server is well again it is used again.
func TestRedisFaults(t *testing.T) {
	for _, f := range []struct {
		name         string
		away         bool // the server cannot serve meanwhile
		harm, repair func(s *redisServer, c valkey.Client)
	}{
		{"killed and restarted", true, func(s *redisServer, _ valkey.Client) { s.Kill() },
			func(s *redisServer, _ valkey.Client) { s.Run(); s.Await() }},
		{"hung", true, func(s *redisServer, _ valkey.Client) { s.Signal(syscall.SIGSTOP) },
			func(s *redisServer, _ valkey.Client) { s.Signal(syscall.SIGCONT) }},
		{"full", true, func(s *redisServer, c valkey.Client) {
			s.Do(c, "CONFIG", "SET", "maxmemory-policy", "noeviction")
			s.Do(c, "CONFIG", "SET", "maxmemory", "1")
		}, func(s *redisServer, c valkey.Client) { s.Do(c, "CONFIG", "SET", "maxmemory", "0") }},
		{"read-only", true, func(s *redisServer, c valkey.Client) {
			s.Do(c, "REPLICAOF", "127.0.0.1", strconv.Itoa(redistest.FreePort(s.t)))
		},
			func(s *redisServer, c valkey.Client) { s.Do(c, "REPLICAOF", "NO", "ONE") }},
		{"its scripts gone", false, func(s *redisServer, c valkey.Client) { s.Do(c, "SCRIPT", "FLUSH") }, func(*redisServer, valkey.Client) {}},
		{"another's list under a key", true, func(s *redisServer, c valkey.Client) {
			s.Do(c, "DEL", redisSpace+"k")
			s.Do(c, "LPUSH", redisSpace+"k", "x")
		}, func(s *redisServer, c valkey.Client) { s.Do(c, "FLUSHALL") }},
	} {
		t.Run(f.name, func(t *testing.T) {
			s := newServer(t)
			c := s.Client()
			n, log := s.node()
			flow(t, n, 1)
			f.harm(s, c)
			for i := range 5 {
				flow(t, n, i+2)
			}
			if n.mu.Lock(); n.until.IsZero() == f.away {
				t.Errorf("the server is not left alone, or is: %s", n.until)
			}
			n.mu.Unlock()
			f.repair(s, c)
			c = s.Client()
			s.Until("the server to count again", func() bool {
				n.Take(context.Background(), "again", 1, Limit{1000, time.Hour}, noon)
				return s.Do(c, "EXISTS", redisSpace+"again") == "1"
			})
			if lines := strings.Count(log.String(), "level=WARN"); lines != map[bool]int{true: 1}[f.away] {
				t.Errorf("%d lines:\n%s", lines, log)
			}
		})
	}
}

// flow takes one more of "k", which then is to be so full.
func flow(t *testing.T, n *fallback, used int) {
	t.Helper()
	at := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), storeBudget)
	defer cancel()
	if use, err := n.Take(ctx, "k", 1, Limit{1000, time.Hour}, noon); err != nil || use.Used != used {
		t.Errorf("%+v, %v, want %d used", use, err, used)
	}
	if took := time.Since(at); took > 2*storeBudget { // room for a busy machine
		t.Errorf("it took %s", took)
	}
}

// BenchmarkRedis is clients counted by many sessions at once.
func BenchmarkRedis(b *testing.B) {
	f, _ := newServer(b).node()
	var n atomic.Int64
	b.SetParallelism(64)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if _, _, err := f.server.take(ctx, strconv.FormatInt(n.Add(1), 10), 1, Limit{60, time.Minute}, noon); err != nil {
				b.Error(err)
			}
			cancel()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "takes/s")
}
