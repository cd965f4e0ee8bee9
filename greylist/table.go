package greylist

import (
	"sync"
)

// table holds entries in memory, bounded. It is what Memory is, and what stands in front of SQLite.
type table struct {
	mu      sync.Mutex
	rules   Rules
	limit   int
	nodes   map[Key]*node
	order   [classes]list // the oldest first
	states  map[State]int
	changed map[Key]struct{} // since the last save; nil where nothing is saved
	tooMany bool             // more changed than is worth a list: all is to be saved
}

// node is an entry in its place.
type node struct {
	key        Key
	entry      Entry
	label      string // packed; "" once it is on disk
	class      class
	prev, next *node
}

// class is the order in which a table gives entries up: the waiting go before those that have proved themselves.
type class uint8

const (
	waiting class = iota // by first try
	excused              // by last mail
	settled              // by last mail
	kept                 // never given up
	classes
)

func classOf(e Entry) class {
	switch e.State() {
	case StateAllowed:
		return kept
	case StateWaiting:
		if e.Flags&Excused != 0 {
			return excused
		}
		return waiting
	}
	return settled
}

// chance is how long beyond the delay, in milliseconds, a stranger is sure to keep its place. A server that tries again after a quarter or half
// an hour would else be deferred for ever while a flood lasts.
const chance = 30 * 60 * 1000

func newTable(r Rules, limit int) *table {
	return &table{rules: r, limit: limit, nodes: map[Key]*node{}, states: map[State]int{}}
}

// sight takes a sighting in.
func (t *table) sight(s Sighting) (Decision, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(s.Now)
	after, d := t.rules.step(pair{t.entry(s.Client), t.entry(s.Triplet)}, s)
	if d.Outcome == FirstSeen && t.nodes[s.Triplet] == nil && !t.room(s.Now) {
		return Decision{}, ErrFull
	}
	d.left = after
	t.set(s.Triplet, after.triplet, s.Label.pack())
	t.set(s.Client, after.client, s.Label.Client)
	return d, nil
}

// entry is the entry under a key, zero where there is none.
func (t *table) entry(k Key) Entry {
	if n := t.nodes[k]; n != nil {
		return n.entry
	}
	return Entry{}
}

// room makes room for a stranger, if that can be done without taking the place of one who has had no chance, or of one who has
// come back while others only wait.
func (t *table) room(now int64) bool {
	if len(t.nodes) < t.limit {
		return true
	}
	oldest := t.order[waiting].front
	switch {
	case oldest != nil && now-oldest.entry.First >= t.rules.Delay+chance:
		t.remove(oldest)
	case t.order[excused].front != nil:
		t.remove(t.order[excused].front)
	case oldest == nil && t.order[settled].front != nil:
		t.remove(t.order[settled].front)
	default:
		return false
	}
	return true
}

// set puts an entry under a key; a zero one is none. Beyond the limit another goes, the least worthy first.
func (t *table) set(k Key, e Entry, label string) {
	n := t.nodes[k]
	switch {
	case e.First == 0 && n != nil:
		t.remove(n)
	case e.First == 0 || n != nil && n.entry == e:
	case n != nil:
		t.take(n)
		n.entry = e
		t.place(n)
	default:
		n = &node{key: k, entry: e, label: label}
		t.nodes[k] = n
		t.place(n)
		t.shrink(n)
	}
}

// shrink gives up what is beyond the limit, but not the entry that is just being made.
func (t *table) shrink(but *node) {
	for c := waiting; c < kept && len(t.nodes) > t.limit; c++ {
		for n := t.order[c].front; n != nil && len(t.nodes) > t.limit; {
			next := n.next
			if n != but {
				t.remove(n)
			}
			n = next
		}
	}
}

// expire gives up what is over and past its grace, a few at a time, so that no sighting waits for many.
func (t *table) expire(now int64) {
	for c := range kept {
		for range 2 {
			if n := t.order[c].front; n != nil && t.rules.over(n.entry, now-grace) {
				t.remove(n)
			}
		}
	}
}

// place files a node, as the youngest of its class.
func (t *table) place(n *node) {
	n.class = classOf(n.entry)
	t.order[n.class].push(n)
	t.states[n.entry.State()]++
	t.note(n.key)
}

// take is the contrary of place.
func (t *table) take(n *node) {
	t.order[n.class].cut(n)
	t.states[n.entry.State()]--
}

func (t *table) remove(n *node) {
	t.take(n)
	delete(t.nodes, n.key)
	t.note(n.key)
}

// note notes a change for the next save. The list is bounded, also while nothing can be saved.
func (t *table) note(k Key) {
	if t.changed == nil || t.tooMany {
		return
	}
	t.changed[k] = struct{}{}
	if len(t.changed) > 2*t.limit {
		t.changed, t.tooMany = map[Key]struct{}{}, true
	}
}

// stats counts the entries by state.
func (t *table) stats() map[State]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := map[State]int{}
	for _, s := range States() {
		m[s] = t.states[s]
	}
	return m
}

// list is a doubly linked list of nodes.
type list struct{ front, back *node }

func (l *list) push(n *node) {
	n.prev, n.next = l.back, nil
	if l.back != nil {
		l.back.next = n
	} else {
		l.front = n
	}
	l.back = n
}

func (l *list) cut(n *node) {
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		l.front = n.next
	}
	if n.next != nil {
		n.next.prev = n.prev
	} else {
		l.back = n.prev
	}
	n.prev, n.next = nil, nil
}
