package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"gatepost/resolver"
)

// maxFailures is how many look-ups in a row fail before a zone is out of service.
const maxFailures = 5

// ZoneState is the state of one zone.
type ZoneState struct {
	Zone  string    // as it is shown
	Up    bool      // it proved itself and is asked
	Why   string    // why it is not asked; "" where it is
	Odd   string    // an answer outside 127.0.0.0/8 that it gave since it last proved itself; "" for none
	Since time.Time // of the last change of Up; zero before the first
}

// zone is one list with its state.
type zone struct {
	Zone
	of       []string // the subjects it is for; empty: all
	tests    proof
	resolver Resolver
	log      *slog.Logger
	proving  chan struct{} // holds one token: one proof at a time
	fell     chan struct{} // tells watch that the zone is out of service

	mu       sync.Mutex
	tested   bool
	now      ZoneState
	failures int           // look-ups that failed since the last that did not
	pause    time.Duration // until the next proof of a zone that is out of service
}

func newZone(z Zone, p proof, r Resolver, log *slog.Logger) *zone {
	return &zone{
		Zone: z, tests: p, resolver: r, log: log,
		proving: make(chan struct{}, 1), fell: make(chan struct{}, 1),
		now: ZoneState{Zone: z.shown(), Why: "has not proved itself yet"},
	}
}

func (z *zone) isFor(s subject) bool { return len(z.of) == 0 || slices.Contains(z.of, s.what) }

// answer is what a zone says of a subject.
type answer struct {
	zone    *zone
	subject subject
	reading
	txt    string
	silent string // why there is no answer; "" where there is one
}

// ask fills in the answer about a subject.
func (z *zone) ask(ctx context.Context, a *answer) {
	if a.silent = z.ready(ctx); a.silent != "" {
		return
	}
	addrs, txt, err := z.resolver.Listing(ctx, a.subject.query+"."+z.Name)
	if err != nil {
		a.silent = reason(err)
		z.failed(ctx, err)
		return
	}
	a.reading = read(addrs, z.Codes)
	z.answered(a.reading)
	if a.refusal.IsValid() {
		a.reading, a.silent = reading{}, refuses(a.refusal)
		return
	}
	if len(a.hits) > 0 {
		a.txt = clean(txt)
	}
}

// ready is why the zone is not to be asked, "" where it is. The first to ask lets it prove itself.
func (z *zone) ready(ctx context.Context) string {
	if z.isUntested() {
		z.proveFirst(ctx)
	}
	return z.state().Why
}

func (z *zone) isUntested() bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return !z.tested
}

func (z *zone) state() ZoneState {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.now
}

// answered takes note of an answer.
func (z *zone) answered(r reading) {
	z.change(func() {
		z.failures = 0
		if r.foreign.IsValid() && z.now.Odd == "" {
			z.now.Odd = fmt.Sprintf("answered %v, which is outside 127.0.0.0/8", r.foreign)
		}
		if r.refusal.IsValid() {
			z.down(refuses(r.refusal))
		}
	})
}

// failed takes note of a look-up that failed.
func (z *zone) failed(ctx context.Context, err error) {
	if isOurs(ctx, err) {
		return
	}
	z.change(func() {
		if z.failures++; z.failures >= maxFailures && z.now.Up {
			z.down(fmt.Sprintf("%d look-ups in a row failed: %s", z.failures, reason(err)))
		}
	})
}

// isOurs says whether a look-up was given up, or failed by our own load: that says nothing of the zone.
func isOurs(ctx context.Context, err error) bool {
	return errors.Is(ctx.Err(), context.Canceled) || errors.Is(err, resolver.ErrBusy)
}

// change changes the state under the lock, and logs what is new when the lock is free again: a log that is stuck must not hold up
// every session.
func (z *zone) change(f func()) {
	z.mu.Lock()
	before := z.now
	f()
	after := z.now
	if before.Up != after.Up {
		z.now.Since = time.Now()
	}
	z.mu.Unlock()
	switch {
	case after.Up && !before.Up:
		z.log.Info("block list is in service", "zone", after.Zone)
	case !after.Up && after.Why != before.Why:
		z.log.Error("block list is out of service", "zone", after.Zone, "why", after.Why)
	}
	if after.Odd != "" && before.Odd == "" {
		z.log.Error("block list gives an odd answer, which is ignored", "zone", after.Zone, "why", after.Odd)
	}
}

// down takes the zone out of service; within change.
func (z *zone) down(why string) {
	z.tested, z.now.Up, z.now.Why = true, false, why
	select {
	case z.fell <- struct{}{}:
	default:
	}
}

// up puts the zone in service; within change.
func (z *zone) up() {
	z.tested, z.now.Up, z.now.Why, z.now.Odd = true, true, "", ""
	z.failures, z.pause = 0, 0
}

func refuses(code fmt.Stringer) string {
	return fmt.Sprintf("refuses our queries (%v): a public resolver, too many queries or no subscription", code)
}
