package ratelimit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// shaky is a server that does as it is told.
type shaky struct {
	buckets map[string]*bucket
	err     error
	hang    bool
	asked   atomic.Int64
}

func (s *shaky) take(ctx context.Context, key string, n int, l Limit, now time.Time) (Use, bucket, error) {
	s.asked.Add(1)
	if s.hang {
		<-ctx.Done()
		return Use{}, bucket{}, ctx.Err()
	}
	if s.err != nil {
		return Use{}, bucket{}, s.err
	}
	if s.buckets[key] == nil {
		s.buckets[key] = &bucket{}
	}
	use := s.buckets[key].take(n, l, now)
	return use, *s.buckets[key], nil
}

func (s *shaky) close() { s.err = errClosed }

var errOOM = errors.New("OOM command not allowed when used memory > 'maxmemory'")

func newShaky() (*shaky, *fallback, *bytes.Buffer) {
	var log bytes.Buffer
	s := &shaky{buckets: map[string]*bucket{}}
	return s, newFallback(s, NewMemory(10), slog.New(slog.NewTextHandler(&log, nil))), &log
}

var threeAnHour = Limit{3, time.Hour}

// expect takes n of "k" and looks at how many are used then.
func expect(t *testing.T, st Store, n, used int, over bool) {
	t.Helper()
	use, err := st.Take(t.Context(), "k", n, threeAnHour, noon)
	if err != nil || use.Used != used || use.Over != over {
		t.Errorf("%+v, %v; want %d used, over %v", use, err, used, over)
	}
}

// TestFallbackKnowsWhatItSaw: what the server counted for others too is known here when it is gone.
func TestFallbackKnowsWhatItSaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f, _ := newShaky()
		s.buckets["k"] = &bucket{empty: noon.Add(20 * time.Minute)} // from another machine
		expect(t, f, 1, 2, false)
		s.err = errOOM
		expect(t, f, 0, 2, false)
		expect(t, f, 1, 3, false)
		expect(t, f, 1, 3, true)
		time.Sleep(rest)
		s.err = nil
		expect(t, f, 0, 2, false) // the server did not see the third
		s.err = errOOM
		expect(t, f, 0, 2, false)
	})
}

// TestFallbackLeavesNoTrace: what is only looked at, and what the server has forgotten, is not held here.
func TestFallbackLeavesNoTrace(t *testing.T) {
	s, f, _ := newShaky()
	expect(t, f, 0, 0, false)
	expect(t, f, 1, 1, false)
	delete(s.buckets, "k")
	expect(t, f, 0, 0, false)
	if n := f.local.buckets.Len(); n != 0 {
		t.Errorf("%d buckets", n)
	}
}

// TestFallbackBudget: a server that hangs costs one recipient a second 250 ms, however many limits it has, and the others nothing.
func TestFallbackBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f, _ := newShaky()
		s.hang = true
		p := small(f, func(s *Settings) { s.Connections, s.Messages, s.Recipients = threeAnHour, threeAnHour, threeAnHour })
		took := func() time.Duration {
			at := time.Now()
			want(t, "while it hangs", session(t, p, stranger, "s.example", 1)[:1], pass(1))
			return time.Since(at)
		}
		if d := took(); d != storeBudget {
			t.Errorf("the first took %s", d)
		}
		if d := took(); d != 0 {
			t.Errorf("the second took %s", d)
		}
		time.Sleep(rest)
		s.hang = false
		before := s.asked.Load()
		want(t, "back again", session(t, p, stranger, "s.example", 1), pass(1))
		if n := s.asked.Load() - before; n != 3 {
			t.Errorf("the server, back again, was asked %d times", n)
		}
	})
}

// TestFallbackCounts: limits hold while the server fails.
func TestFallbackCounts(t *testing.T) {
	s, f, _ := newShaky()
	s.err = errOOM
	p := small(f, func(s *Settings) { s.Messages = threeAnHour })
	got := session(t, p, stranger, "s.example", 1, 1, 1, 1)
	want(t, "four messages", got, append(pass(3), Messages))
}

