package greylist

import (
	"math/rand/v2"
	"testing"
	"time"

	"gatepost/policy"
)

// testRules are the default times.
func testRules() Rules { return Defaults().rules() }

// start is some moment, in milliseconds.
var start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC).UnixMilli()

const (
	second = int64(1000)
	minute = 60 * second
	hour   = 60 * minute
	aDay   = 24 * hour
)

// TestStep plays what one triplet goes through; each line is a sighting.
func TestStep(t *testing.T) {
	type sight struct {
		at     int64 // after start
		excuse bool
		want   policy.Outcome
		wait   int64
	}
	for _, c := range []struct {
		name   string
		after  int
		sights []sight
	}{
		{"a server that comes back", 3, []sight{{0, false, FirstSeen, 5 * minute}, {10 * minute, false, policy.Pass, 0}, {20 * minute, false, policy.Pass, 0}}},
		{"just in time", 3, []sight{{0, false, FirstSeen, 5 * minute}, {5 * minute, false, policy.Pass, 0}}},
		{"an early retry restarts nothing", 3, []sight{{0, false, FirstSeen, 5 * minute}, {second, false, Early, 299 * second},
			{4 * minute, false, Early, minute}, {5 * minute, false, policy.Pass, 0}}},
		{"the last moment of the window", 3, []sight{{0, false, FirstSeen, 5 * minute}, {48 * hour, false, policy.Pass, 0}}},
		{"too late is new", 3, []sight{{0, false, FirstSeen, 5 * minute}, {48*hour + 1, false, FirstSeen, 5 * minute}, {48*hour + 5*minute + 1, false, policy.Pass, 0}}},
		{"remembered, and renewed by use", 9, []sight{{0, false, FirstSeen, 5 * minute}, {hour, false, policy.Pass, 0}, {30 * aDay, false, policy.Pass, 0},
			{60 * aDay, false, policy.Pass, 0}, {97 * aDay, false, FirstSeen, 5 * minute}}},
		{"known after three", 3, []sight{{0, false, FirstSeen, 5 * minute}, {hour, false, policy.Pass, 0}, {2 * hour, false, policy.Pass, 0}, {3 * hour, false, policy.Pass, 0},
			{4 * hour, false, Known, 0}}},
		{"known is renewed by use", 1, []sight{{0, false, FirstSeen, 5 * minute}, {hour, false, policy.Pass, 0}, {30 * aDay, false, Known, 0}, {60 * aDay, false, Known, 0},
			{97 * aDay, false, FirstSeen, 5 * minute}}},
		{"never known", 0, []sight{{0, false, FirstSeen, 5 * minute}, {hour, false, policy.Pass, 0}, {2 * hour, false, policy.Pass, 0}}},
		{"let through: the next mail passes, a week later", 3, []sight{{0, false, FirstSeen, 5 * minute}, {0, true, Early, 0}, {7 * aDay, false, policy.Pass, 0}}},
		{"let through twice within the delay", 3, []sight{{0, false, FirstSeen, 5 * minute}, {0, true, Early, 0}, {minute, false, Early, 4 * minute}, {minute, true, Early, 0},
			{35 * aDay, false, policy.Pass, 0}}},
		{"let through, and forgotten", 3, []sight{{0, false, FirstSeen, 5 * minute}, {0, true, Early, 0}, {37 * aDay, false, FirstSeen, 5 * minute}}},
		{"a clock put back by a day while waiting", 3, []sight{{aDay, false, FirstSeen, 5 * minute}, {0, false, Early, 5 * minute}, {5 * minute, false, policy.Pass, 0}}},
		{"a clock put forward by a day while waiting", 3, []sight{{0, false, FirstSeen, 5 * minute}, {aDay + minute, false, policy.Pass, 0}}},
		{"a clock put back by a day once passed", 3, []sight{{aDay, false, FirstSeen, 5 * minute}, {aDay + hour, false, policy.Pass, 0}, {0, false, policy.Pass, 0}}},
		{"a clock put back by a day once known", 1, []sight{{aDay, false, FirstSeen, 5 * minute}, {aDay + hour, false, policy.Pass, 0}, {0, false, Known, 0}, {2 * aDay, false, Known, 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p pair
			for i, s := range c.sights {
				var d Decision
				p, d = testRules().step(p, Sighting{After: c.after, Now: start + s.at, Excuse: s.excuse})
				if d.Outcome != s.want || d.Wait != span(s.wait) {
					t.Fatalf("sighting %d: %s, wait %s; want %s, wait %s", i, d.Outcome, d.Wait, s.want, span(s.wait))
				}
			}
		})
	}
}

// TestCountOnceADelay: a mail for many recipients is one mail.
func TestCountOnceADelay(t *testing.T) {
	r, client := testRules(), Entry{}
	pass := func(at int64) Decision {
		p, d := r.step(pair{client, Entry{First: start - hour, Last: start - hour}}, Sighting{After: 3, Now: start + at})
		client = p.client
		return d
	}
	for i := range int64(50) {
		pass(i * second)
	}
	if client.Passed != 1 || client.State() != StateSeen {
		t.Fatalf("after one mail for 50 recipients: %d mails, %s", client.Passed, client.State())
	}
	pass(10 * minute)
	pass(20 * minute)
	if d := pass(30 * minute); d.Outcome != Known {
		t.Errorf("after three mails: %s", d.Outcome)
	}
}

// TestWaits holds whatever the clock does: no wait is negative or longer than the delay, and nobody waits for ever.
func TestWaits(t *testing.T) {
	r := testRules()
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		p, now := pair{}, start
		for range 20 {
			now += rng.Int64N(12*hour) - 2*hour
			if rng.IntN(10) == 0 {
				now += []int64{aDay, -aDay}[rng.IntN(2)]
			}
			var d Decision
			p, d = r.step(p, Sighting{After: rng.IntN(3), Now: now, Excuse: rng.IntN(5) == 0})
			if d.Wait < 0 || d.Wait > span(r.Delay) || d.Waited < 0 {
				t.Fatalf("seed %d: wait %s, waited %s", seed, d.Wait, d.Waited)
			}
		}
		p, d := r.step(p, Sighting{Now: now})
		if _, d2 := r.step(p, Sighting{Now: now + d.Wait.Milliseconds()}); d2.Outcome != policy.Pass && d2.Outcome != Known {
			t.Fatalf("seed %d: told to wait %s, and then %s", seed, d.Wait, d2.Outcome)
		}
	}
}

