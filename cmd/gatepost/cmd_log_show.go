package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatepost/journal"
	"gatepost/journal/rejudge"
	"gatepost/policy"
)

func (f *logFlags) showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show REF",
		Short: "Tell of one mail in full: what became of it, why, and what each check saw",
		Long: "Tells of one mail in full. REF is what stands in brackets at the end of a refusal, and in Received; its beginning is enough, in any case. " +
			`"Accepted if:" names changes of the config each of which would have let the mail in, by the config as it is now; "Accepted by now:" what lets ` +
			`it in since; "Spared if:" a rule for mail that monitored checks would have refused, as "log allow" proposes it.`,
		Example: "  gatepost log show 8F3K2QWMAB",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.open()
			if err != nil {
				return err
			}
			found, err := f.find(cmd, r, args[0])
			if err != nil {
				return err
			}
			p := f.policyNow(time.Now())
			for i, e := range found {
				if f.json {
					err = writeLine(cmd.OutOrStdout(), e)
				} else {
					err = writePage(cmd.OutOrStdout(), e.Record, p, i > 0)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.withJSON(cmd)
	return cmd
}

// mostShown is how many entries a ref may mean.
const mostShown = 20

// find is what a ref means. Where it is the beginning of several, they are named.
func (f *logFlags) find(cmd *cobra.Command, r *journal.Reader, ref string) ([]journal.Entry, error) {
	if strings.Trim(ref, " []-") == "" {
		return nil, usageError{errors.New("say which: a ref")}
	}
	var found []journal.Entry
	names := map[string]bool{}
	err := each(cmd.Context(), r, journal.Query{Ref: ref, Limit: mostShown}, cmd.ErrOrStderr(), func(e journal.Entry) error {
		found = append(found, e)
		names[e.Record.Ref] = true
		return nil
	})
	switch {
	case len(found) == 0 && err == nil:
		return nil, fmt.Errorf("the journal has no record of %s; %s", printable(ref), reach(r))
	case len(names) > 1:
		t := newLogTable(cmd.OutOrStdout())
		for _, e := range found {
			if err := t.entry(e); err != nil {
				return nil, err
			}
		}
		return nil, fmt.Errorf("%s is the beginning of several refs", printable(ref))
	case len(found) == 0:
		return nil, err
	}
	return found, nil
}

// reach is from when to when the journal has records.
func reach(r *journal.Reader) string {
	first, last, _ := r.Days()
	return fmt.Sprintf("it goes from %s to %s", first.Format(time.DateOnly), last.Format(time.DateOnly))
}

// policyNow is the policy of the config, without the rules that have ended; nil where there is none to be had, which "show" can do without.
func (f *logFlags) policyNow(now time.Time) *policy.Policy {
	if f.dir != "" {
		return nil
	}
	c, err := loadConfig(f.config)
	if err != nil {
		return nil
	}
	p, err := judging(c)
	if err != nil {
		return nil
	}
	q := *p
	q.Rules = slices.DeleteFunc(slices.Clone(p.Rules), func(r policy.Rule) bool { return !r.Expires.IsZero() && !now.Before(r.Expires) })
	return &q
}

// writePage tells of one record in full. What is told of checks comes from the record; p, where it is not nil, tells what would have let it in.
func writePage(out io.Writer, r *policy.Record, p *policy.Policy, another bool) error {
	var b strings.Builder
	if another {
		b.WriteString("\n")
	}
	for _, rc := range pageOutcomes(r) {
		b.WriteString(placeRight(wrap(printable(logSentence(r, &rc)), "", ""), printable(cmp.Or(rc.Where, defaultOf(r, &rc)))))
	}
	ladder(&b, pageSteps(r))
	for _, rc := range pageOutcomes(r) {
		writeSent(&b, r, &rc, p)
	}
	for _, l := range details(r) {
		fmt.Fprintln(&b, wrap(printable(l), "", "  "))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// defaultOf names the default that decided where no line of the config did; "" where no check did.
func defaultOf(r *policy.Record, rc *policy.RecipientRecord) string {
	if rc.Verdict < policy.Tagged {
		return ""
	}
	for _, f := range slices.Concat(rc.Findings, r.Findings) {
		if f.Check == rc.By {
			return fmt.Sprintf("default of check.%s.on.%s", f.Check, f.Outcome)
		}
	}
	return ""
}

// mostOutcomes is how many recipients a page tells of.
const mostOutcomes = 20

// pageOutcomes are the recipients of a record, or what became of it where it has none.
func pageOutcomes(r *policy.Record) []policy.RecipientRecord {
	if len(r.Recipients) == 0 {
		return []policy.RecipientRecord{logOutcome(r)}
	}
	return r.Recipients[:min(len(r.Recipients), mostOutcomes)]
}

// placeRight is a text with a place at the end of its last line, or below where there is no room.
func placeRight(text, place string) string {
	if place == "" {
		return text + "\n"
	}
	last := text[strings.LastIndexByte(text, '\n')+1:]
	if room := columns - len([]rune(last)) - len([]rune(place)); room > 1 {
		return text + strings.Repeat(" ", room) + place + "\n"
	}
	return text + "\n" + strings.Repeat(" ", max(0, columns-len([]rune(place)))) + place + "\n"
}

// writeSent tells what was sent about a recipient, what would have been, and what would have let it in.
func writeSent(b *strings.Builder, r *policy.Record, rc *policy.RecipientRecord, p *policy.Policy) {
	to := ""
	if len(r.Recipients) > 1 {
		to = " to " + printable(rc.Address)
	}
	if rc.Reply.Code > 0 {
		ref := ""
		if rc.Reply.Code >= 400 {
			ref = " [" + r.Ref + "]"
		}
		fmt.Fprintln(b, wrap(printable(replyText(rc.Reply)+ref), "Sent"+to+": ", "  "))
	}
	if wouldMore(*rc) {
		fmt.Fprintln(b, wrap(printable(cmp.Or(replyText(rc.Intended), rc.Would.String()+" by "+rc.WouldBy)), "Would have sent"+to+": ", "  "))
	}
	if p != nil && len(r.Recipients) > 0 {
		writeWays(b, p, r, rc)
	}
}

// writeWays tells what would have let a refused recipient in, or that it is let in by now; and of one whom monitored checks would have refused,
// which rule spares it that.
func writeWays(b *strings.Builder, p *policy.Policy, r *policy.Record, rc *policy.RecipientRecord) {
	c := rejudge.Case(r, rc)
	d := p.Replay(c)
	tell := func(label, text string) { fmt.Fprintln(b, wrap(printable(text), label+": ", "  ")) }
	switch {
	case d.Done >= policy.Defer && rc.Verdict >= policy.Deferred:
		if ways, _ := waysIn(p, c); len(ways) > 0 {
			tell("Accepted if", strings.Join(ways, " | "))
		}
	case rc.Verdict >= policy.Deferred && !slices.Contains(append(d.Missing, "relay", "protocol", "proxy", "backend", ""), rc.By):
		tell("Accepted by now", letsIn(p, d.Decision, rc.By))
	case rc.Verdict < policy.Deferred && wouldMore(*rc) && rc.Would >= policy.Defer:
		if rule, ok := rejudge.Propose(allEnforced(p), c); ok {
			tell("Spared if", ruleWords(rule))
		}
	}
}

// letsIn says what in a policy lets by what a check or a rule had refused.
func letsIn(p *policy.Policy, d policy.Decision, by string) string {
	for _, s := range d.Steps {
		if s.Finding.Check != by || s.Skipped == "" {
			continue
		}
		text := "rule " + s.Skipped
		if i := slices.IndexFunc(p.Rules, func(r policy.Rule) bool { return r.Name == s.Skipped }); i >= 0 && !p.Rules[i].Expires.IsZero() {
			text += ", until " + p.Rules[i].Expires.UTC().Format("2006-01-02 15:04 UTC")
		}
		return text
	}
	return "the config has changed"
}

// pageSteps are the findings of a record as far as it tells what they led to. Those of one recipient stand behind those of all.
func pageSteps(r *policy.Record) []explainStep {
	all := pageOutcomes(r)
	var out []explainStep
	for _, f := range r.Findings {
		out = append(out, logStep(f, all))
	}
	for i := range r.Recipients {
		for _, f := range r.Recipients[i].Findings {
			s := logStep(f, r.Recipients[i:i+1])
			if len(r.Recipients) > 1 {
				s.Facts = append([]policy.Fact{{Key: "for", Value: r.Recipients[i].Address}}, f.Facts...)
			}
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b explainStep) int { return cmp.Compare(stageRank(a.Stage), stageRank(b.Stage)) })
	return out
}

// logStep is a finding, with what it led to for any of some recipients.
func logStep(f policy.Finding, rcpts []policy.RecipientRecord) explainStep {
	s := explainStep{Stage: f.Stage.String(), Check: f.Check, Outcome: string(f.Outcome), Facts: f.Facts, Took: f.Took, Action: "none", Asked: "none"}
	for _, rc := range rcpts {
		switch {
		case rc.By == f.Check && rc.Verdict >= policy.Tagged:
			s.Action = policy.Action(rc.Verdict - 1).String() // the verdicts are in the order of the actions, behind Undecided
		case rc.WouldBy == f.Check && wouldMore(rc):
			s.Mode, s.Asked = policy.Monitor.String(), rc.Would.String()
		}
	}
	return s
}

// details are the lines about a record that are worth knowing besides.
func details(r *policy.Record) []string {
	var lines []string
	add := func(name string, parts ...string) {
		parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
		if len(parts) > 0 {
			lines = append(lines, name+": "+strings.Join(parts, ", "))
		}
	}
	labelled := func(label, s string) string {
		if s == "" {
			return ""
		}
		return label + s
	}
	size := ""
	if r.Size > 0 {
		size = thousands(int(r.Size)) + " octets"
	}
	add("Client", clientOf(r), r.ClientName, labelled("HELO ", r.Helo), r.Proto, r.TLS, labelled("listener ", r.Listener))
	add("Message", labelled("Message-ID ", r.MessageID), labelled("author's domain ", r.FromDomain), labelled("list ", r.ListID), labelled("subject ", r.Subject), size)
	for _, rc := range r.Recipients[:min(len(r.Recipients), mostOutcomes)] {
		if rc.BackendReply.Code > 0 && rc.BackendReply != rc.Reply {
			add("Backend "+rc.Backend, replyText(rc.BackendReply))
		}
	}
	add("Note", r.Note)
	add("Faults", r.Faults...)
	add("Session", r.Session, "from "+r.Time.UTC().Format("2006-01-02 15:04:05.000")+" UTC", "took "+r.Took.Round(time.Millisecond).String(), "end "+string(r.End), labelled("policy ", r.Policy))
	for _, l := range r.Transcript {
		lines = append(lines, "| "+l)
	}
	return lines
}