// TestFallbackCrowd: more than the server has room for do not pile up behind it.
func TestFallbackCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f, _ := newShaky()
		s.hang = true
		ctx, cancel := context.WithTimeout(t.Context(), storeBudget)
		defer cancel()
		for range 5 * inFlight {
			go f.Take(ctx, "k", 1, threeAnHour, noon)
		}
		synctest.Wait()
		if n := s.asked.Load(); n != inFlight {
			t.Errorf("%d are with the server", n)
		}
		time.Sleep(storeBudget)
		synctest.Wait()
		if n := len(f.slots); n != 0 {
			t.Errorf("%d are still there", n)
		}
	})
}

// TestFallbackSessionEnds: a session that ends says nothing about the server.
func TestFallbackSessionEnds(t *testing.T) {
	s, f, log := newShaky()
	s.hang = true
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if use, err := f.Take(ctx, "k", 1, threeAnHour, noon); err != nil || use.Used != 1 {
		t.Errorf("%+v, %v", use, err)
	}
	if !f.until.IsZero() || log.Len() > 0 {
		t.Errorf("the server is taken for broken: %s", log)
	}
}

// TestFallbackTells: a line a minute while it fails, whatever comes, one when it is back, and none for a check that a reload replaced.
func TestFallbackTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f, log := newShaky()
		s.err = errOOM
		for range 150 {
			expect(t, f, 0, 0, false)
			time.Sleep(rest)
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 3 || !strings.Contains(log.String(), "OOM command") {
			t.Errorf("%d lines in 150 s:\n%s", n, log)
		}
		for i := range 50 { // up and down
			if s.err = nil; i%2 == 0 {
				s.err = errOOM
			}
			expect(t, f, 0, 0, false)
			time.Sleep(rest)
		}
		if up, down := strings.Count(log.String(), "level=INFO"), strings.Count(log.String(), "level=WARN"); up > down || up != 2 || down != 4 {
			t.Errorf("%d times up, %d down:\n%s", up, down, log)
		}
		time.Sleep(time.Hour)
		if err := New(defaults(), f).Close(); err != nil {
			t.Error(err)
		}
		log.Reset()
		expect(t, f, 0, 0, false)
		if log.Len() > 0 {
			t.Errorf("told: %s", log)
		}
	})
}

// TestStoreSetting: what names a store and what does not, and that no password is told.
func TestStoreSetting(t *testing.T) {
	for store, want := range map[string]string{
		"memory": "", "redis://localhost:6379/0": "", "rediss://user:secret@h:6379/0?addr=h2:6379": "", "unix:///run/redis.sock": "",
		"valkey://h/1": "", "redis://h1?master_set=mail": "",
		"": "is none of", "sqlite": "is none of", "redis": "is none of", "http://h": "is none of", "Memory": "is none of",
		"redis://:secret@h:x/0": "is no address of a Redis server", "redis://:secret@h/a": "is no address of a Redis server",
		"redis://amy:secret/x@h:6379":        "is no address of a Redis server",
		"redis://:secret@h/0?dial_timeout=x": "is no address of a Redis server", "redis://:secret@[h/0": "is no address of a Redis server",
	} {
		s := defaults()
		s.Store = store
		got := ""
		s.Validate(func(key, message string) { got = key + " " + message })
		if want == "" && got != "" || want != "" && !strings.HasPrefix(got, "store "+want) || strings.Contains(got, "secret") {
			t.Errorf("%q: %s", store, got)
		}
		if want == "" {
			continue // what is right would be dialled
		}
		if _, err := Open(s, NewMemory(1), slog.New(slog.DiscardHandler)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q opens: %v", store, err)
		}
	}
	if st, err := Open(defaults(), nil, nil); err != nil || st != Store((*Memory)(nil)) {
		t.Errorf("the default is %v, %v", st, err)
	}
}

// TestNoServer: a server that is not there costs nothing, and the limits hold.
func TestNoServer(t *testing.T) {
	s := defaults()
	s.Store = "redis://127.0.0.1:1/0" // nobody is there
	st, err := Open(s, NewMemory(10), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c := New(s, st)
	defer c.Close()
	expect(t, st, 3, 3, false)
	expect(t, st, 1, 3, true)
}
