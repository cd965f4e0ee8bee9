package policy

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sees is a check that always sees the same.
type sees struct {
	name    string
	stage   Stage
	outcome Outcome
}

func (s sees) Name() string                      { return s.name }
func (s sees) Stage() Stage                      { return s.stage }
func (s sees) Run(context.Context, View) Finding { return s.finding() }
func (s sees) finding() Finding {
	return Finding{Check: s.name, Stage: s.stage, Outcome: s.outcome, Status: Status{7, 1}, Text: s.name + " says " + string(s.outcome)}
}

func slot(name string, mode Mode, on map[Outcome]Action) Slot {
	return Slot{Check: sees{name, StageMail, ""}, Mode: mode, Actions: on, Where: "test.toml:" + name}
}

var (
	failRejects = map[Outcome]Action{Fail: Reject}
	failDefers  = map[Outcome]Action{Fail: Defer}
	failTags    = map[Outcome]Action{Fail: Tag}
)

func failed(names ...string) []Finding {
	var fs []Finding
	for _, n := range names {
		fs = append(fs, sees{n, StageMail, Fail}.finding())
	}
	return fs
}

func TestJudge(t *testing.T) {
	amy := Mailbox{"Amy", "example.com"}
	sub := Mailbox{"bob", "eu.example.com"}
	day := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name   string
		policy Policy
		c      Case
		done   Action
		would  Action
		by     string
		reply  Reply
	}{
		{"no checks", Policy{Mode: Enforce}, Case{}, None, None, "", Reply{}},
		{"a fail that rejects", Policy{Mode: Enforce, Slots: []Slot{slot("a", Enforce, failRejects)}},
			Case{Findings: failed("a")}, Reject, Reject, "a", Reply{550, "5.7.1 a says fail"}},
		{"a refusal for good names the contact", Policy{Mode: Enforce, Contact: "pm@x", Slots: []Slot{slot("a", Enforce, failRejects)}},
			Case{Findings: failed("a")}, Reject, Reject, "a", Reply{550, "5.7.1 a says fail; see pm@x"}},
		{"the strongest wins, whatever the order", Policy{Mode: Enforce, Slots: []Slot{slot("a", Enforce, failDefers), slot("b", Enforce, failRejects)}},
			Case{Findings: failed("a", "b")}, Reject, Reject, "b", Reply{550, "5.7.1 b says fail"}},
		{"of equals the first in the config", Policy{Mode: Enforce, Slots: []Slot{slot("a", Enforce, failDefers), slot("b", Enforce, failDefers)}},
			Case{Findings: failed("b", "a")}, Defer, Defer, "a", Reply{451, "4.7.1 a says fail"}},
		{"a monitored check never acts", Policy{Mode: Enforce, Slots: []Slot{slot("a", Monitor, failRejects)}},
			Case{Findings: failed("a")}, None, Reject, "", Reply{}},
		{"the global mode is a ceiling", Policy{Mode: Monitor, Slots: []Slot{slot("a", Enforce, failRejects)}},
			Case{Findings: failed("a")}, None, Reject, "", Reply{}},
		{"a check that is off is not looked at", Policy{Mode: Enforce, Slots: []Slot{slot("a", Off, failRejects)}},
			Case{Findings: failed("a")}, None, None, "", Reply{}},
		{"soft sends 4xx for 5xx", Policy{Mode: Enforce, Soft: true, Slots: []Slot{slot("a", Enforce, failRejects)}},
			Case{Findings: failed("a")}, Defer, Reject, "a", Reply{451, "4.7.1 a says fail"}},
		{"a fault is no reason to refuse for good", Policy{Mode: Enforce, Slots: []Slot{slot("a", Enforce, map[Outcome]Action{TempError: Reject})}},
			Case{Findings: []Finding{sees{"a", StageMail, TempError}.finding()}}, Defer, Defer, "a", Reply{451, "4.7.1 a says temperror"}},
		{"nor is it where a domain asks for that", Policy{Mode: Enforce, Slots: []Slot{slot("a", Enforce, failRejects)},
			Scopes: map[string]Scope{"example.com": {Actions: map[string]map[Outcome]Action{"a": {TempError: Reject}}}}},
			Case{Recipient: amy, Findings: []Finding{sees{"a", StageMail, TempError}.finding()}}, Defer, Defer, "a", Reply{451, "4.7.1 a says temperror"}},
		{"a domain's mode lowers", Policy{Mode: Enforce, Slots: []Slot{slot("a", Enforce, failRejects)},
			Scopes: map[string]Scope{"example.com": {Modes: map[string]Mode{"a": Monitor}}}},
			Case{Recipient: amy, Findings: failed("a")}, None, Reject, "", Reply{}},
		{"a domain's mode holds for all below", Policy{Mode: Enforce, Slots: []Slot{slot("a", Enforce, failRejects)},
			Scopes: map[string]Scope{"example.com": {Modes: map[string]Mode{"a": Off}}}},
			Case{Recipient: sub, Findings: failed("a")}, None, None, "", Reply{}},
		{"a domain's mode never raises", Policy{Mode: Enforce, Slots: []Slot{slot("a", Monitor, failRejects)},
			Scopes: map[string]Scope{"example.com": {Modes: map[string]Mode{"a": Enforce}}}},
			Case{Recipient: amy, Findings: failed("a")}, None, Reject, "", Reply{}},
		{"an address comes before its domain", Policy{Mode: Enforce, Slots: []Slot{slot("a", Enforce, failRejects)},
			Scopes: map[string]Scope{"example.com": {Modes: map[string]Mode{"a": Off}}, "amy@example.com": {Actions: map[string]map[Outcome]Action{"a": {Fail: Tag}}}}},
			Case{Recipient: amy, Findings: failed("a")}, Tag, Tag, "a", Reply{}},
		{"an allow rule skips the named check", Policy{Mode: Enforce, Slots: []Slot{slot("a", Enforce, failRejects), slot("b", Enforce, failTags)},
			Rules: []Rule{{Name: "r", Allow: true, SenderDomain: []string{".shop.example"}, Skip: []string{"a"}}}},
			Case{Sender: Mailbox{"x", "eu.shop.example"}, Findings: failed("a", "b")}, Tag, Tag, "b", Reply{}},
		{"an allow rule without its proof does not hold", Policy{Mode: Enforce, Slots: []Slot{slot("a", Enforce, failRejects)},
			Rules: []Rule{{Name: "r", Allow: true, SenderDomain: []string{"shop.example"}, Proof: []Proof{ProofSPF}}}},
			Case{Sender: Mailbox{"x", "shop.example"}, Findings: failed("a")}, Reject, Reject, "a", Reply{550, "5.7.1 a says fail"}},
		{"with its proof it does", Policy{Mode: Enforce, Slots: []Slot{slot("a", Enforce, failRejects)},
			Rules: []Rule{{Name: "r", Allow: true, SenderDomain: []string{"shop.example"}, Proof: []Proof{ProofSPF}}}},
			Case{Sender: Mailbox{"x", "shop.example"}, Findings: append(failed("a"), Finding{Check: "spf", Outcome: Pass})}, None, None, "", Reply{}},
		{"a signature of a stranger proves nothing", Policy{Mode: Enforce, Slots: []Slot{slot("a", Enforce, failRejects)},
			Rules: []Rule{{Name: "r", Allow: true, FromDomain: []string{"shop.example"}, Proof: []Proof{ProofDKIM}}}},
			Case{FromDomain: "shop.example", Findings: append(failed("a"), Finding{Check: "dkim", Outcome: Pass, Facts: []Fact{{FactSigned, "p.example"}}})},
			Reject, Reject, "a", Reply{550, "5.7.1 a says fail"}},
		{"a rule past its day is not there", Policy{Mode: Enforce, Slots: []Slot{slot("a", Enforce, failRejects)},
			Rules: []Rule{{Name: "r", Allow: true, Client: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, Expires: day}}},
			Case{Time: day, Client: netip.MustParseAddr("203.0.113.9"), Findings: failed("a")}, Reject, Reject, "a", Reply{550, "5.7.1 a says fail"}},
		{"a deny rule refuses what nothing else does", Policy{Mode: Enforce,
			Rules: []Rule{{Name: "r", Client: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, Where: "t:3"}}},
			Case{Client: netip.MustParseAddr("203.0.113.9")}, Reject, Reject, "rule.r", Reply{550, "5.7.1 Refused by the policy of this server"}},
		{"a deny rule does not act while the policy is monitored", Policy{Mode: Monitor, Rules: []Rule{{Name: "r", Sender: []string{"<>"}}}},
			Case{NullPath: true, HasSender: true}, None, Reject, "", Reply{}},
		{"the first rule that holds counts", Policy{Mode: Enforce, Rules: []Rule{
			{Name: "all", Allow: true, Recipient: []string{"example.com"}}, {Name: "r", Recipient: []string{"amy@example.com"}}}},
			Case{Recipient: amy}, None, None, "", Reply{}},
		{"the null reverse-path is <>", Policy{Mode: Enforce, Rules: []Rule{{Name: "r", Sender: []string{"<>"}}}},
			Case{NullPath: true, HasSender: true}, Reject, Reject, "rule.r", Reply{550, "5.7.1 Refused by the policy of this server"}},
		{"what is not known fulfils no condition", Policy{Mode: Enforce, Rules: []Rule{{Name: "r", FromDomain: []string{".example"}}}},
			Case{}, None, None, "", Reply{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := tt.policy.Judge(tt.c)
			got := []any{d.Done, d.Would, d.By, d.Reply}
			if diff := cmp.Diff([]any{tt.done, tt.would, tt.by, tt.reply}, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestMonitoredIsNeverHarsher: of any policy and findings, making one check monitored never makes the verdict harsher, and
// never changes what would have been done.
func TestMonitoredIsNeverHarsher(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	outcomes := []Outcome{Pass, Fail, NoneFound, TempError}
	names := []string{"a", "b", "c", "d"}
	for range 5000 {
		p := Policy{Mode: Enforce, Soft: r.IntN(4) == 0}
		var fs []Finding
		for _, n := range names {
			on := map[Outcome]Action{}
			for _, o := range outcomes {
				on[o] = Action(r.IntN(4))
			}
			p.Slots = append(p.Slots, slot(n, Enforce, on))
			fs = append(fs, Finding{Check: n, Outcome: outcomes[r.IntN(4)]})
		}
		before := p.Judge(Case{Findings: fs})
		p.Slots[r.IntN(4)].Mode = Monitor
		after := p.Judge(Case{Findings: fs})
		if after.Done > before.Done || after.Would != before.Would {
			t.Fatalf("before %+v, after %+v", before, after)
		}
	}
}

func TestReplyFor(t *testing.T) {
	tests := []struct {
		a    Action
		f    Finding
		want Reply
	}{
		{Reject, Finding{Status: Status{7, 23}, Text: "no"}, Reply{550, "5.7.23 no"}},
		{Defer, Finding{Status: Status{7, 23}, Text: "no"}, Reply{451, "4.7.23 no"}},
		{Tag, Finding{Status: Status{7, 23}, Text: "no"}, Reply{}},
		{Reject, Finding{Status: Status{1, 10}, Code: 556, Text: "no"}, Reply{556, "5.1.10 no"}},
		{Defer, Finding{Status: Status{1, 10}, Code: 556, Text: "no"}, Reply{451, "4.1.10 no"}},
	}
	for _, tt := range tests {
		if got := tt.f.reply(tt.a, ""); got != tt.want {
			t.Errorf("%v %+v: got %v, want %v", tt.a, tt.f, got, tt.want)
		}
	}
}

func TestSameData(t *testing.T) {
	at := func(s Stage) Slot { x := slot("a", Enforce, failRejects); x.Check = sees{"a", s, ""}; return x }
	off := map[string]Scope{"b.example": {Modes: map[string]Mode{"a": Off}}}
	a, b := Mailbox{"u", "a.example"}, Mailbox{"u", "b.example"}
	tests := []struct {
		name string
		p    Policy
		want bool
	}{
		{"no scopes", Policy{Mode: Enforce, Slots: []Slot{at(StageData)}}, true},
		{"a check of the data differs", Policy{Mode: Enforce, Slots: []Slot{at(StageData)}, Scopes: off}, false},
		{"a check before the data differs", Policy{Mode: Enforce, Slots: []Slot{at(StageMail)}, Scopes: off}, true},
		{"both are under the ceiling", Policy{Mode: Off, Slots: []Slot{at(StageData)}, Scopes: off}, true},
		{"an outcome differs", Policy{Mode: Enforce, Slots: []Slot{at(StageData)},
			Scopes: map[string]Scope{"b.example": {Actions: map[string]map[Outcome]Action{"a": {Fail: Tag}}}}}, false},
		{"a rule is for one of them", Policy{Mode: Enforce, Rules: []Rule{{Name: "r", Allow: true, Recipient: []string{"b.example"}}}}, false},
	}
	for _, tt := range tests {
		if got := tt.p.SameData(a, b); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// BenchmarkJudge folds the findings of ten checks, one of which refuses, with two rules in the way.
func BenchmarkJudge(b *testing.B) {
	p := &Policy{Mode: Enforce, Rules: []Rule{
		{Name: "bank", Allow: true, SenderDomain: []string{"bank.example"}, Proof: []Proof{ProofSPF, ProofDKIM}},
		{Name: "net", Client: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
	}}
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	for _, name := range names {
		p.Slots = append(p.Slots, slot(name, Enforce, failTags))
	}
	p.Slots[5].Actions = failRejects
	c := Case{Client: netip.MustParseAddr("203.0.113.9"), HasSender: true, Sender: Mailbox{"x", "a.example"}, Recipient: Mailbox{"amy", "example.com"}, Findings: failed(names...)}
	b.ReportAllocs()
	for b.Loop() {
		if d := p.Judge(c); d.Done != Reject {
			b.Fatal(d.Done)
		}
	}
}
