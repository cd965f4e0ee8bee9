package rejudge

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gatepost/policy"
)

// scored is a check with a threshold.
type scored struct {
	says
	threshold int
}

func (s scored) Again(f policy.Finding) (policy.Finding, bool) {
	f.Outcome = policy.Pass
	if len(f.Fact("score")) >= s.threshold {
		f.Outcome = "listed"
	}
	return f, true
}

func (s scored) Looser(f policy.Finding) (string, policy.Rejudger, bool) {
	n := len(f.Fact("score")) + 1
	return fmt.Sprintf("threshold = %d", n), scored{s.says, n}, true
}

func TestRemedies(t *testing.T) {
	connect, mail, data := policy.StageConnect, policy.StageMail, policy.StageData
	dnsbl := slot("dnsbl", connect, policy.Enforce, policy.Reject)
	dnsbl.Check = scored{says{name: "dnsbl", stage: connect}, 3}
	listed := found("dnsbl", connect, "listed", policy.Fact{Key: "score", Value: "iiii"})
	spf, dkim, dmarc := slot("spf", mail, policy.Enforce, policy.Reject), slot("dkim", data, policy.Enforce, policy.None), slot("dmarc", data, policy.Enforce, policy.Reject)
	deny := policy.Rule{Name: "no", SenderDomain: []string{"shop.example"}}
	signed := found("dkim", data, policy.Pass, policy.Fact{Key: policy.FactSigned, Value: "shop.example"})
	tests := []struct {
		name  string
		slots []policy.Slot
		rules []policy.Rule
		found []policy.Finding
		want  []string
	}{
		{"nothing refuses", []policy.Slot{dnsbl}, nil, []policy.Finding{found("dnsbl", connect, policy.Pass)}, nil},
		{"a listing, of a sender whom SPF proves", []policy.Slot{dnsbl, spf}, nil, []policy.Finding{listed, found("spf", mail, policy.Pass)},
			[]string{"the listing goes", "check.dnsbl.threshold = 5", `check.dnsbl.on.listed = "tag"`, `check.dnsbl.mode = "monitor"`,
				"rule sender_domain=shop.example proof=spf skip=dnsbl"}},
		{"two checks refuse, and each change takes both", []policy.Slot{dnsbl, spf}, nil, []policy.Finding{listed, found("spf", mail, policy.Fail)},
			[]string{"the listing goes and SPF passes", `check.dnsbl.on.listed = "tag" and check.spf.on.fail = "tag"`,
				`check.dnsbl.mode = "monitor" and check.spf.mode = "monitor"`, "rule client=203.0.113.9/32 sender_domain=shop.example skip=dnsbl,spf"}},
		{"a signature does not help against a refusal at RCPT", []policy.Slot{spf, dkim}, nil, []policy.Finding{found("spf", mail, policy.Fail), signed},
			[]string{"SPF passes", `check.spf.on.fail = "tag"`, `check.spf.mode = "monitor"`, "rule client=203.0.113.9/32 sender_domain=shop.example skip=spf"}},
		{"it does behind the content", []policy.Slot{dkim, dmarc}, nil, []policy.Finding{signed, found("dmarc", data, policy.Fail)},
			[]string{"SPF or DKIM proves the author's domain", `check.dmarc.on.fail = "tag"`, `check.dmarc.mode = "monitor"`, "rule from_domain=shop.example proof=dkim skip=dmarc"}},
		{"SPF proves nobody's authorship", []policy.Slot{spf, dmarc}, nil, []policy.Finding{found("spf", mail, policy.Pass), found("dmarc", data, policy.Fail)},
			[]string{"SPF or DKIM proves the author's domain", `check.dmarc.on.fail = "tag"`, `check.dmarc.mode = "monitor"`,
				"rule client=203.0.113.9/32 sender_domain=shop.example from_domain=shop.example skip=dmarc"}},
		{"a rule refuses", []policy.Slot{spf}, []policy.Rule{deny}, []policy.Finding{found("spf", mail, policy.Pass)}, []string{"rule.no goes"}},
		{"a rule refuses, and a check behind it", []policy.Slot{spf}, []policy.Rule{deny}, []policy.Finding{found("spf", mail, policy.Fail)},
			[]string{`rule.no goes and check.spf.mode = "monitor"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &policy.Policy{Mode: policy.Enforce, Slots: tt.slots, Rules: tt.rules}
			r, rc := record(policy.Rejected, "", tt.found...)
			r.Author = "shop.example"
			var got []string
			for _, m := range Remedies(p, Case(r, rc)) {
				got = append(got, remedyText(m))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestRemediesOfOverride: action and mode are changed in the recipient's override, where that is enough.
func TestRemediesOfOverride(t *testing.T) {
	connect, mail := policy.StageConnect, policy.StageMail
	spf, lenient := slot("spf", mail, policy.Enforce, policy.Reject), slot("spf", mail, policy.Enforce, policy.None)
	early := slot("helo", connect, policy.Enforce, policy.Reject)
	deny := policy.Rule{Name: "no", SenderDomain: []string{"shop.example"}}
	strict := policy.Scope{Actions: map[string]map[policy.Outcome]policy.Action{"spf": {policy.Fail: policy.Reject}}}
	tests := []struct {
		name   string
		slots  []policy.Slot
		rules  []policy.Rule
		scopes map[string]policy.Scope
		want   []string
	}{
		{"the override refuses", []policy.Slot{lenient}, nil, map[string]policy.Scope{"example.com": strict},
			[]string{`domain."example.com".check.spf.on.fail = "tag"`, `domain."example.com".check.spf.mode = "monitor"`}},
		{"the check refuses, and there is an override", []policy.Slot{spf}, nil, map[string]policy.Scope{"com": {}, "amy@example.com": {}, "example.com": strict},
			[]string{`domain."amy@example.com".check.spf.on.fail = "tag"`, `domain."amy@example.com".check.spf.mode = "monitor"`}},
		{"an override of others", []policy.Slot{spf}, nil, map[string]policy.Scope{"example.org": strict, "bob@example.com": {}},
			[]string{`check.spf.on.fail = "tag"`, `check.spf.mode = "monitor"`}},
		{"two checks and a rule", []policy.Slot{early, spf}, []policy.Rule{deny}, map[string]policy.Scope{"example.com": {}},
			[]string{`rule.no goes and domain."example.com".check.helo.mode = "monitor" and domain."example.com".check.spf.mode = "monitor"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &policy.Policy{Mode: policy.Enforce, Slots: tt.slots, Rules: tt.rules, Scopes: tt.scopes}
			before := fmt.Sprint(p.Scopes)
			r, rc := record(policy.Rejected, "", found("helo", connect, policy.Fail), found("spf", mail, policy.Fail))
			var got []string
			for _, m := range Remedies(p, Case(r, rc)) {
				if text := remedyText(m); strings.Contains(text, "check.") {
					got = append(got, text)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if after := fmt.Sprint(p.Scopes); after != before {
				t.Errorf("the policy itself was changed to %s", after)
			}
		})
	}
}

// remedyText is a remedy on one line.
func remedyText(m Remedy) string {
	if m.Rule == nil {
		return strings.Join(m.Changes, " and ")
	}
	text := "rule"
	add := func(key string, values ...string) {
		if len(values) > 0 {
			text += " " + key + "=" + strings.Join(values, ",")
		}
	}
	for _, n := range m.Rule.Client {
		add("client", n.String())
	}
	add("sender", m.Rule.Sender...)
	add("sender_domain", m.Rule.SenderDomain...)
	add("from_domain", m.Rule.FromDomain...)
	for _, p := range m.Rule.Proof {
		add("proof", string(p))
	}
	add("skip", m.Rule.Skip...)
	return text
}

func TestProposeForBounce(t *testing.T) {
	p := &policy.Policy{Mode: policy.Enforce, Slots: []policy.Slot{slot("dnsbl", policy.StageConnect, policy.Enforce, policy.Reject)}}
	r, rc := record(policy.Rejected, "dnsbl", found("dnsbl", policy.StageConnect, "listed"))
	r.Sender, r.Client = new(string), netip.MustParseAddr("2001:db8::9")
	rule, ok := Propose(p, Case(r, rc))
	if got := remedyText(Remedy{Rule: &rule}); !ok || got != "rule client=2001:db8::9/128 sender=<> skip=dnsbl" {
		t.Errorf("got %v %q", ok, got)
	}
}

func TestProposeNothing(t *testing.T) {
	spf := slot("spf", policy.StageMail, policy.Enforce, policy.Reject)
	for name, f := range map[string]policy.Outcome{"nothing refuses it": policy.Pass, "a rule does": policy.Pass} {
		p := &policy.Policy{Mode: policy.Enforce, Slots: []policy.Slot{spf}}
		if name == "a rule does" {
			p.Rules = []policy.Rule{{Name: "no", SenderDomain: []string{"shop.example"}}}
		}
		r, rc := record(policy.Accepted, "", found("spf", policy.StageMail, f))
		if rule, ok := Propose(p, Case(r, rc)); ok {
			t.Errorf("%s: the rule %+v", name, rule)
		}
	}
}

func TestTally(t *testing.T) {
	var few, many Tally
	for _, n := range []string{"b", "a", "c", "b", "", "c", "b"} {
		few.Add(n)
	}
	top, others := few.Top(2)
	if want := []Count{{"b", 3}, {"c", 2}}; !slices.Equal(top, want) || others != 1 {
		t.Errorf("got %v and %d others", top, others)
	}
	for i := range tallyNames + 10 {
		many.Add(fmt.Sprint(i))
	}
	if n, more := many.Names(); n != tallyNames || !more || many.Sum() != tallyNames+10 {
		t.Errorf("got %d %v, %d in all: names that a stranger makes up are bounded", n, more, many.Sum())
	}
}

// TestSummaryMemory: what a stream of recipients leaves in memory is the same behind a tenth of them and behind all, though every
// sender and list has another name.
func TestSummaryMemory(t *testing.T) {
	const n = 200_000
	var s Summary
	r, _ := record(policy.Accepted, "")
	outcomes := []Outcome{{Kind: Changed, Was: policy.Accepted, Is: policy.Rejected, By: "spf"}, {Kind: Undecidable, Was: policy.Rejected, Missing: []string{"dkim", "dmarc"}},
		{Kind: Changed, Was: policy.Rejected, Is: policy.Accepted, By: "dnsbl"}, {}}
	var early uint64
	begin := heap()
	for i := range n {
		sender := fmt.Sprintf("bounce-%d@shop%d.example", i, i)
		r.Sender, r.ListID = &sender, fmt.Sprintf("%0500d <news%d.shop.example>", i, i)
		s.Add(r, outcomes[i%len(outcomes)])
		if i == n/10 {
			early = heap()
		}
	}
	if late := heap(); late > early+64<<10 || late > begin+4<<20 {
		t.Errorf("%d octets at the begin, %d behind %d recipients, %d behind %d", begin, early, n/10, late, n)
	}
	if s.Total != n || len(s.Groups()) != 3 {
		t.Errorf("%d recipients in %d groups", s.Total, len(s.Groups()))
	}
}

// heap is how many octets are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestWatch(t *testing.T) {
	spf, dnsbl := slot("spf", policy.StageMail, policy.Monitor, policy.None), slot("dnsbl", policy.StageConnect, policy.Monitor, policy.Reject)
	helo := slot("helo", policy.StageHelo, policy.Monitor, policy.Defer)
	dmarc := slot("dmarc", policy.StageData, policy.Monitor, policy.Reject)
	enforced := slot("size", policy.StageData, policy.Enforce, policy.Reject)
	w := NewWatch(&policy.Policy{Mode: policy.Enforce, Slots: []policy.Slot{spf, dnsbl, helo, dmarc, enforced}})
	add := func(v policy.Verdict, list string, fs ...policy.Finding) {
		r, rc := record(v, "", fs...)
		r.ListID = list
		w.Add(r, rc)
	}
	pass, listed, bad := found("spf", policy.StageMail, policy.Pass), found("dnsbl", policy.StageConnect, "listed"), found("helo", policy.StageHelo, policy.Fail)
	add(policy.Accepted, "")
	add(policy.Accepted, "News <News.shop.example>", pass, listed)
	add(policy.Tagged, "", pass, listed)
	add(policy.Accepted, "", listed, bad)
	add(policy.Rejected, "", listed)
	forged := found("dmarc", policy.StageData, policy.Fail)
	add(policy.Accepted, "", pass, forged)
	add(policy.Accepted, "News <News.shop.example>", pass, forged)
	var got []string
	for _, x := range w.Checks() {
		got = append(got, fmt.Sprintf("%s %d %d %d %d %d", x.Check, x.Would, x.Forever, x.Only, x.Proved, x.Listed))
	}
	want := []string{"spf 0 0 0 0 0", "dnsbl 3 3 2 2 1", "helo 1 0 0 0 0", "dmarc 2 2 2 0 1"}
	if !slices.Equal(got, want) || w.Accepted != 6 {
		t.Errorf("got %q of %d, want %q of 6", got, w.Accepted, want)
	}
	if through, _ := w.Checks()[3].Through.Top(3); len(w.Checks()[3].Spares(3)) != 0 || len(through) != 1 || through[0] != (Count{"shop.example", 1}) {
		t.Errorf("dmarc: rules %+v, through %+v", w.Checks()[3].Spares(3), through)
	}
	spares := w.Checks()[1].Spares(3)
	if len(spares) != 1 || spares[0].N != 2 || remedyText(Remedy{Rule: &spares[0].Rule}) != "rule sender_domain=shop.example proof=spf skip=dnsbl" {
		t.Errorf("the rules are %+v: two are proved, the third is not", spares)
	}
	if top, _ := w.Checks()[1].Lists.Top(1); len(top) != 1 || top[0].Name != "news.shop.example" {
		t.Errorf("the lists are %v", top)
	}
}
