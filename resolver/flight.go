package resolver

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// waitFactor times Settings.InFlight is how many queries may wait for their turn. More fail at once: they would only wait for
// their time to run out.
const waitFactor = 8

// flights are the questions under way: one query for identical questions.
type flights struct {
	mu  sync.Mutex
	all map[question]*flight
}

// flight is one of them.
type flight struct {
	callers int // who wait for it, under flights.mu
	cancel  context.CancelFunc
	waited  atomic.Bool   // for a slot, or still does
	done    chan struct{} // closed once there is an outcome
	outcome outcome
}

// outcome is what a flight brings: one of the two.
type outcome struct {
	answer *answer
	failed *net.DNSError
}

// fly asks the servers, once for all who want to know the same at the same time. It goes on when the caller that began it
// gives up, and ends when all have: what a sender doesn't wait for takes nobody's turn. Each caller must await or leave it.
func (r *Resolver) fly(q question) *flight {
	r.flights.mu.Lock()
	defer r.flights.mu.Unlock()
	f := r.flights.all[q]
	if f == nil {
		ctx, cancel := context.WithCancel(context.Background())
		f = &flight{cancel: cancel, done: make(chan struct{})}
		r.flights.all[q] = f
		go func() {
			growStack(0)
			f.outcome = r.bring(ctx, q, f)
			r.flights.mu.Lock()
			r.flights.end(q, f)
			r.flights.mu.Unlock()
			close(f.done)
		}()
	}
	f.callers++
	return f
}

// leave is for a caller that gives up.
func (fs *flights) leave(q question, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.callers--; f.callers == 0 {
		fs.end(q, f)
	}
}

// end makes room for another flight for the same question: who asks from now on doesn't get what is left of this one.
func (fs *flights) end(q question, f *flight) {
	if fs.all[q] == f {
		delete(fs.all, q)
	}
	f.cancel()
}

// bring is the flight itself.
func (r *Resolver) bring(ctx context.Context, q question, f *flight) outcome {
	if failed := r.acquire(ctx, q, f); failed != nil {
		return outcome{failed: failed}
	}
	defer func() { <-r.slots }()
	inTime, cancel := context.WithTimeout(ctx, r.settings.Timeout)
	defer cancel()
	o := r.resolve(inTime, q)
	switch {
	case o.failed == nil:
		r.cache.keep(q, o.answer, time.Now())
	case ctx.Err() == nil: // else it failed since nobody waits
		r.cache.fail(q, o.failed, time.Now())
	}
	return o
}

// acquire waits for a free slot, no longer than a query takes.
func (r *Resolver) acquire(ctx context.Context, q question, f *flight) *net.DNSError {
	select {
	case r.slots <- struct{}{}:
		return nil
	default:
	}
	f.waited.Store(true)
	defer r.waiting.Add(-1)
	if r.waiting.Add(1) > int64(waitFactor*cap(r.slots)) {
		return busy(temporary(q.name, "", ErrBusy.Error()))
	}
	ctx, cancel := context.WithTimeout(ctx, r.settings.Timeout)
	defer cancel()
	select {
	case r.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return busy(ended(q.name, ctx.Err()))
	}
}

// givenUp is the error for a caller whose context ended before the outcome came.
func (f *flight) givenUp(q question, cause error) *net.DNSError {
	if f.waited.Load() {
		return busy(ended(q.name, cause))
	}
	return ended(q.name, cause)
}
