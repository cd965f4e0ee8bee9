package policy

import (
	"net/netip"
	"testing"
	"time"
)

// TestWhatIsProved: an allow holds only where the proof is of the name that it goes by, or anyone could claim that.
func TestWhatIsProved(t *testing.T) {
	spf := func(o Outcome, helo string) Finding {
		f := Finding{Check: "spf", Outcome: o}
		if helo != "" {
			f.Facts = []Fact{{FactHelo, helo}}
		}
		return f
	}
	signed := Finding{Check: "dkim", Outcome: Pass, Facts: []Fact{{FactSigned, "thief.example"}}}
	helo := Rule{Helo: []string{"mx.bank.example"}}
	null := Rule{Sender: []string{"<>"}}
	sender := Rule{SenderDomain: []string{"thief.example"}}
	both := Rule{Helo: []string{"mx.bank.example"}, SenderDomain: []string{"thief.example"}}
	author := Rule{FromDomain: []string{"thief.example"}}
	for _, x := range []struct {
		name    string
		rule    Rule
		null    bool
		finding Finding
		want    bool
	}{
		{"HELO, by SPF of another's reverse-path", helo, false, spf(Pass, "none"), false},
		{"HELO, by SPF of another's reverse-path, the name not looked at", helo, false, spf(Pass, ""), false},
		{"HELO, by its own SPF", helo, false, spf(Fail, "pass"), true},
		{"HELO, by its own SPF, of a bounce", helo, true, spf(Pass, ""), true},
		{"HELO, by a signature", helo, false, signed, false},
		{"the null reverse-path, by SPF of the HELO name", null, true, spf(Pass, ""), false},
		{"a reverse-path, by its SPF", sender, false, spf(Pass, "fail"), true},
		{"a reverse-path, by SPF of the HELO name", sender, false, spf(Fail, "pass"), false},
		{"a reverse-path, by its signature", sender, false, signed, true},
		{"a reverse-path and HELO, by SPF of the former", both, false, spf(Pass, "fail"), true},
		{"an author, by SPF", author, false, spf(Pass, "pass"), false},
		{"an author, by his signature", author, false, signed, true},
		{"nobody's name, by SPF", Rule{Recipient: []string{"amy@example.com"}}, false, spf(Pass, ""), true},
	} {
		c := Case{Helo: "mx.bank.example", HasSender: true, NullPath: x.null, FromDomain: "thief.example",
			Recipient: Mailbox{"amy", "example.com"}, Findings: []Finding{x.finding}}
		if !x.null {
			c.Sender = Mailbox{"a", "thief.example"}
		}
		x.rule.Allow, x.rule.Proof = true, []Proof{ProofSPF, ProofDKIM}
		if got := x.rule.holds(&c); got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
}

// TestDenyWaitsForAnAllowAbove: what one rule lets in, a rule below it does not refuse at connect.
func TestDenyWaitsForAnAllowAbove(t *testing.T) {
	now := time.Now()
	client := netip.MustParseAddr("203.0.113.9")
	network := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	deny := Rule{Name: "net", Client: network}
	for _, x := range []struct {
		name          string
		rules         []Rule
		connect, rcpt Action
	}{
		{"alone", []Rule{deny}, Reject, Reject},
		{"an allow by recipient", []Rule{{Allow: true, Recipient: []string{"amy@example.com"}}, deny}, None, None},
		{"an allow by another recipient", []Rule{{Allow: true, Recipient: []string{"postmaster@example.com"}}, deny}, None, Reject},
		{"an allow by sender", []Rule{{Allow: true, Sender: []string{"x@a.example"}}, deny}, None, None},
		{"an allow by HELO", []Rule{{Allow: true, Helo: []string{"mail.a.example"}}, deny}, None, None},
		{"an allow by a sender that SPF must prove", []Rule{{Allow: true, SenderDomain: []string{"a.example"}, Proof: []Proof{ProofSPF, ProofDKIM}}, deny}, None, None},
		{"an allow of this client, by recipient", []Rule{{Allow: true, Client: network, Recipient: []string{"example.com"}}, deny}, None, None},
		{"an allow of another client", []Rule{{Allow: true, Client: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Recipient: []string{"example.com"}}, deny}, Reject, Reject},
		{"an allow past its day", []Rule{{Allow: true, Recipient: []string{"example.com"}, Expires: now}, deny}, Reject, Reject},
		{"an allow by author, who is not known at RCPT either", []Rule{{Allow: true, FromDomain: []string{"a.example"}}, deny}, Reject, Reject},
		{"an allow by signature, likewise", []Rule{{Allow: true, SenderDomain: []string{"a.example"}, Proof: []Proof{ProofDKIM}}, deny}, Reject, Reject},
		{"an allow below", []Rule{deny, {Allow: true, Recipient: []string{"example.com"}}}, Reject, Reject},
		{"a deny by recipient above", []Rule{{Recipient: []string{"postmaster@example.com"}}, deny}, Reject, Reject},
	} {
		p := &Policy{Mode: Enforce, Slots: []Slot{{Check: sees{"spf", StageMail, Pass}, Mode: Enforce}}, Rules: x.rules}
		run := p.Begin(t.Context(), View{Time: now, Client: client})
		connect := run.Connect(nil).Done
		run.Helo("mail.a.example", false)
		run.Mail(Mailbox{"x", "a.example"}, false)
		rcpt := run.Rcpt(Mailbox{"amy", "example.com"}).Done
		run.Close()
		if connect != x.connect || rcpt != x.rcpt {
			t.Errorf("%s: %v at connect, %v at RCPT; want %v, %v", x.name, connect, rcpt, x.connect, x.rcpt)
		}
		if again := p.Replay(Case{Time: now, Client: client}).Done; again != connect {
			t.Errorf("%s: at connect judged again %v, was %v", x.name, again, connect)
		}
	}
}
