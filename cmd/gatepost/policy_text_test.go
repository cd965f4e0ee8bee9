package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"gatepost/policy"
)

// play plays a case in each of its modes and gives the decision as text.
func (c *policyCase) play(t *testing.T, seen *seenOutcomes) string {
	t.Helper()
	var b strings.Builder
	var enforced *caseText
	for _, mode := range c.modes() {
		t.Run(mode, func(t *testing.T) {
			d := c.playIn(t, mode, seen)
			if mode == "" {
				b.WriteString(d.verdict.String() + d.findings.String())
				return
			}
			fmt.Fprintf(&b, "%s:\n%s", mode, d.beside(enforced))
			if enforced == nil {
				enforced = d
			}
		})
	}
	return b.String()
}

// beside is the decision in full, or where it is the same as another what is not.
func (d *caseText) beside(other *caseText) string {
	verdict, findings := d.verdict.String(), d.findings.String()
	switch {
	case other == nil:
		return verdict + findings
	case findings == "":
		findings = "no findings\n"
	case findings == other.findings.String() && verdict == other.verdict.String():
		return "as enforced\n"
	case findings == other.findings.String():
		findings = "findings as enforced\n"
	}
	return verdict + findings
}

// caseText is what a case came to, as text.
type caseText struct {
	verdict, findings strings.Builder
	config            string
}

// playIn plays the case in one mode.
func (c *policyCase) playIn(t *testing.T, mode string, seen *seenOutcomes) *caseText {
	t.Helper()
	toml := strings.ReplaceAll(c.config, modeWord, mode)
	st := newPolicyStage(t, c.zone, toml)
	sessions, err := c.sessions()
	if err != nil {
		t.Fatal(err)
	}
	s := &caseSender{mail: c.content()}
	for _, ss := range sessions {
		if err := s.play(st.address, ss); err != nil {
			t.Fatal(err)
		}
	}
	d := &caseText{config: toml}
	for _, l := range s.told {
		d.verdict.WriteString(l + "\n")
	}
	for _, r := range st.all() {
		d.record(r)
		if mode == "enforce" {
			seen.add(r)
		}
	}
	d.delivered(t, st, s.sent)
	return d
}

// content is the mail of the case in the form of the wire, or a plain one.
func (c *policyCase) content() string {
	text := c.mail
	if text == "" {
		text = "From: Amy <amy@shop.example>\nTo: amy@example.com\nDate: Sat, 21 Nov 2026 10:00:00 +0000\n" +
			"Message-ID: <1@shop.example>\nSubject: An offer\n\nDear customer.\n"
	}
	return strings.ReplaceAll(expand(text), "\n", "\r\n")
}

// record writes down a record: recipients, then findings.
func (d *caseText) record(r *policy.Record) {
	if len(r.Recipients) == 0 {
		fmt.Fprintf(&d.verdict, "no recipient: refused%s, end %s%s\n", d.decider(r.By, r.Where), r.End, faultsText(r))
	}
	for i := range r.Recipients {
		rc := &r.Recipients[i]
		fmt.Fprintf(&d.verdict, "%s: %s%s%s%s, end %s%s\n", rc.Address, rc.Verdict, d.decider(rc.By, rc.Where), wouldText(rc), spareText(rc), r.End, faultsText(r))
	}
	for _, f := range r.Findings {
		if judged(r, f.Stage) {
			fmt.Fprintf(&d.findings, "%s %s%s\n", f.Check, f.Outcome, factsText(f))
		}
	}
	for i := range r.Recipients {
		for _, f := range r.Recipients[i].Findings {
			fmt.Fprintf(&d.findings, "%s %s%s, for %s\n", f.Check, f.Outcome, factsText(f), r.Recipients[i].Address)
		}
	}
}

func faultsText(r *policy.Record) string {
	if len(r.Faults) == 0 {
		return ""
	}
	return ", faults " + strings.Join(r.Faults, " ")
}

// judged says whether the findings of a stage were waited for. Whether others are there in time is left to chance.
func judged(r *policy.Record, stage policy.Stage) bool {
	waited := len(r.Recipients) == 0
	for i := range r.Recipients {
		switch r.Recipients[i].By {
		case "relay":
		case "protocol":
			return stage < policy.StageData
		default:
			waited = true
		}
	}
	return waited
}

// decider is what decided, with its line of the config.
func (d *caseText) decider(by, where string) string {
	if by == "" {
		return ""
	}
	_, n, ok := strings.Cut(where, "config:")
	if !ok {
		return " by " + by
	}
	line, _ := strconv.Atoi(n)
	line -= linesAbove
	return fmt.Sprintf(" by %s at %d `%s`", by, line, strings.Split(d.config+"\n", "\n")[max(line-1, 0)])
}

