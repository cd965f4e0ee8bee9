package policy

import "testing"

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
