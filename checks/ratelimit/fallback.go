package ratelimit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// fallback is a server's buckets with those of this machine behind them. The local ones are set to what the server says, so
// they hold what this machine has seen when the server fails; then they serve.
type fallback struct {
	server server
	local  *Memory
	log    *slog.Logger
	slots  chan struct{} // for the server: what is full hangs, and the library's queue must not fill

	mu    sync.Mutex
	until time.Time // the server is not asked before: it has failed
	told  time.Time // when the log was last told that it fails
	owed  bool      // the log is to be told that it serves again
}

// server is what is behind; see redis.
type server interface {
	take(ctx context.Context, key string, n int, l Limit, now time.Time) (Use, bucket, error)
	close()
}

const (
	// rest is how long a server that failed is left alone, but for one try.
	rest = time.Second
	// tellEvery is how often the log is told that it still fails.
	tellEvery = time.Minute
	// inFlight is how many may be with the server at once.
	inFlight = 512
)

func newFallback(s server, local *Memory, log *slog.Logger) *fallback {
	return &fallback{server: s, local: local, log: log, slots: make(chan struct{}, inFlight)}
}

// Take implements Store, here where the server does not before ctx ends. It never fails.
func (f *fallback) Take(ctx context.Context, key string, n int, l Limit, now time.Time) (Use, error) {
	if !f.try() {
		return f.local.Take(ctx, key, n, l, now)
	}
	use, left, err := f.ask(ctx, key, n, l, now)
	// The check's own budget is a deadline. Where a session has ended instead, nothing is said about the server.
	if !errors.Is(ctx.Err(), context.Canceled) {
		f.tell(err)
	}
	if err != nil {
		return f.local.Take(ctx, key, n, l, now)
	}
	f.local.put(key, left, now)
	return use, nil
}

func (f *fallback) ask(ctx context.Context, key string, n int, l Limit, now time.Time) (Use, bucket, error) {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return Use{}, bucket{}, ctx.Err()
	}
	return f.server.take(ctx, key, n, l, now)
}

// try says whether the server is to be asked. While it fails, one Take in each rest asks it.
func (f *fallback) try() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.until.IsZero() {
		return true
	}
	now := time.Now()
	if now.Before(f.until) {
		return false
	}
	f.until = now.Add(rest)
	return true
}

// tell takes in how the server did.
func (f *fallback) tell(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.until = time.Time{}
		if f.owed {
			f.owed = false
			f.log.Info("the shared rate limits are back")
		}
		return
	}
	now := time.Now()
	f.until = now.Add(rest)
	if errors.Is(err, errClosed) || !f.told.IsZero() && now.Sub(f.told) < tellEvery {
		return
	}
	f.told, f.owed = now, true
	f.log.Warn("the shared rate limits fail; this machine counts by itself", "error", err)
}

// Close lets go of the server. What is asked after that is counted here.
func (f *fallback) Close() error {
	f.server.close()
	return nil
}