// spareText is the rule that held, where it is not what decided.
func spareText(rc *policy.RecipientRecord) string {
	if rc.Rule == "" || rc.By == "rule."+rc.Rule {
		return ""
	}
	return ", with rule." + rc.Rule
}

// wouldText is what would have been done, where that is something.
func wouldText(rc *policy.RecipientRecord) string {
	if rc.Would == policy.None {
		return ""
	}
	text := fmt.Sprintf(", would %s by %s", rc.Would, rc.WouldBy)
	if rc.Intended.Code != 0 {
		text += fmt.Sprintf(": %d %s", rc.Intended.Code, timeLeft.ReplaceAllString(rc.Intended.Text, "in ..."))
	}
	return text
}

// factsText is the evidence of a finding. What differs from run to run is left out.
func factsText(f policy.Finding) string {
	var b strings.Builder
	for _, x := range f.Facts {
		v := dnsServer.ReplaceAllString(x.Value, "on DNS")
		switch {
		case x.Key == "retry" || x.Key == "wait" || x.Key == "waited":
			v = "..."
		case len(v) > 300:
			v = v[:300] + "..."
		}
		if v == "" || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }) {
			v = strconv.Quote(v)
		}
		fmt.Fprintf(&b, " %s=%s", x.Key, v)
	}
	return b.String()
}

// bytesOfSignature is a part of a signature, which is another at each run.
var bytesOfSignature = regexp.MustCompile(`header\.b=("[A-Za-z0-9+/]{8}"|[A-Za-z0-9+/]{8})`)

// dnsServer is the server that an error names, with its port.
var dnsServer = regexp.MustCompile(`on 127\.0\.0\.1:\d+`)

// delivered writes down what the mail server got on top of what was sent, and what was taken out.
func (d *caseText) delivered(t *testing.T, st *policyStage, sent []string) {
	t.Helper()
	got := st.sink.Messages()
	for _, m := range got {
		top, rest := ownFields(string(m.Content))
		for _, f := range top {
			if strings.HasPrefix(f, "Received:") {
				f = "Received: ..." // with the time and the ref
			}
			f = bytesOfSignature.ReplaceAllString(strings.TrimSuffix(f, "\r\n"), "header.b=...")
			d.verdict.WriteString("+ " + strings.ReplaceAll(f, "\r\n", "\n  ") + "\n")
		}
		d.changed(t, sent, rest)
	}
}

// changed writes down the fields that the content lacks. The rest is to be as it was sent, octet for octet.
func (d *caseText) changed(t *testing.T, sent []string, got string) {
	t.Helper()
	for _, s := range sent {
		missing, same := without(s, got)
		if !same {
			continue
		}
		for _, f := range missing {
			d.verdict.WriteString("- " + strings.ReplaceAll(strings.TrimSuffix(f, "\r\n"), "\r\n", "\n  ") + "\n")
		}
		return
	}
	t.Errorf("what was delivered is not what was sent:\n%.2000s", got)
}

// ownFields parts the fields that the proxy put on top from the rest.
func ownFields(content string) (top []string, rest string) {
	for rest = content; ; {
		n := fieldEnd(rest)
		f := rest[:n]
		own := len(top) == 0 && strings.HasPrefix(f, "Received: ") || len(top) == 1 && strings.HasPrefix(f, "Authentication-Results: mx.example.com;") ||
			len(top) == 2 && f == "X-Spam: Yes\r\n" || len(top) == 3 && strings.HasPrefix(f, "X-Spam-Reason: ")
		if !own {
			return top, rest
		}
		top, rest = append(top, f), rest[n:]
	}
}

// without gives the fields of a sent mail that the other lacks; same: nothing else differs.
func without(sent, got string) (missing []string, same bool) {
	for sent != got {
		n := fieldEnd(sent)
		if n <= 2 { // the end of the header
			return missing, false
		}
		if strings.HasPrefix(got, sent[:n]) {
			got = got[n:]
		} else {
			missing = append(missing, sent[:n])
		}
		sent = sent[n:]
	}
	return missing, true
}

// fieldEnd is where the field at the start of a content ends, with its folded lines.
func fieldEnd(s string) int {
	for n := 0; ; {
		i := strings.Index(s[n:], "\r\n")
		if i < 0 {
			return len(s)
		}
		n += i + 2
		if n == len(s) || s[n] != ' ' && s[n] != '\t' {
			return n
		}
	}
}
