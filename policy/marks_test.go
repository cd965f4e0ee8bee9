package policy

import (
	"context"
	"testing"
)

// greeter is a check that tells what is new to it, and takes note of it.
type greeter struct{}

func (greeter) Name() string { return "greeter" }
func (greeter) Stage() Stage { return StageRcpt }
func (greeter) Run(_ context.Context, v View) Finding {
	o := Outcome("recipient")
	if !v.Transaction.Has("greeter") {
		v.Transaction.Set("greeter")
		o = "transaction"
	}
	if !v.Session.Has("greeter") {
		v.Session.Set("greeter")
		o = "session"
	}
	return Finding{Outcome: o}
}

// TestMarks: what a check notes of a transaction ends with it, what it notes of the session does not.
func TestMarks(t *testing.T) {
	p := &Policy{Mode: Enforce, Slots: []Slot{{Check: greeter{}, Mode: Enforce}}}
	r := p.Begin(t.Context(), View{})
	defer r.Close()
	mail := func() { r.Mail(Mailbox{"x", "a.example"}, false) }
	rcpt := func(want Outcome) {
		t.Helper()
		if got := outcomes(r.Rcpt(Mailbox{"amy", "example.com"}))["greeter"]; got != want {
			t.Errorf("a new %s, want a new %s", got, want)
		}
	}
	mail()
	r.Reset()
	mail()
	rcpt("session")
	rcpt("recipient")
	r.Reset()
	r.Helo("again.example", true)
	mail()
	rcpt("transaction")
	rcpt("recipient")
}

// TestNoMarks: where nobody keeps marks, everything is new.
func TestNoMarks(t *testing.T) {
	var m *Marks
	m.Set("x")
	if m.Has("x") {
		t.Error("a mark was kept")
	}
}
