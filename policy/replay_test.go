package policy

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// resort is a check that runs only where nothing else refuses.
type resort struct{ sees }

func (resort) LastResort() {}

// limited is a check whose outcome depends on a limit.
type limited struct {
	sees
	limit int
}

func (l limited) Again(f Finding) (Finding, bool) {
	if f.Fact("n") == "" {
		return f, false
	}
	f.Outcome = Pass
	if len(f.Fact("n")) > l.limit {
		f.Outcome = Fail
	}
	return f, true
}

// found is a finding of a check at a stage.
func found(check string, s Stage, o Outcome) Finding { return sees{check, s, o}.finding() }

func TestReplay(t *testing.T) {
	on := func(name string, s Stage, m Mode, a Action) Slot {
		return Slot{Check: sees{name, s, ""}, Mode: m, Actions: map[Outcome]Action{Fail: a, Pass: None}, Where: name}
	}
	greylist := Slot{Check: resort{sees{"greylist", StageRcpt, ""}}, Mode: Enforce, Actions: map[Outcome]Action{Fail: Defer}}
	long := func(limit int) Slot {
		return Slot{Check: limited{sees{"long", StageMail, ""}, limit}, Mode: Enforce, Actions: map[Outcome]Action{Fail: Reject}}
	}
	byDKIM := Rule{Name: "dkim", Allow: true, SenderDomain: []string{"a.example"}, Proof: []Proof{ProofDKIM}}
	bySPF := Rule{Name: "spf", Allow: true, SenderDomain: []string{"a.example"}, Proof: []Proof{ProofSPF}}
	signed := Finding{Check: "dkim", Stage: StageData, Outcome: Pass, Facts: []Fact{{FactSigned, "a.example"}}}
	nine := Finding{Check: "long", Stage: StageMail, Outcome: Fail, Facts: []Fact{{"n", "iiiiiiiii"}}}
	tests := []struct {
		name    string
		slots   []Slot
		rules   []Rule
		found   []Finding
		done    Action
		by      string
		missing []string
	}{
		{"the same as it was", []Slot{on("a", StageMail, Enforce, Reject)}, nil, []Finding{found("a", StageMail, Fail)}, Reject, "a", nil},
		{"a refusal at RCPT needs no content", []Slot{on("a", StageMail, Enforce, Reject), on("b", StageData, Enforce, Reject)}, nil,
			[]Finding{found("a", StageMail, Fail)}, Reject, "a", nil},
		{"no refusal any more, and the content was never seen", []Slot{on("a", StageMail, Monitor, Reject), on("b", StageData, Enforce, Reject)}, nil,
			[]Finding{found("a", StageMail, Fail)}, None, "", []string{"b"}},
		{"what a monitored check would find is of no matter", []Slot{on("a", StageMail, Enforce, Reject), on("b", StageData, Monitor, Reject)}, nil,
			[]Finding{found("a", StageMail, Pass)}, None, "", nil},
		{"a missing check that never does more is of no matter", []Slot{on("a", StageMail, Enforce, Defer), on("b", StageMail, Enforce, Tag)}, nil,
			[]Finding{found("a", StageMail, Fail)}, Defer, "a", nil},
		{"a missing check that could refuse for good", []Slot{on("a", StageMail, Enforce, Defer), on("b", StageMail, Enforce, Reject)}, nil,
			[]Finding{found("a", StageMail, Fail)}, Defer, "a", []string{"b"}},
		{"a last resort was not asked, since another refuses", []Slot{on("a", StageMail, Enforce, Defer), greylist}, nil,
			[]Finding{found("a", StageMail, Fail)}, Defer, "a", nil},
		{"a last resort has no say where another refuses", []Slot{greylist, on("a", StageMail, Enforce, Defer)}, nil,
			[]Finding{found("greylist", StageRcpt, Fail), found("a", StageMail, Fail)}, Defer, "a", nil},
		{"a last resort counts where nothing else refuses", []Slot{greylist, on("a", StageMail, Monitor, Reject)}, nil,
			[]Finding{found("greylist", StageRcpt, Fail), found("a", StageMail, Fail)}, Defer, "greylist", nil},
		{"a tag of RCPT stays behind the content", []Slot{on("a", StageRcpt, Enforce, Tag), on("b", StageData, Enforce, Reject)}, nil,
			[]Finding{found("a", StageRcpt, Fail), found("b", StageData, Pass)}, Tag, "a", nil},
		{"a signature is not known at RCPT", []Slot{on("a", StageMail, Enforce, Reject), on("dkim", StageData, Enforce, None)}, []Rule{byDKIM},
			[]Finding{found("a", StageMail, Fail), signed}, Reject, "a", nil},
		{"a signature spares the content", []Slot{on("b", StageData, Enforce, Reject), on("dkim", StageData, Enforce, None)}, []Rule{byDKIM},
			[]Finding{found("b", StageData, Fail), signed}, None, "", nil},
		{"a proof that was never looked for", []Slot{on("a", StageMail, Enforce, Reject), on("spf", StageMail, Enforce, None)}, []Rule{bySPF},
			[]Finding{found("a", StageMail, Fail)}, Reject, "a", []string{"spf"}},
		{"a proof that failed", []Slot{on("a", StageMail, Enforce, Reject), on("spf", StageMail, Enforce, None)}, []Rule{bySPF},
			[]Finding{found("a", StageMail, Fail), found("spf", StageMail, Fail)}, Reject, "a", nil},
		{"a check that is gone says nothing", nil, nil, []Finding{found("a", StageMail, Fail)}, None, "", nil},
		{"another limit lets it in", []Slot{long(9)}, nil, []Finding{nine}, None, "", nil},
		{"another limit does not", []Slot{long(8)}, nil, []Finding{nine}, Reject, "long", nil},
		{"facts that do not tell", []Slot{long(8)}, nil, []Finding{found("long", StageMail, Pass)}, None, "", []string{"long"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &Policy{Mode: Enforce, Slots: tt.slots, Rules: tt.rules}
			got := p.Replay(Case{HasSender: true, Sender: Mailbox{"x", "a.example"}, FromDomain: "a.example", Findings: tt.found})
			if got.Done != tt.done || got.By != tt.by || !slices.Equal(got.Missing, tt.missing) {
				t.Errorf("got %v by %q, missing %q; want %v by %q, missing %q", got.Done, got.By, got.Missing, tt.done, tt.by, tt.missing)
			}
		})
	}
}

