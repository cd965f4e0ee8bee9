package rejudge

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"gatepost/policy"
)

// says is a check that finds what it is told to.
type says struct {
	name    string
	stage   policy.Stage
	finding policy.Finding
}

func (s says) Name() string                                    { return s.name }
func (s says) Stage() policy.Stage                             { return s.stage }
func (s says) Run(context.Context, policy.View) policy.Finding { return s.finding }

func slot(name string, stage policy.Stage, mode policy.Mode, fail policy.Action) policy.Slot {
	return policy.Slot{Check: says{name: name, stage: stage}, Mode: mode, Where: "test.toml:" + name,
		Actions: map[policy.Outcome]policy.Action{policy.Fail: fail, policy.Pass: policy.None, "listed": fail}}
}

func found(check string, stage policy.Stage, o policy.Outcome, facts ...policy.Fact) policy.Finding {
	return policy.Finding{Check: check, Stage: stage, Outcome: o, Facts: facts, Status: policy.Status{Subject: 7, Detail: 1}, Text: check + " says " + string(o)}
}

// record is one of a mail from a@shop.example to amy@example.com.
func record(v policy.Verdict, by string, fs ...policy.Finding) (*policy.Record, *policy.RecipientRecord) {
	from := "a@Shop.Example"
	r := &policy.Record{Time: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC), Ref: "8F3K2QWM00", Client: netip.MustParseAddr("203.0.113.9"),
		Helo: "mail.shop.example", Sender: &from, Findings: fs, Recipients: []policy.RecipientRecord{{Address: "Amy@Example.COM", Verdict: v, By: by}}}
	return r, &r.Recipients[0]
}

func TestJudge(t *testing.T) {
	connect, mail, data := policy.StageConnect, policy.StageMail, policy.StageData
	enforced := &policy.Policy{Mode: policy.Enforce, Slots: []policy.Slot{slot("dnsbl", connect, policy.Enforce, policy.Reject), slot("dmarc", data, policy.Enforce, policy.Reject)}}
	watched := &policy.Policy{Mode: policy.Enforce, Slots: []policy.Slot{slot("dnsbl", connect, policy.Monitor, policy.Reject), slot("dmarc", data, policy.Monitor, policy.Reject)}}
	tests := []struct {
		name    string
		policy  *policy.Policy
		verdict policy.Verdict
		by      string
		found   []policy.Finding
		kind    Kind
		is      policy.Verdict
		nowBy   string
		missing []string
	}{
		{"accepted, and still", enforced, policy.Accepted, "", []policy.Finding{found("dnsbl", connect, policy.Pass), found("dmarc", data, policy.Pass)}, Same, policy.Accepted, "", nil},
		{"accepted, and would be refused", enforced, policy.Accepted, "", []policy.Finding{found("dnsbl", connect, policy.Pass), found("dmarc", data, policy.Fail)}, Changed, policy.Rejected, "dmarc", nil},
		{"refused, and would be taken", watched, policy.Rejected, "dnsbl", []policy.Finding{found("dnsbl", connect, policy.Fail)}, Changed, policy.Accepted, "dnsbl", nil},
		{"refused, and the content was never seen", &policy.Policy{Mode: policy.Enforce, Slots: []policy.Slot{watched.Slots[0], enforced.Slots[1]}},
			policy.Rejected, "dnsbl", []policy.Finding{found("dnsbl", connect, policy.Fail)}, Undecidable, policy.Accepted, "dnsbl", []string{"dmarc"}},
		{"accepted, and a check is new", &policy.Policy{Mode: policy.Enforce, Slots: append(slices.Clone(enforced.Slots), slot("spf", mail, policy.Enforce, policy.Defer))},
			policy.Accepted, "", []policy.Finding{found("dnsbl", connect, policy.Pass), found("dmarc", data, policy.Pass)}, Undecidable, policy.Accepted, "", []string{"spf"}},
		{"relay control is not the policy's", enforced, policy.Rejected, "relay", nil, Same, policy.Rejected, "relay", nil},
		{"the backend refused, and would again", enforced, policy.Rejected, "backend", []policy.Finding{found("dnsbl", connect, policy.Pass)}, Same, policy.Rejected, "backend", nil},
		{"the backend deferred, and the policy would refuse before", enforced, policy.Deferred, "backend", []policy.Finding{found("dnsbl", connect, policy.Fail)}, Changed, policy.Rejected, "dnsbl", nil},
		{"no verdict", enforced, policy.Undecided, "", nil, LeftOut, policy.Undecided, "", nil},
		{"a deny rule", &policy.Policy{Mode: policy.Enforce, Rules: []policy.Rule{{Name: "no", Recipient: []string{"amy@example.com"}, SenderDomain: []string{"shop.example"}}}},
			policy.Accepted, "", nil, Changed, policy.Rejected, "rule.no", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, rc := record(tt.verdict, tt.by, tt.found...)
			o := Judge(tt.policy, r, rc)
			if o.Kind != tt.kind || o.Is != tt.is || o.By != tt.nowBy || !slices.Equal(o.Missing, tt.missing) {
				t.Errorf("got %v, %v -> %v by %q, missing %q", o.Kind, o.Was, o.Is, o.By, o.Missing)
			}
		})
	}
}

