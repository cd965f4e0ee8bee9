package policy

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

// stuck is a check that runs until it is ended, which it tells.
type stuck struct {
	stage Stage
	ended chan struct{}
}

func (stuck) Name() string   { return "stuck" }
func (s stuck) Stage() Stage { return s.stage }
func (s stuck) Run(ctx context.Context, _ View) Finding {
	<-ctx.Done()
	s.ended <- struct{}{}
	return Finding{Outcome: TempError}
}

// TestWhatIsVoidEnds: checks of a transaction, or of a greeting, that the sender gave up do not run on.
func TestWhatIsVoidEnds(t *testing.T) {
	for _, x := range []struct {
		name  string
		stage Stage
		void  func(r *Run)
	}{
		{"RSET", StageMail, (*Run).Reset},
		{"MAIL once more", StageMail, func(r *Run) { r.Mail(Mailbox{"b", "slow.example"}, false) }},
		{"HELO once more", StageHelo, func(r *Run) { r.Helo("other.example", false) }},
		{"HELO in a transaction", StageMail, func(r *Run) { r.Helo("other.example", false) }},
		{"content that broke off", StageData, func(r *Run) { r.Content(&Message{}); r.Reset() }},
		{"the end", StageConnect, (*Run).Close},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := stuck{x.stage, make(chan struct{}, 2)}
			p := &Policy{Mode: Enforce, Slots: []Slot{{Check: s, Mode: Enforce}}}
			r := p.Begin(t.Context(), View{})
			defer r.Close()
			r.Helo("client.example", false)
			r.Mail(Mailbox{"a", "slow.example"}, false)
			x.void(r)
			select {
			case <-s.ended:
			case <-time.After(10 * time.Second):
				t.Error("it runs on")
			}
		})
	}
}

// told is a check that tells for which client its context is.
type told struct{ client chan any }

type clientKey struct{}

func (told) Name() string { return "told" }
func (told) Stage() Stage { return StageMail }
func (c told) Run(ctx context.Context, _ View) Finding {
	c.client <- ctx.Value(clientKey{})
	return Finding{Outcome: Pass}
}

// TestForClient: what the checks of a session do can be counted for its client.
func TestForClient(t *testing.T) {
	c := told{make(chan any, 1)}
	client := netip.MustParseAddr("203.0.113.9")
	p := &Policy{Mode: Enforce, Slots: []Slot{{Check: c, Mode: Enforce}},
		ForClient: func(ctx context.Context, client netip.Addr) context.Context {
			return context.WithValue(ctx, clientKey{}, client)
		}}
	r := p.Begin(t.Context(), View{Client: client})
	defer r.Close()
	r.Mail(Mailbox{"a", "shop.example"}, false)
	if got := <-c.client; got != client {
		t.Errorf("got %v, want %v", got, client)
	}
}