// TestState: the states, and how long each is kept.
func TestState(t *testing.T) {
	r := testRules()
	for _, c := range []struct {
		e    Entry
		want State
		end  int64
	}{
		{Entry{First: start, Last: start}, StateWaiting, start + r.Window},
		{Entry{First: start, Last: start + hour, Flags: Excused}, StateWaiting, start + hour + r.Remember},
		{Entry{First: start, Last: start + hour, Passed: 1}, StatePassed, start + hour + r.Remember},
		{Entry{First: start, Last: start, Passed: 1, Flags: IsClient}, StateSeen, start + r.Remember},
		{Entry{First: start, Last: start, Passed: 3, Flags: IsClient | IsKnown}, StateKnown, start + r.Remember},
		{Entry{First: start, Last: start, Flags: IsClient | IsKnown | Allowed}, StateAllowed, 0},
	} {
		if got, end := c.e.State(), r.End(c.e); got != c.want || end != c.end {
			t.Errorf("%+v is %s until %d, want %s until %d", c.e, got, end, c.want, c.end)
		}
	}
}

func TestMerge(t *testing.T) {
	a, b := Entry{10, 20, 3, IsClient}, Entry{5, 15, 7, IsClient | IsKnown}
	want := Entry{5, 20, 7, IsClient | IsKnown}
	if merge(a, b) != want || merge(b, a) != want || merge(a, Entry{}) != a || merge(Entry{}, a) != a {
		t.Errorf("%+v, %+v, %+v", merge(a, b), merge(a, Entry{}), merge(Entry{}, a))
	}
}