// TestRoundTrip plays random sessions with two recipients, writes their records as the engine does, sends them through JSON, and judges
// them again by the same policy: nothing may change, and nothing be undecidable.
func TestRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	seen := map[policy.Verdict]int{}
	for range 300 {
		p := randomPolicy(rnd)
		r := play(p)
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var back policy.Record
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		for i := range back.Recipients {
			rc := &back.Recipients[i]
			seen[rc.Verdict]++
			o := Judge(p, &back, rc)
			if o.Kind != Same || o.Now.Done >= policy.Tag && (o.Now.By != rc.By || o.Now.Where != rc.Where) || rc.By != "proxy" && o.Now.Would != rc.Would {
				t.Fatalf("%v by %s at %s, would %v; now %v %v by %s at %s, would %v, missing %q\n%s", rc.Verdict, rc.By, rc.Where, rc.Would,
					o.Kind, o.Now.Done, o.Now.By, o.Now.Where, o.Now.Would, o.Missing, text)
			}
		}
	}
	for v := policy.Accepted; v <= policy.Rejected; v++ {
		if seen[v] < 10 {
			t.Errorf("%v came only %d times", v, seen[v])
		}
	}
}

// play runs a session of a@shop.example with two recipients; the content comes where one is taken.
func play(p *policy.Policy) *policy.Record {
	from := "a@shop.example"
	r := &policy.Record{Time: time.Now(), Client: netip.MustParseAddr("203.0.113.9"), Helo: "mail.shop.example", Sender: &from}
	run := p.Begin(context.Background(), policy.View{Client: r.Client})
	defer run.Close()
	run.Helo(r.Helo, false)
	run.Mail(mailbox(from), false)
	var first policy.Mailbox
	taken := 0
	for _, address := range []string{`"a b"@example.com`, "Amy@bücher.example"} {
		rc := policy.RecipientRecord{Address: address}
		box := mailbox(address)
		if taken > 0 && !p.SameData(first, box) {
			rc.Verdict, rc.By = policy.Deferred, "proxy"
			r.Recipients = append(r.Recipients, rc)
			continue
		}
		d := run.Rcpt(box)
		note(&rc, d)
		for _, s := range d.Steps {
			if s.Finding.Stage == policy.StageRcpt {
				rc.Findings = append(rc.Findings, s.Finding)
			}
		}
		if d.Done < policy.Defer {
			taken++
			if taken == 1 {
				first = box
			}
		}
		r.Recipients = append(r.Recipients, rc)
	}
	if taken > 0 {
		r.Author = "shop.example"
		run.Data(&policy.Message{FromDomain: r.Author}, first)
		for i := range r.Recipients {
			if rc := &r.Recipients[i]; rc.Verdict <= policy.Tagged {
				note(rc, run.For(mailbox(rc.Address)))
			}
		}
	}
	r.Findings = run.Findings()
	return r
}

// note is what the engine notes of a decision.
func note(rc *policy.RecipientRecord, d policy.Decision) {
	if d.Would > rc.Would {
		rc.Would, rc.WouldBy = d.Would, d.ByWho
	}
	if d.Done > policy.None {
		rc.By, rc.Where = d.By, d.Where
	}
	rc.Verdict = max(rc.Verdict, d.Verdict())
}

func randomPolicy(rnd *rand.Rand) *policy.Policy {
	p := &policy.Policy{Mode: policy.Mode(1 + min(1, rnd.IntN(4))), Soft: rnd.IntN(8) == 0, Scopes: map[string]policy.Scope{
		"xn--bcher-kva.example": {Modes: map[string]policy.Mode{"spf": policy.Monitor}, Where: map[string]string{}}}}
	for i, name := range []string{"dnsbl", "helo", "spf", "ratelimit", "headers", "dkim"} {
		stage := []policy.Stage{policy.StageConnect, policy.StageHelo, policy.StageMail, policy.StageRcpt, policy.StageData, policy.StageData}[i]
		s := slot(name, stage, policy.Mode(rnd.IntN(3)), policy.Action(rnd.IntN(4)))
		o := []policy.Outcome{policy.Pass, policy.Pass, policy.Pass, policy.Fail}[rnd.IntN(4)]
		s.Check = says{name, stage, found(name, stage, o)}
		p.Slots = append(p.Slots, s)
	}
	if rnd.IntN(2) == 0 {
		p.Rules = append(p.Rules, policy.Rule{Name: "r", Allow: rnd.IntN(2) == 0, Recipient: []string{"a b@example.com"}, Where: "test.toml:1"})
	}
	return p
}

func TestCase(t *testing.T) {
	null := ""
	r := &policy.Record{Sender: &null, FromDomain: "shown.example", Author: "xn--bcher-kva.example", Recipients: []policy.RecipientRecord{
		{Address: `"a\"@ b"@EXAMPLE.com`, Findings: []policy.Finding{found("greylist", policy.StageRcpt, policy.Fail)}}, {Address: "postmaster"}},
		Findings: []policy.Finding{found("dmarc", policy.StageData, policy.Pass), found("greylist", policy.StageRcpt, policy.Pass)}}
	c := Case(r, &r.Recipients[0])
	if want := (policy.Mailbox{Local: `a"@ b`, Domain: "example.com"}); c.Recipient != want {
		t.Errorf("the recipient is %+v, want %+v", c.Recipient, want)
	}
	if !c.NullPath || !c.HasSender || c.Sender != (policy.Mailbox{}) {
		t.Errorf("the null path is %+v", c)
	}
	if c.FromDomain != "xn--bcher-kva.example" {
		t.Errorf("the author's domain is %q", c.FromDomain)
	}
	if len(c.Findings) != 2 || c.Findings[0].Outcome != policy.Fail {
		t.Errorf("the findings are %+v: those of RCPT are the recipient's own", c.Findings)
	}
	if c := Case(r, &r.Recipients[1]); c.Recipient.Local != "postmaster" || len(c.Findings) != 1 {
		t.Errorf("postmaster: %+v", c)
	}
}
