package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gatepost/journal/rejudge"
	"gatepost/policy"
)

// explainer tells what became of a rehearsed session.
type explainer struct {
	*rehearsal
	paint paint
}

// explained is what is told of one recipient.
type explained struct {
	Recipient  string        `json:"recipient,omitempty"` // "" for a session that came to none
	Verdict    string        `json:"verdict"`             // accepted, tagged, deferred, rejected; none where it came to no end
	By         string        `json:"by,omitempty"`        // a check, rule.NAME, relay, protocol, backend or proxy
	Why        string        `json:"why"`                 // one sentence
	Where      string        `json:"where,omitempty"`     // the deciding line of the config
	Reply      string        `json:"reply,omitempty"`     // as it would be sent, without the ref
	Backend    string        `json:"backend,omitempty"`   // what the mail server behind says of the recipient, where it is asked though the policy refuses
	Rule       string        `json:"rule,omitempty"`      // the rule that held
	Content    bool          `json:"content_judged"`      // false: no content was given, so it is the verdict up to RCPT
	Steps      []explainStep `json:"steps"`
	AcceptedIf []string      `json:"accepted_if,omitempty"` // each of these changes alone lets it in
	Rules      []string      `json:"rules,omitempty"`       // TOML of rules that would
	Delays     []string      `json:"delays,omitempty"`      // what a live session would have waited for
}

// explainStep is one check.
type explainStep struct {
	Stage   string        `json:"stage"`
	Check   string        `json:"check"`
	Outcome string        `json:"outcome"`
	Facts   []policy.Fact `json:"facts,omitempty"`
	Took    time.Duration `json:"took_ns"`
	Action  string        `json:"action"` // what it led to
	Asked   string        `json:"asked"`  // what it would have led to, if enforced
	Mode    string        `json:"mode"`
	Skipped string        `json:"skipped,omitempty"` // the rule that spared the mail this check
	Where   string        `json:"where,omitempty"`
}

// explain is what is told of the recipients of a record, or of the session where there were none.
func (x *explainer) explain(r *policy.Record) []explained {
	if len(r.Recipients) == 0 {
		return []explained{x.explainSession(r)}
	}
	var all []explained
	for i := range r.Recipients {
		all = append(all, x.explainRecipient(r, &r.Recipients[i]))
	}
	return all
}

func (x *explainer) explainRecipient(r *policy.Record, rc *policy.RecipientRecord) explained {
	p, c := x.settings.Policy, rejudge.Case(r, rc)
	d := p.Replay(c)
	e := explained{Recipient: rc.Address, Verdict: rc.Verdict.String(), By: rc.By, Where: rc.Where, Reply: replyText(rc.Reply),
		Rule: d.Rule, Content: r.Size > 0, Steps: steps(d.Steps), Delays: x.delays()}
	if rc.By == "relay" || rc.By == "proxy" { // no check was asked
		e.Steps = []explainStep{}
	}
	if rc.Verdict == policy.Undecided { // the session ends behind RCPT, where nobody has content to judge
		e.Verdict = d.Verdict().String()
	}
	e.Why = x.sentence(r, rc, d.Decision)
	if d.Done >= policy.Defer && rc.By == d.By {
		e.AcceptedIf, e.Rules = waysIn(p, c)
		if x.asks && rc.BackendReply.Code == 0 {
			e.Backend = x.backendReply(r, rc)
		}
	}
	return e
}

// explainSession is what is told of a session that came to no recipient.
func (x *explainer) explainSession(r *policy.Record) explained {
	c := rejudge.Case(r, nil)
	d := x.settings.Policy.Judge(c)
	e := explained{Verdict: replyVerdict(r.Reply).String(), Why: whySession(r), Reply: replyText(r.Reply), Where: d.Where, By: d.By,
		Steps: steps(d.Steps), Delays: x.delays()}
	if r.By == "protocol" {
		e.By, e.Where = r.By, ""
	} else if replyVerdict(r.Reply) >= policy.Deferred {
		e.AcceptedIf, e.Rules = waysIn(x.settings.Policy, c)
	}
	return e
}

