package greylist

import (
	"time"

	"gatepost/policy"
)

// Entry is what is kept of a triplet (client, sender, recipient), or of a client. Times are in milliseconds since 1970. The zero
// Entry is none.
type Entry struct {
	First  int64  // when it was first seen
	Last   int64  // when it last passed and was counted
	Passed uint32 // mails that passed
	Flags  Flags
}

// Flags say what else is true of an entry.
type Flags uint8

// The flags. Their values are kept on disk and in Redis.
const (
	IsClient Flags = 1 << iota // of a client, not of a triplet
	IsKnown                    // every recipient is open to the client
	Allowed                    // an admin said so; it never ends
	Excused                    // it was let through when it should have waited, so it need not come back within the window
)

// State is what an entry amounts to.
type State string

// The states.
const (
	StateWaiting State = "waiting" // a triplet that has to come back
	StatePassed  State = "passed"  // a triplet that came back
	StateSeen    State = "seen"    // a client that brought mail, and is not known yet
	StateKnown   State = "known"   // a client to which every recipient is open
	StateAllowed State = "allowed" // the same, by an admin's word
)

// States are all states, from the one that is given up first.
func States() []State {
	return []State{StateWaiting, StatePassed, StateSeen, StateKnown, StateAllowed}
}

// State is what the entry amounts to.
func (e Entry) State() State {
	switch {
	case e.Flags&Allowed != 0:
		return StateAllowed
	case e.Flags&IsKnown != 0:
		return StateKnown
	case e.Flags&IsClient != 0:
		return StateSeen
	case e.Passed > 0:
		return StatePassed
	}
	return StateWaiting
}

// Rules are the times that entries go by, in milliseconds.
type Rules struct {
	Delay    int64 // how long a stranger waits
	Window   int64 // how long it has to come back, from the first try on
	Remember int64 // how long an entry is kept, from the last mail on
}

// grace is how long an entry stays in a store beyond its end. A clock that was a day ahead then has deleted nothing that lives.
const grace = int64(day / time.Millisecond)

// End is the last moment at which the entry counts; 0 for one that never ends.
func (r Rules) End(e Entry) int64 {
	switch {
	case e.Flags&Allowed != 0:
		return 0
	case e.State() == StateWaiting && e.Flags&Excused == 0:
		return e.First + r.Window
	}
	return e.Last + r.Remember
}

// over says whether the entry does not count any more.
func (r Rules) over(e Entry, now int64) bool {
	end := r.End(e)
	return end != 0 && now > end
}

// pair is the two entries that a sighting is about.
type pair struct{ client, triplet Entry }

// step is what a sighting makes of the entries, and what it comes to. It is the one machine: every store goes by it, and Redis by the
// same in its own language.
func (r Rules) step(p pair, s Sighting) (pair, Decision) {
	if r.over(p.client, s.Now) {
		p.client = Entry{}
	}
	if r.over(p.triplet, s.Now) {
		p.triplet = Entry{}
	}
	if s.Excuse {
		return r.excuse(p, s.Now)
	}
	if p.client.Flags&(IsKnown|Allowed) != 0 {
		p.client.Last = s.Now
		return p, Decision{Outcome: Known, Mails: p.client.Passed}
	}
	return r.meet(p, s)
}

// meet takes in a triplet whose client is not known.
func (r Rules) meet(p pair, s Sighting) (pair, Decision) {
	t := &p.triplet
	if t.First == 0 {
		*t = Entry{First: s.Now, Last: s.Now}
		return p, Decision{Outcome: FirstSeen, Wait: span(r.Delay)}
	}
	if t.First > s.Now { // by a clock that was ahead: it waits from now on, and not until that time comes
		t.First = s.Now
	}
	waited := s.Now - t.First
	if t.Passed == 0 && waited < r.Delay {
		return p, Decision{Outcome: Early, Waited: span(waited), Wait: span(r.Delay - waited)}
	}
	t.Passed++
	t.Last = s.Now
	t.Flags &^= Excused
	p.client = r.count(p.client, s)
	return p, Decision{Outcome: policy.Pass, Waited: span(waited), Mails: t.Passed}
}

// count counts a mail for its client, at most one in each delay: a mail for many recipients is one mail.
func (r Rules) count(c Entry, s Sighting) Entry {
	if c.First == 0 {
		c = Entry{First: s.Now, Flags: IsClient}
	}
	if c.Passed > 0 && s.Now >= c.Last && s.Now-c.Last < r.Delay {
		return c
	}
	c.Passed++
	c.Last = s.Now
	if s.After > 0 && int64(c.Passed) >= int64(s.After) {
		c.Flags |= IsKnown
	}
	return c
}

// excuse takes in that a mail was let through that should have waited.
func (r Rules) excuse(p pair, now int64) (pair, Decision) {
	if p.triplet.First != 0 && p.triplet.Passed == 0 {
		p.triplet.Flags |= Excused
		p.triplet.Last = now
	}
	return p, Decision{Outcome: Early}
}

// merge is the entry that two sources of the same come to, such as a log and a store.
func merge(a, b Entry) Entry {
	if a.First == 0 {
		return b
	}
	if b.First == 0 {
		return a
	}
	return Entry{min(a.First, b.First), max(a.Last, b.Last), max(a.Passed, b.Passed), a.Flags | b.Flags}
}

// span is milliseconds as a duration.
func span(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
