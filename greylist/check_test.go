package greylist

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatepost/policy"
)

// at is a clock that the test sets.
type at struct{ time.Time }

func (a *at) now() time.Time { return a.Time }

func newCheck(s *Settings) (*Check, *at) {
	a := &at{time.UnixMilli(start)}
	return New(s, NewMemory(s), nowhere(), a.now), a
}

// everyone is settings without conditions.
func everyone() *Settings {
	s := Defaults()
	s.OnlyIf = nil
	return s
}

// TestReply: what the sender hears.
func TestReply(t *testing.T) {
	c, clock := newCheck(everyone())
	v := view("192.0.2.1", "a@s.example", "b@r.example")
	for _, step := range []struct {
		after   time.Duration
		outcome policy.Outcome
		text    string
	}{
		{0, FirstSeen, "Greylisted: please try again in 5 minutes"},
		{time.Second, Early, "Greylisted: please try again in 5 minutes"},
		{61 * time.Second, Early, "Greylisted: please try again in 4 minutes"},
		{2 * time.Minute, Early, "Greylisted: please try again in 2 minutes"},
		{time.Minute, Early, "Greylisted: please try again in 58 seconds"},
		{57 * time.Second, Early, "Greylisted: please try again in 1 second"},
		{time.Second, policy.Pass, ""},
	} {
		clock.Time = clock.Add(step.after)
		f := c.Run(t.Context(), v)
		if f.Outcome != step.outcome || f.Text != step.text {
			t.Errorf("after %s: %s %q, want %s %q", step.after, f.Outcome, f.Text, step.outcome, step.text)
		}
		if f.Text != "" && (f.Code != 451 || f.Status != policy.Status{Subject: 7, Detail: 1}) {
			t.Errorf("%d %v", f.Code, f.Status)
		}
	}
}

func TestInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "1 second", time.Millisecond: "1 second", 59 * time.Second: "59 seconds", time.Minute: "1 minute", 61 * time.Second: "2 minutes",
		5 * time.Minute: "5 minutes", 2 * time.Hour: "120 minutes", 2*time.Hour + 1: "3 hours", 24 * time.Hour: "24 hours",
	} {
		if got := inWords(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

// TestWhoWaits: who is asked to wait, by what other checks found.
func TestWhoWaits(t *testing.T) {
	def := Defaults().OnlyIf
	lists := []Condition{{Check: "dnsbl", Outcome: "some"}}
	temp := []Condition{{Check: "spf", Outcome: policy.TempError}}
	for _, c := range []struct {
		name  string
		only  []Condition
		found []policy.Finding
		want  policy.Outcome
		why   string
	}{
		{"a large sender", def, []policy.Finding{found("spf", policy.Pass), found("rdns", policy.Pass)}, Skipped, "no condition of only_if holds"},
		{"no SPF record", def, []policy.Finding{found("spf", policy.NoneFound), found("rdns", policy.Pass)}, FirstSeen, "spf:none"},
		{"SPF fails", def, []policy.Finding{found("spf", "softfail"), found("rdns", policy.Pass)}, FirstSeen, "spf:softfail"},
		{"no reverse name", def, []policy.Finding{found("spf", policy.Pass), found("rdns", policy.NoneFound)}, FirstSeen, "rdns:none"},
		{"the DNS fails", def, []policy.Finding{found("spf", policy.TempError), found("rdns", policy.TempError)}, Skipped, "no condition of only_if holds"},
		{"the DNS fails for one", def, []policy.Finding{found("spf", policy.TempError), found("rdns", policy.Fail)}, FirstSeen, "rdns:fail"},
		{"a temperror by name", temp, []policy.Finding{found("spf", policy.TempError)}, FirstSeen, "spf:temperror"},
		{"no other check runs", def, nil, Skipped, "no condition of only_if holds"},
		{"everyone", nil, []policy.Finding{found("spf", policy.Pass), found("rdns", policy.Pass)}, FirstSeen, "everyone unknown waits"},
		{"listed a little", lists, []policy.Finding{found("dnsbl", "some")}, FirstSeen, "dnsbl:some"},
		{"not listed", lists, []policy.Finding{found("dnsbl", policy.Pass)}, Skipped, "no condition of only_if holds"},
	} {
		s := Defaults()
		s.OnlyIf = c.only
		check, _ := newCheck(s)
		f := check.Run(t.Context(), view("192.0.2.1", "a@s.example", "b@r.example", c.found...))
		if f.Outcome != c.want || f.Fact("because") != c.why {
			t.Errorf("%s: %s because %q, want %s because %q", c.name, f.Outcome, f.Fact("because"), c.want, c.why)
		}
	}
}

func TestSkip(t *testing.T) {
	s := everyone()
	s.Skip = Skip{Client: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, SenderDomain: []string{"bank.example", ".shop.example", "BÜCHER.example."},
		Recipient: []string{"postmaster@r.example", "open.example", `"Amy B"@r.example.`, ".bücher.example"}}
	for _, c := range []struct{ client, sender, rcpt, why string }{
		{"198.51.100.7", "a@s.example", "b@r.example", "skip.client"},
		{"192.0.2.1", "a@bank.example", "b@r.example", "skip.sender_domain"},
		{"192.0.2.1", "a@x.bank.example", "b@r.example", ""},
		{"192.0.2.1", "a@news.shop.example", "b@r.example", "skip.sender_domain"},
		{"192.0.2.1", "a@shop.example", "b@r.example", "skip.sender_domain"},
		{"192.0.2.1", "a@badshop.example", "b@r.example", ""},
		{"192.0.2.1", "a@s.example", "Postmaster@r.example", "skip.recipient"},
		{"192.0.2.1", "a@s.example", "b@open.example", "skip.recipient"},
		{"192.0.2.1", "a@xn--bcher-kva.example", "b@r.example", "skip.sender_domain"},
		{"192.0.2.1", "a@s.example", "amy b@r.example", "skip.recipient"},
		{"192.0.2.1", "a@s.example", "b@news.xn--bcher-kva.example", "skip.recipient"},
		{"192.0.2.1", "<>", "b@r.example", ""},
	} {
		check, _ := newCheck(s)
		f := check.Run(t.Context(), view(c.client, c.sender, c.rcpt))
		if got := f.Outcome == Skipped; got != (c.why != "") || got && f.Fact("because") != c.why {
			t.Errorf("%s %s %s: %s because %q, want %q", c.client, c.sender, c.rcpt, f.Outcome, f.Fact("because"), c.why)
		}
	}
}

// TestFollows: the check sees the findings of the checks it names, by way of the policy.
func TestFollows(t *testing.T) {
	s := Defaults()
	s.OnlyIf = append(s.OnlyIf, Condition{Check: "dnsbl", Outcome: "some"})
	check, _ := newCheck(s)
	for i, want := range []string{"spf", "spf", "rdns", "dnsbl"} {
		if got := check.Follows(); got[i] != want {
			t.Errorf("%v", got)
		}
	}
	var _ policy.Follower = check
	var _ policy.LastResort = check
	var _ policy.Observer = check
}

// TestMonitor: while the policy only watches, mail is let through at its first try; the sender's next mail passes, days later. One that was
// refused by the backend has gained nothing.
func TestMonitor(t *testing.T) {
	for reply, want := range map[int]policy.Outcome{250: policy.Pass, 550: FirstSeen, 451: FirstSeen} {
		check, clock := newCheck(everyone())
		v := view("192.0.2.1", "a@s.example", "b@r.example")
		if f := check.Run(t.Context(), v); f.Outcome != FirstSeen {
			t.Fatalf("%s", f.Outcome)
		}
		check.Observe(view("192.0.2.1", "a@s.example", "other@r.example"), policy.Reply{Code: 250})
		check.Observe(v, policy.Reply{Code: reply})
		check.Observe(v, policy.Reply{Code: 250}) // of another mail, for which the check did not run
		clock.Time = clock.Add(9 * day)
		if f := check.Run(t.Context(), v); f.Outcome != want {
			t.Errorf("after %d: %s, want %s", reply, f.Outcome, want)
		}
	}
}

// TestMonitorInAPolicy plays the same through the policy, which decides what the check sees.
func TestMonitorInAPolicy(t *testing.T) {
	for mode, want := range map[policy.Mode]policy.Outcome{policy.Monitor: policy.Pass, policy.Enforce: FirstSeen} {
		check, clock := newCheck(everyone())
		p := &policy.Policy{Mode: mode, Slots: []policy.Slot{{Check: check, Mode: policy.Enforce, Actions: Kind().Outcomes}}}
		mail := func() policy.Decision {
			r := p.Begin(context.Background(), policy.View{Client: netip.MustParseAddr("192.0.2.1")})
			defer r.Close()
			r.Helo("mail.s.example", false)
			r.Mail(address("a@s.example"), false)
			d := r.Rcpt(address("b@r.example"))
			reply := d.Reply
			if d.Done < policy.Defer {
				reply = policy.Reply{Code: 250}
			}
			r.Answered(address("b@r.example"), reply)
			return d
		}
		d := mail()
		if d.Would != policy.Defer || d.Done == policy.Defer != (mode == policy.Enforce) {
			t.Errorf("%s: would %s, done %s", mode, d.Would, d.Done)
		}
		if mode == policy.Enforce && (d.Reply.Code != 451 || d.Reply.Text != "4.7.1 Greylisted: please try again in 5 minutes") {
			t.Errorf("%+v", d.Reply)
		}
		clock.Time = clock.Add(9 * day)
		if f := mail().Steps[0].Finding; f.Outcome != want {
			t.Errorf("%s: %s, want %s", mode, f.Outcome, want)
		}
	}
}

// broken is a store that fails.
type broken struct{ Store }

func (broken) Sight(context.Context, Sighting) (Decision, error) {
	return Decision{}, errors.New("no\r\nstore")
}

// TestStoreFails: mail flows, and the log says why, once a minute.
func TestStoreFails(t *testing.T) {
	var log strings.Builder
	clock := &at{time.UnixMilli(start)}
	c := New(everyone(), broken{}, slog.New(slog.NewTextHandler(&log, nil)), clock.now)
	for range 50 {
		c.Run(t.Context(), view("192.0.2.1", "a@s.example", "b@r.example"))
	}
	clock.Time = clock.Add(time.Minute)
	f := c.Run(t.Context(), view("192.0.2.1", "a@s.example", "b@r.example"))
	if f.Outcome != policy.TempError || Kind().Outcomes[f.Outcome] != policy.None || f.Fact("error") != "no??store" {
		t.Errorf("%+v", f)
	}
	if n := strings.Count(log.String(), "the greylist store failed"); n != 2 {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

// TestClock: a clock that is put right by a day under a running process changes nothing. The reading of time.Time that Sub goes by is one
// that a test cannot set, so it is played by a time that jumps in what it shows alone.
func TestClock(t *testing.T) {
	read := time.Now()
	c := newClock(func() time.Time { return read })
	before := c.now()
	read = read.Add(time.Minute)
	if got := c.now() - before; got != minute {
		t.Errorf("%d ms in a minute", got)
	}
	if c.start.String() == c.start.Round(0).String() { // the monotonic part is shown as m=
		t.Error("the clock has lost its monotonic reading")
	}
}

func TestKind(t *testing.T) {
	k := Kind()
	want := map[policy.Outcome]policy.Action{FirstSeen: policy.Defer, Early: policy.Defer, policy.Pass: policy.None, Known: policy.None,
		Skipped: policy.None, policy.TempError: policy.None}
	if k.Name != "greylist" || len(k.Outcomes) != len(want) {
		t.Errorf("%+v", k)
	}
	for o, a := range want {
		if k.Outcomes[o] != a {
			t.Errorf("%s leads to %s", o, k.Outcomes[o])
		}
	}
}