// sentence says what decided about a recipient.
func (x *explainer) sentence(r *policy.Record, rc *policy.RecipientRecord, d policy.Decision) string {
	would := ""
	if d.Would > d.Done && d.Would >= policy.Defer {
		would = fmt.Sprintf("; were every check enforced: %s by %s, %s", policy.Decision{Done: d.Would}.Verdict(), d.ByWho, stepText(d, d.ByWho))
	}
	switch {
	case rc.Verdict >= policy.Deferred && rc.By != d.By:
		return whyRecipient(r, rc)
	case rc.Verdict == policy.Undecided:
		return "nothing speaks against it up to RCPT; without --message the content is not judged" + would
	case d.Done >= policy.Defer && strings.HasPrefix(d.By, "rule."):
		return d.By + " refuses it"
	case d.Done >= policy.Defer:
		return d.By + ": " + stepText(d, d.By)
	case rc.Verdict <= policy.Tagged && d.Done == policy.Tag:
		return "tagged by " + d.By + ": " + stepText(d, d.By) + would
	}
	return "nothing speaks against it" + would
}

// stepText is what a check has to say to the sender, else its outcome.
func stepText(d policy.Decision, check string) string {
	for _, s := range d.Steps {
		if s.Finding.Check == check && s.Asked > policy.None {
			return cmp.Or(s.Finding.Text, string(s.Finding.Outcome))
		}
	}
	return ""
}

// waysIn are the changes that would have let a refused case in, as they would be written, and the rules among them in full. It is
// what "Accepted if:" tells.
func waysIn(p *policy.Policy, c policy.Case) (ways, rules []string) {
	for _, r := range rejudge.Remedies(p, c) {
		if r.Rule == nil {
			ways = append(ways, strings.Join(r.Changes, " and "))
			continue
		}
		if text, ok := ruleTOML(*r.Rule, ""); ok {
			ways, rules = append(ways, ruleWords(*r.Rule)), append(rules, text)
		}
	}
	return ways, rules
}

func steps(all []policy.Step) []explainStep {
	out := []explainStep{}
	for _, s := range all {
		f := s.Finding
		out = append(out, explainStep{Stage: f.Stage.String(), Check: f.Check, Outcome: string(f.Outcome), Facts: f.Facts, Took: f.Took,
			Action: s.Done.String(), Asked: s.Asked.String(), Mode: s.Mode.String(), Skipped: s.Skipped, Where: s.Where})
	}
	slices.SortStableFunc(out, func(a, b explainStep) int { return cmp.Compare(stageRank(a.Stage), stageRank(b.Stage)) })
	return out
}

func stageRank(word string) policy.Stage {
	var s policy.Stage
	_ = s.UnmarshalText([]byte(word)) // it is one of ours
	return s
}

// replyText is a reply on one line; "" for none.
func replyText(r policy.Reply) string {
	if r.Code == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", r.Code, strings.ReplaceAll(r.Text, "\n", " "))
}

