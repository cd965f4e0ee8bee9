package ratelimit

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost/policy"
)

// small is a policy with the check and limits that are soon reached.
func small(st Store, change func(*Settings)) *policy.Policy {
	s := &Settings{Exempt: defaults().Exempt}
	change(s)
	c := New(s, st)
	return &policy.Policy{Mode: policy.Enforce, Slots: []policy.Slot{
		{Check: spf{}, Mode: policy.Enforce},
		{Check: c, Mode: policy.Enforce, Actions: Kind().Outcomes},
	}}
}

// spf passes for senders below pass.example.
type spf struct{}

func (spf) Name() string        { return "spf" }
func (spf) Stage() policy.Stage { return policy.StageMail }
func (spf) Run(_ context.Context, v policy.View) policy.Finding {
	if strings.HasSuffix(v.Sender.Domain, "pass.example") {
		return policy.Finding{Outcome: policy.Pass}
	}
	return policy.Finding{Outcome: policy.Fail}
}

var amy = policy.Mailbox{Local: "amy", Domain: "example.com"}

// session is one session of a client that sends messages, each to some recipients; the outcome at each recipient is told.
func session(t *testing.T, p *policy.Policy, client, sender string, recipients ...int) (outcomes []policy.Outcome) {
	t.Helper()
	r := p.Begin(t.Context(), policy.View{Client: netip.MustParseAddr(client)})
	defer r.Close()
	for _, n := range recipients {
		r.Mail(policy.Mailbox{Local: "a", Domain: sender}, sender == "")
		for range n {
			for _, st := range r.Rcpt(amy).Steps {
				if st.Finding.Check == "ratelimit" {
					outcomes = append(outcomes, st.Finding.Outcome)
				}
			}
		}
		r.Reset()
	}
	return outcomes
}

const stranger = "203.0.113.9"

func pass(n int) []policy.Outcome { return repeat(policy.Pass, n) }

func repeat(o policy.Outcome, n int) (all []policy.Outcome) {
	for range n {
		all = append(all, o)
	}
	return all
}

func join(parts ...[]policy.Outcome) (all []policy.Outcome) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func want(t *testing.T, what string, got, want []policy.Outcome) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := small(NewMemory(100), func(s *Settings) { s.Connections = Limit{2, time.Minute} })
		want(t, "the first, with two messages", session(t, p, stranger, "x.example", 2, 2), pass(4))
		want(t, "the second", session(t, p, stranger, "x.example", 1), pass(1))
		want(t, "the third, to its end", session(t, p, stranger, "x.example", 2, 1), repeat(Connections, 3))
		want(t, "of another client", session(t, p, "203.0.113.10", "x.example", 1), pass(1))
		time.Sleep(time.Minute)
		want(t, "a minute later", session(t, p, stranger, "x.example", 1), pass(1))
	})
}

func TestMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := small(NewMemory(100), func(s *Settings) { s.Messages = Limit{3, time.Hour} })
		want(t, "the fourth meets the limit at each of its recipients",
			session(t, p, stranger, "x.example", 5, 1, 2, 3), join(pass(8), repeat(Messages, 3)))
		time.Sleep(10 * time.Minute)
		want(t, "too soon", session(t, p, stranger, "x.example", 1), repeat(Messages, 1))
		time.Sleep(10 * time.Minute)
		want(t, "when one has leaked out, in spite of the tries in between", session(t, p, stranger, "x.example", 1), pass(1))
	})
}

// TestSessionsThatBeginWithRSET: a session is counted at its first recipient, whichever of its transactions brings that.
func TestSessionsThatBeginWithRSET(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := small(NewMemory(100), func(s *Settings) { s.Connections = Limit{2, time.Hour} })
		want(t, "the first", session(t, p, stranger, "x.example", 0, 1), pass(1))
		want(t, "the second", session(t, p, stranger, "x.example", 0, 0, 2, 1), pass(3))
		want(t, "the third", session(t, p, stranger, "x.example", 0, 2, 1), repeat(Connections, 3))
	})
}

// TestRefusedIsNotCounted: what one limit refuses uses up nothing of the others.
func TestRefusedIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := small(NewMemory(100), func(s *Settings) {
			s.Connections, s.Messages, s.Recipients = Limit{1, time.Hour}, Limit{3, 4 * time.Hour}, Limit{3, 4 * time.Hour}
		})
		want(t, "the first", session(t, p, stranger, "x.example", 1), pass(1))
		for range 4 {
			want(t, "those after it", session(t, p, stranger, "x.example", 1), repeat(Connections, 1))
		}
		time.Sleep(time.Hour)
		want(t, "an hour later", session(t, p, stranger, "x.example", 1, 1), pass(2))
	})
}

