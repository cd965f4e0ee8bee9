package greylist

import (
	"errors"
	"fmt"
	"testing"

	"gatepost/policy"
)

// small is a store of n entries.
func small(n int) *Memory {
	s := Defaults()
	s.MaxEntries = n
	return NewMemory(s)
}

// TestWaitingGoFirst: a flood of strangers takes no place of one who came back.
func TestWaitingGoFirst(t *testing.T) {
	m := small(100)
	expect(t, m, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
	expect(t, m, sight(2, "a@s.example", "b@r.example", hour), policy.Pass)
	for i := range 5000 {
		expect(t, m, sight(3, "a@s.example", fmt.Sprint(i, "@r.example"), hour+int64(i)*minute), FirstSeen)
		if n := len(m.table.nodes); n > 100 {
			t.Fatalf("%d entries", n)
		}
	}
	expect(t, m, sight(2, "a@s.example", "b@r.example", 2*hour), policy.Pass)
	if st := m.Stats(); st[StateWaiting] != 98 || st[StatePassed] != 1 || st[StateSeen] != 1 {
		t.Errorf("%v", st)
	}
}

// TestFlood: while strangers come faster than any can come back, those who have a place keep it long enough, and the others pass: greylisting
// must not defer for ever.
func TestFlood(t *testing.T) {
	m := small(100)
	expect(t, m, sight(1, "a@s.example", "b@r.example", -hour), FirstSeen)
	expect(t, m, sight(1, "a@s.example", "b@r.example", 0), policy.Pass)
	expect(t, m, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
	full := 0
	for i := range 5000 {
		if _, err := m.Sight(t.Context(), sight(3, "a@s.example", fmt.Sprint(i, "@r.example"), int64(i)*100)); errors.Is(err, ErrFull) {
			full++
		}
	}
	if full != 5000-97 {
		t.Errorf("%d of 5000 were let pass", full)
	}
	expect(t, m, sight(1, "a@s.example", "b@r.example", 20*minute), policy.Pass)
	expect(t, m, sight(2, "a@s.example", "b@r.example", 20*minute), policy.Pass)
}

// TestKnownGoLast: with nobody waiting, the one that was not used for longest goes, but never one that an admin allowed.
func TestKnownGoLast(t *testing.T) {
	m := small(10)
	for i := range byte(10) {
		r := Record{Key: Key{i}, Entry: Entry{start, start + int64(i), 1, 0}}
		if i == 0 {
			r.Entry.Flags = IsClient | IsKnown | Allowed
		}
		m.Put(t.Context(), []Record{r})
	}
	expect(t, m, sight(2, "a@s.example", "b@r.example", hour), FirstSeen)
	for i, want := range []bool{true, false, true} {
		if _, got := m.table.nodes[Key{byte(i)}]; got != want {
			t.Errorf("entry %d is there: %v", i, got)
		}
	}
}

// TestExpire: what is over goes by itself, a day late.
func TestExpire(t *testing.T) {
	m := small(1000)
	for i := range 500 {
		expect(t, m, sight(2, "a@s.example", fmt.Sprint(i, "@r.example"), int64(i)), FirstSeen)
	}
	expect(t, m, sight(3, "a@s.example", "b@r.example", 71*hour), FirstSeen)
	if n := m.Stats()[StateWaiting]; n != 501 {
		t.Errorf("%d are left within the day", n)
	}
	for i := range 300 {
		expect(t, m, sight(3, "c@s.example", fmt.Sprint(i, "@r.example"), 80*hour), FirstSeen)
	}
	if n := m.Stats()[StateWaiting]; n != 301 {
		t.Errorf("%d are left", n)
	}
}

// TestExcusedMakeRoom: under monitor mode everyone is let through, and the bound holds.
func TestExcusedMakeRoom(t *testing.T) {
	m := small(100)
	for i := range 1000 {
		x := sight(3, "a@s.example", fmt.Sprint(i, "@r.example"), int64(i)*second)
		expect(t, m, x, FirstSeen)
		x.Excuse = true
		expect(t, m, x, Early)
	}
	if n := len(m.table.nodes); n != 100 {
		t.Errorf("%d entries", n)
	}
}
