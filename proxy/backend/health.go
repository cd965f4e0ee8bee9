package backend

import (
	"time"

	"gatepost/proxy/smtp"
)

// The time for which an address that failed is passed over.
const (
	firstWait = time.Second
	lastWait  = time.Minute
)

// Health is the state of one address.
type Health struct {
	Address string
	Up      bool      // false from a failed connection to the next one that works
	Since   time.Time // of the last change
	Err     error     // why it is down
}

// state is the health of an address and when to try it again.
type state struct {
	Health
	wait   time.Duration // how long it is passed over after a failure
	failed time.Time     // the last failure that counted
	next   time.Time     // it is passed over until then
}

func newStates(addresses []string, now time.Time) []state {
	states := make([]state, len(addresses))
	for i, a := range addresses {
		states[i].Health = Health{Address: a, Up: true, Since: now}
	}
	return states
}

// Health is the state of each address in the order of the settings.
func (b *Backend) Health() []Health {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Health, len(b.addresses))
	for i := range b.addresses {
		all[i] = b.addresses[i].Health
	}
	return all
}

// pick gives the addresses to try, as indices in their order. One that is due for another try is given to one caller
// only, so that the others don't all wait for a dead server. With none up or due, all are tried.
func (b *Backend) pick(now time.Time) []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	some := make([]int, 0, len(b.addresses))
	for i := range b.addresses {
		s := &b.addresses[i]
		if !s.Up && now.Before(s.next) {
			continue
		}
		s.next = now.Add(s.wait)
		some = append(some, i)
	}
	if len(some) > 0 {
		return some
	}
	for i := range b.addresses {
		some = append(some, i)
	}
	return some
}

// works notes that a connection to address i was opened.
func (b *Backend) works(i int, caps smtp.Caps, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.caps, b.known = caps, true
	s := &b.addresses[i]
	if !s.Up {
		*s = state{Health: Health{Address: s.Address, Up: true, Since: now}}
	}
}

// fails notes that a try of address i, begun at start, failed. Of many that fail at the same time only the first counts:
// the wait doubles when a try after the wait has failed too.
func (b *Backend) fails(i int, err error, start, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.addresses[i]
	s.Err = err
	switch {
	case s.Up:
		s.Up, s.Since, s.wait = false, now, firstWait
	case start.Sub(s.failed) >= s.wait:
		s.wait = min(2*s.wait, lastWait)
	default:
		return
	}
	s.failed, s.next = now, now.Add(s.wait)
}
