package resolver

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gatepost/internal/workers"
)

// waitFactor times Settings.InFlight is how many queries may wait for their turn. More fail at once: they would only wait for
// their time to run out.
const waitFactor = 8

// flights are the questions under way: one query for identical questions.
type flights struct {
	mu      sync.Mutex
	all     map[question]*flight
	clients map[netip.Prefix]int // how many of them each client has begun
}

// flight is one of them.
type flight struct {
	client  netip.Prefix // who has begun it; invalid where that is not known
	callers int          // who wait for it, under flights.mu
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
// gives up, and ends when all have: what a sender doesn't wait for takes nobody's turn. Each caller must await or leave it. nil where the
// client has its share of queries under way; to join another's takes none of it.
func (r *Resolver) fly(q question, client netip.Prefix) *flight {
	r.flights.mu.Lock()
	defer r.flights.mu.Unlock()
	f := r.flights.all[q]
	if f == nil {
		if client.IsValid() && r.flights.clients[client] >= max(1, cap(r.slots)/shares) {
			return nil
		}
		ctx, cancel := context.WithCancel(context.Background())
		f = &flight{client: client, cancel: cancel, done: make(chan struct{})}
		r.flights.all[q] = f
		r.flights.clients[client]++
		workers.Go(func() {
			f.outcome = r.bring(ctx, q, f)
			r.flights.mu.Lock()
			r.flights.end(q, f)
			r.flights.mu.Unlock()
			close(f.done)
		})
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
		if fs.clients[f.client]--; fs.clients[f.client] == 0 {
			delete(fs.clients, f.client)
		}
	}
	f.cancel()
}

// shares is into how many parts the queries under way are divided: no client has more than one part.
const shares = 4

type clientKey struct{}

// WithClient says for whom the look-ups with this context are: no client, an IPv4 address or an IPv6 /64, has more than a quarter of
// Settings.InFlight under way, so that one alone cannot take the DNS from the others. What goes beyond it fails with ErrBusy.
func WithClient(ctx context.Context, client netip.Addr) context.Context {
	bits := 64
	if client.Is4() {
		bits = 32
	}
	network, err := client.Prefix(bits)
	if err != nil { // not known
		return ctx
	}
	return context.WithValue(ctx, clientKey{}, network)
}

// clientOf is the client whom a look-up is for; invalid where nobody said.
func clientOf(ctx context.Context) netip.Prefix {
	client, _ := ctx.Value(clientKey{}).(netip.Prefix)
	return client
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
