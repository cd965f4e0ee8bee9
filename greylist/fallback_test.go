package greylist

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/policy"
)

// shaky is a shared store that does as it is told.
type shaky struct {
	*Memory
	err   error
	hang  bool
	asked atomic.Int64
}

func (s *shaky) Sight(ctx context.Context, x Sighting) (Decision, error) {
	s.asked.Add(1)
	if s.hang {
		<-ctx.Done()
		return Decision{}, ctx.Err()
	}
	if s.err != nil {
		return Decision{}, s.err
	}
	return s.Memory.Sight(ctx, x)
}

func newShaky() (*shaky, *fallback) {
	s := &shaky{Memory: NewMemory(Defaults())}
	return s, newFallback(s, NewMemory(Defaults()), nowhere())
}

// TestFallbackKnowsWhatItSaw: who passed by the shared store passes when that is gone.
func TestFallbackKnowsWhatItSaw(t *testing.T) {
	s, f := newShaky()
	expect(t, f, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
	expect(t, f, sight(2, "a@s.example", "b@r.example", hour), policy.Pass)
	expect(t, f, sight(3, "a@s.example", "b@r.example", hour), FirstSeen)
	s.err = errors.New("OOM command not allowed when used memory > 'maxmemory'")
	expect(t, f, sight(2, "a@s.example", "b@r.example", 2*hour), policy.Pass)
	expect(t, f, sight(3, "a@s.example", "b@r.example", hour+minute), Early)
	expect(t, f, sight(3, "a@s.example", "b@r.example", hour+5*minute), policy.Pass)
	if f.Stats()[StateWaiting] != f.local.Stats()[StateWaiting] {
		t.Error("the counts are not those of the store that serves")
	}
}

// TestFallbackBudget: a shared store that hangs costs one sighting a second 250 ms, and the others nothing.
func TestFallbackBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newShaky()
		s.hang = true
		at := time.Now()
		expect(t, f, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
		if took := time.Since(at); took != budget {
			t.Errorf("the first took %s", took)
		}
		at = time.Now()
		for range 100 {
			expect(t, f, sight(2, "a@s.example", "b@r.example", 0), Early)
		}
		if took := time.Since(at); took != 0 {
			t.Errorf("a hundred took %s", took)
		}
		time.Sleep(rest)
		s.hang = false
		before := s.asked.Load()
		expect(t, f, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
		expect(t, f, sight(2, "a@s.example", "b@r.example", 0), Early)
		if n := s.asked.Load() - before; n != 2 {
			t.Errorf("the shared store, back again, was asked %d times", n)
		}
	})
}

// TestFallbackCrowd: more sightings than the shared store has room for do not pile up behind it.
func TestFallbackCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newShaky()
		s.hang = true
		for range 5 * inFlight {
			go f.Sight(t.Context(), sight(2, "a@s.example", "b@r.example", 0))
		}
		synctest.Wait()
		if n := s.asked.Load(); n != inFlight {
			t.Errorf("%d are with the shared store", n)
		}
		time.Sleep(budget)
		synctest.Wait()
		if n := len(f.slots); n != 0 {
			t.Errorf("%d are still there", n)
		}
	})
}

// TestFallbackSessionEnds: a session that ends says nothing about the store.
func TestFallbackSessionEnds(t *testing.T) {
	s, f := newShaky()
	s.hang = true
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Sight(ctx, sight(2, "a@s.example", "b@r.example", 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if f.away {
		t.Error("the shared store is taken for broken")
	}
}