// writeJSON writes an object for each recipient.
func (x *explainer) writeJSON(out io.Writer, records []*policy.Record) error {
	for _, r := range telling(records) {
		for _, e := range x.explain(r) {
			if err := writeJSON(out, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// telling leaves out the record of a session whose transactions say it all.
func telling(records []*policy.Record) []*policy.Record {
	if len(records) < 2 {
		return records
	}
	return slices.DeleteFunc(slices.Clone(records), func(r *policy.Record) bool { return r.End == policy.EndNone && r.Reply.Code == 0 })
}

// write tells of a whole session.
func (x *explainer) write(out io.Writer, c call, records []*policy.Record) error {
	var b strings.Builder
	fmt.Fprintln(&b, wrap(printable(fmt.Sprintf("A mail from <%s> by %s, greeting as %s", c.from, c.client, c.helo)), "", "  "))
	x.writeDelays(&b)
	for _, r := range telling(records) {
		x.writeRecord(&b, r)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (x *explainer) writeDelays(out io.Writer) {
	for _, d := range x.delays() {
		fmt.Fprintln(out, "Delay: "+d)
	}
}

// writeRecord tells of the recipients of one record.
func (x *explainer) writeRecord(out io.Writer, r *policy.Record) {
	if r.End == policy.EndNone && r.Reply.Code == 0 && len(r.Faults) == 0 { // QUIT, and nothing more
		return
	}
	for _, e := range x.explain(r) {
		x.writeOne(out, e)
	}
}

var verdictColours = map[string]string{"accepted": green, "tagged": green, "deferred": yellow, "rejected": red}

func (x *explainer) writeOne(out io.Writer, e explained) {
	whom := printable(cmp.Or(e.Recipient, "the session"))
	line := wrap(whom+": "+e.Verdict+", "+printable(e.Why), "", "  ")
	fmt.Fprintln(out, "\n"+strings.Replace(line, e.Verdict+",", x.paint.in(verdictColours[e.Verdict], e.Verdict)+",", 1))
	if e.Where != "" {
		fmt.Fprintln(out, "  decided at "+printable(e.Where))
	}
	for _, s := range e.Steps {
		if e.Where == "" && s.Check == e.By && s.Action != "none" {
			fmt.Fprintf(out, "  decided by the default of check.%s.on.%s\n", s.Check, printable(s.Outcome))
		}
	}
	ladder(out, e.Steps)
	if e.Reply != "" && (e.Verdict == "deferred" || e.Verdict == "rejected") {
		fmt.Fprintln(out, wrap(printable(e.Reply)+" [REF]", "Reply: ", "  "))
	}
	if e.Backend != "" {
		fmt.Fprintln(out, wrap(printable(e.Backend), "The mail server says: ", "  "))
	}
	if len(e.AcceptedIf) > 0 {
		fmt.Fprintln(out, wrap(printable(strings.Join(e.AcceptedIf, " | ")), "Accepted if: ", "  "))
	}
	for _, rule := range e.Rules {
		fmt.Fprintf(out, "The rule:\n%s", indent(rule, "  "))
	}
}

func indent(text, by string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(by + line)
	}
	return b.String()
}

// ladder tells what each check found, a line each; evidence that does not fit stands below.
func ladder(out io.Writer, steps []explainStep) {
	check, outcome := 0, 0
	for _, s := range steps {
		check, outcome = max(check, len(s.Check)), max(outcome, len(s.Outcome))
	}
	for _, s := range steps {
		row := fmt.Sprintf("  %-7s  %-*s  %-*s  %8.1f ms  %s", s.Stage, check, s.Check, outcome, s.Outcome,
			float64(s.Took)/float64(time.Millisecond), acted(s))
		fmt.Fprintln(out, printable(strings.TrimRight(row, " ")))
		if facts := evidenceText(s.Facts); facts != "" {
			fmt.Fprintln(out, wrap(printable(facts), "           ", "           "))
		}
	}
}

// acted is what a step led to, as words.
func acted(s explainStep) string {
	switch {
	case s.Skipped != "":
		return "(spared by rule." + s.Skipped + ")"
	case s.Mode == policy.Monitor.String() && s.Asked != "none":
		return "(monitor: would " + s.Asked + ")"
	case s.Mode == policy.Monitor.String():
		return "(monitor)"
	case s.Action == "none":
		return ""
	}
	return s.Action
}

// evidenceText is the facts of a finding on one line, not yet cleaned. What a check keeps for judging again alone is left out.
func evidenceText(facts []policy.Fact) string {
	var parts []string
	for _, f := range facts {
		if f.Key != "clear" {
			parts = append(parts, f.Key+" "+f.Value)
		}
	}
	return strings.Join(parts, "; ")
}