// TestReplayIsTheRun judges random sessions again, and compares with what the run decided.
func TestReplayIsTheRun(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	seen := map[Action]int{}
	for range 400 {
		p, v := randomPolicy(rnd), View{Client: netip.MustParseAddr("203.0.113.9"), Time: time.Now()}
		sender, rcpt := Mailbox{"x", "a.example"}, Mailbox{"amy", "example.com"}
		msg := &Message{FromDomain: []string{"", "a.example", "b.example"}[rnd.IntN(3)]}
		run := p.Begin(context.Background(), v)
		run.Helo("mail.a.example", false)
		run.Mail(sender, false)
		want := run.Rcpt(rcpt)
		fs := run.Findings()
		if want.Done < Defer {
			atRcpt := ofRcpt(want)
			want = want.then(run.Data(msg, rcpt))
			fs = append(run.Findings(), atRcpt...)
		} else {
			msg.FromDomain, fs = "", append(fs, ofRcpt(want)...)
		}
		run.Close()
		got := p.Replay(Case{Time: v.Time, Client: v.Client, Helo: "mail.a.example", Sender: sender, HasSender: true, Recipient: rcpt,
			FromDomain: msg.FromDomain, Findings: fs})
		if diff := cmp.Diff(want, got.Decision, cmpopts.EquateEmpty()); diff != "" || len(got.Missing) > 0 {
			t.Fatalf("missing %q\n%s", got.Missing, diff)
		}
		seen[got.Done]++
	}
	for a := None; a <= Reject; a++ {
		if seen[a] < 20 {
			t.Errorf("%v was decided only %d times", a, seen[a])
		}
	}
}

// ofRcpt are the findings of a recipient's own.
func ofRcpt(d Decision) (fs []Finding) {
	for _, s := range d.Steps {
		if s.Finding.Stage == StageRcpt {
			fs = append(fs, s.Finding)
		}
	}
	return fs
}

// randomPolicy has checks of all stages, with outcomes of their own, and rules.
func randomPolicy(rnd *rand.Rand) *Policy {
	p := &Policy{Mode: []Mode{Monitor, Enforce, Enforce, Enforce}[rnd.IntN(4)], Soft: rnd.IntN(6) == 0}
	outcomes := []Outcome{Pass, Pass, Fail, NoneFound}
	for i, name := range []string{"a", "b", "spf", "c", "greylist", "d", "dkim"} {
		stage := []Stage{StageConnect, StageHelo, StageMail, StageRcpt, StageRcpt, StageData, StageData}[i]
		var c Check = sees{name, stage, outcomes[rnd.IntN(4)]}
		if name == "greylist" {
			c = resort{c.(sees)}
		}
		p.Slots = append(p.Slots, Slot{Check: c, Mode: Mode(rnd.IntN(3)), Where: name,
			Actions: map[Outcome]Action{Fail: Action(rnd.IntN(4)), NoneFound: Action(rnd.IntN(2))}})
	}
	rnd.Shuffle(len(p.Slots), func(i, j int) { p.Slots[i], p.Slots[j] = p.Slots[j], p.Slots[i] })
	for _, name := range []string{"r", "s"} {
		r := Rule{Name: name, Allow: rnd.IntN(3) > 0, Skip: [][]string{nil, {"a"}, {"b", "d"}}[rnd.IntN(3)]}
		if rnd.IntN(2) == 0 {
			r.SenderDomain = []string{[]string{"a.example", "b.example"}[rnd.IntN(2)]}
		} else {
			r.FromDomain = []string{"a.example"}
		}
		if r.Allow && rnd.IntN(2) == 0 && r.SenderDomain != nil {
			r.Proof = []Proof{ProofSPF}
		}
		if rnd.IntN(2) == 0 {
			p.Rules = append(p.Rules, r)
		}
	}
	return p
}
