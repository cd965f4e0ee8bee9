package greylist

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// fallback is a shared store with a local one behind it. The local one is told of each sighting, so that it knows what this node
// has seen when the shared one fails; then it serves. A sighting takes no longer than the budget.
//
// What the local store learns meanwhile stays there: once the shared one is back, a sender may have to wait once more.
type fallback struct {
	shared Store
	local  *Memory
	log    *slog.Logger
	slots  chan struct{} // for the shared store: what is full hangs, and the library's queue must not fill

	mu    sync.Mutex
	away  bool
	until time.Time // while away: the shared store is not tried before
}

const (
	// budget is how long the shared store may take for a sighting (DESIGN: State).
	budget = 250 * time.Millisecond
	// rest is how long a shared store that failed is left alone, but for one try.
	rest = time.Second
	// inFlight is how many sightings may be with the shared store at once.
	inFlight = 512
)

func newFallback(shared Store, local *Memory, log *slog.Logger) *fallback {
	return &fallback{shared: shared, local: local, log: log, slots: make(chan struct{}, inFlight)}
}

// Sight takes a sighting in, here where the shared store does not in time.
func (f *fallback) Sight(ctx context.Context, s Sighting) (Decision, error) {
	if !f.try() {
		return f.local.Sight(ctx, s)
	}
	d, err := f.ask(ctx, s)
	if ctx.Err() != nil { // the session ended: nothing is said about the store
		return Decision{}, ctx.Err()
	}
	f.tell(err)
	if err != nil {
		return f.local.Sight(ctx, s)
	}
	f.local.mirror(s, d)
	return d, nil
}

// ask asks the shared store.
func (f *fallback) ask(ctx context.Context, s Sighting) (Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return Decision{}, ctx.Err()
	}
	return f.shared.Sight(ctx, s)
}

// try says whether the shared store is to be asked. While it is away, one sighting in each rest asks it.
func (f *fallback) try() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.away && now.Before(f.until) {
		return false
	}
	f.until = now.Add(rest)
	return true
}

// tell takes in how the shared store did.
func (f *fallback) tell(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil && !f.away:
		f.log.Warn("the shared greylist store fails; this node goes on by itself", "error", err)
	case err == nil && f.away:
		f.log.Info("the shared greylist store is back")
	}
	f.away = err != nil
	if f.away {
		f.until = time.Now().Add(rest)
	}
}

// Stats counts the entries of the shared store, or while that is away of the local one.
func (f *fallback) Stats() map[State]int {
	f.mu.Lock()
	away := f.away
	f.mu.Unlock()
	if away {
		return f.local.Stats()
	}
	return f.shared.Stats()
}

// Close closes the shared store.
func (f *fallback) Close() error { return f.shared.Close() }