// TestCountedOnceLetPass: what was refused at first is counted when it passes after all, and once. A crowd that asks again and again gets
// no more through than the limit.
func TestCountedOnceLetPass(t *testing.T) {
	for _, limit := range []policy.Outcome{Connections, Messages, SenderMessages} {
		synctest.Test(t, func(t *testing.T) {
			p := small(NewMemory(100), func(s *Settings) {
				*map[policy.Outcome]*Limit{Connections: &s.Connections, Messages: &s.Messages, SenderMessages: &s.SenderMessages}[limit] = Limit{10, 2 * time.Second}
			})
			var crowd []*policy.Run
			for range 60 {
				r := p.Begin(t.Context(), policy.View{Client: netip.MustParseAddr(stranger)})
				defer r.Close()
				r.Mail(policy.Mailbox{Local: "a", Domain: "pass.example"}, false)
				crowd = append(crowd, r)
			}
			ask := func() (passed int) {
				for _, r := range crowd {
					if r.Rcpt(amy).Done == policy.None {
						passed++
					}
				}
				return passed
			}
			if n := ask(); n != 10 {
				t.Errorf("%s: %d passed at first, want 10", limit, n)
			}
			time.Sleep(250 * time.Millisecond) // there is room for one more
			if n := ask(); n > 11 {
				t.Errorf("%s: %d passed then, want 11 at most", limit, n)
			}
		})
	}
}

func TestRecipients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := small(NewMemory(100), func(s *Settings) { s.Recipients = Limit{5, time.Minute} })
		want(t, "over two messages", session(t, p, stranger, "x.example", 3, 4), join(pass(5), repeat(Recipients, 2)))
	})
}

func TestIPv6ClientsAreCountedByNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := small(NewMemory(100), func(s *Settings) { s.Messages = Limit{1, time.Minute} })
		want(t, "one host", session(t, p, "2001:db8:0:1::1", "x.example", 1), pass(1))
		want(t, "its neighbour", session(t, p, "2001:db8:0:1:ffff::2", "x.example", 1), repeat(Messages, 1))
		want(t, "the next network", session(t, p, "2001:db8:0:2::1", "x.example", 1), pass(1))
	})
}

func TestUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := small(NewMemory(100), func(s *Settings) { s.Unknown = Limit{2, time.Hour} })
		r := p.Begin(t.Context(), policy.View{Client: netip.MustParseAddr(stranger)})
		defer r.Close()
		r.Mail(policy.Mailbox{Local: "a", Domain: "x.example"}, false)
		for i, wanted := range []policy.Action{policy.None, policy.None, policy.Defer, policy.Defer} {
			d := r.Rcpt(amy)
			if d.Done != wanted {
				t.Errorf("recipient %d: %s, want %s", i, d.Done, wanted)
			}
			if d.Done == policy.None {
				r.Answered(amy, policy.Reply{Code: 550, Text: "5.1.1 No such user"})
			} else {
				r.Answered(amy, d.Reply)
			}
		}
	})
}

func TestUnknownUserReplies(t *testing.T) {
	for _, tt := range []struct {
		reply   policy.Reply
		unknown bool
	}{
		{policy.Reply{Code: 550, Text: "5.1.1 <x@example.com>: Recipient address rejected: User unknown"}, true},
		{policy.Reply{Code: 550, Text: "5.1.10 RESOLVER.ADR.RecipientNotFound"}, true},
		{policy.Reply{Code: 551, Text: "5.1.6 User has moved"}, true},
		{policy.Reply{Code: 550, Text: "Unrouteable address"}, true},
		{policy.Reply{Code: 550}, true},
		{policy.Reply{Code: 250, Text: "2.1.5 OK"}, false},
		{policy.Reply{Code: 450, Text: "4.1.1 Try again"}, false},
		{policy.Reply{Code: 550, Text: "5.7.1 Refused by the policy of this server"}, false},
		{policy.Reply{Code: 550, Text: "5.1.8 The sender's domain does not exist"}, false},
		{policy.Reply{Code: 552, Text: "5.2.2 Mailbox full"}, false},
		{policy.Reply{Code: 554, Text: "no thanks"}, false},
	} {
		if got := isUnknownUser(tt.reply); got != tt.unknown {
			t.Errorf("%v: got %v", tt.reply, got)
		}
	}
}

// TestSenderWantsProof is a stranger who sends in the name of another: without SPF he uses nothing up.
func TestSenderWantsProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := small(NewMemory(100), func(s *Settings) { s.SenderMessages = Limit{2, time.Hour} })
		want(t, "without proof", session(t, p, stranger, "x.example", 1, 1, 1, 1), pass(4))
		want(t, "bounces", session(t, p, stranger, "", 1, 1, 1, 1), pass(4))
		want(t, "with proof", session(t, p, stranger, "pass.example", 2, 1), pass(3))
		want(t, "from another client of the domain", session(t, p, "198.51.100.1", "pass.example", 2), repeat(SenderMessages, 2))
		want(t, "another domain", session(t, p, "198.51.100.1", "also.pass.example", 1), pass(1))
	})
}

func TestExempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := small(NewMemory(100), func(s *Settings) { s.Recipients = Limit{1, time.Hour} })
		for _, client := range []string{"127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "::1", "fd00::1"} {
			want(t, client, session(t, p, client, "x.example", 5), pass(5))
		}
		want(t, "a stranger", session(t, p, stranger, "x.example", 2), join(pass(1), repeat(Recipients, 1)))
	})
}

func TestOffAsksNothing(t *testing.T) {
	p := small(failing{}, func(*Settings) {})
	want(t, "no limits", session(t, p, stranger, "pass.example", 3), pass(3))
}

// failing is a store that is down.
type failing struct{}

func (failing) Take(context.Context, string, int, Limit, time.Time) (Use, error) {
	return Use{}, errors.New("connection refused")
}

// TestHazard63 is a store that is down, or hangs: mail flows, and the record says so.
func TestHazard63(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, st := range map[string]Store{"refused": failing{}, "hung": hung{}} {
			s := defaults()
			c := New(s, st)
			start := time.Now()
			f := c.Run(t.Context(), policy.View{Client: netip.MustParseAddr(stranger), Time: start})
			if f.Outcome != policy.TempError || Kind().Outcomes[f.Outcome] != policy.None || f.Fact("error") == "" {
				t.Errorf("%s: %s %v", name, f.Outcome, f.Facts)
			}
			c.Observe(policy.View{Client: netip.MustParseAddr(stranger)}, policy.Reply{Code: 550, Text: "5.1.1 unknown"})
			if took := time.Since(start); took > 2*storeBudget {
				t.Errorf("%s: took %v", name, took)
			}
		}
	})
}

// hung is a store that never answers.
type hung struct{}

func (hung) Take(ctx context.Context, _ string, _ int, _ Limit, _ time.Time) (Use, error) {
	<-ctx.Done()
	return Use{}, ctx.Err()
}

// half is a store that knows connections alone.
type half struct{ Store }

func (h half) Take(ctx context.Context, key string, n int, l Limit, now time.Time) (Use, error) {
	if strings.HasPrefix(key, "connections ") {
		return Use{}, errors.New("LOADING")
	}
	return h.Store.Take(ctx, key, n, l, now)
}

func TestWhatTheStoreKnowsStillCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := small(half{NewMemory(10)}, func(s *Settings) { s.Connections, s.Recipients = Limit{1, time.Hour}, Limit{1, time.Hour} })
		want(t, "one limit fails", session(t, p, stranger, "x.example", 2), []policy.Outcome{policy.TempError, Recipients})
	})
}

func TestEvidenceAndReply(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	s := &Settings{Messages: Limit{1, 10 * time.Minute}, Recipients: Limit{100, time.Hour}}
	c := New(s, NewMemory(10))
	v := policy.View{Client: netip.MustParseAddr(stranger), Time: now}
	c.Run(t.Context(), v)
	f := c.Run(t.Context(), v)
	facts := []policy.Fact{{Key: "messages", Value: "1 of 1/10m"}, {Key: "retry", Value: "10m"}, {Key: "recipients", Value: "1 of 100/1h"}}
	if diff := cmp.Diff(facts, f.Facts); diff != "" {
		t.Error(diff)
	}
	f.Check = "ratelimit"
	p := policy.Policy{Mode: policy.Enforce, Slots: []policy.Slot{{Check: c, Mode: policy.Enforce, Actions: Kind().Outcomes}}}
	got := p.Judge(policy.Case{Findings: []policy.Finding{f}}).Reply
	if want := (policy.Reply{Code: 450, Text: "4.7.1 Too many messages from 203.0.113.9 (limit 1/10m), please try again later"}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDefaults(t *testing.T) {
	for o, a := range Kind().Outcomes {
		if free := o == policy.Pass || o == policy.TempError; free != (a == policy.None) || !free && a != policy.Defer {
			t.Errorf("%s leads to %s", o, a)
		}
	}
	c := New(Kind().Settings().(*Settings), NewMemory(1))
	if c.Name() != Kind().Name || c.Stage() != policy.StageRcpt || len(c.Follows()) != 0 {
		t.Errorf("%s at %s follows %v", c.Name(), c.Stage(), c.Follows())
	}
}

func BenchmarkRun(b *testing.B) {
	c := New(defaults(), NewMemory(DefaultKeys))
	v := policy.View{Client: netip.MustParseAddr(stranger), Time: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		v.Time = v.Time.Add(time.Second)
		c.Run(b.Context(), v)
	}
}
