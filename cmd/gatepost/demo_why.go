package main

import (
	"fmt"
	"slices"
	"strings"

	"gatepost/policy"
)

// turnedAway is the word for a session that was ended before it came to a recipient.
const turnedAway = "turned away"

// verdictOf is what became of a transaction in a word: the verdict of its recipients, or how many had which.
func verdictOf(r *policy.Record) string {
	count := map[policy.Verdict]int{}
	for i := range r.Recipients {
		count[r.Recipients[i].Verdict]++
	}
	var words []string
	for v := policy.Accepted; v <= policy.Rejected; v++ {
		if count[v] == len(r.Recipients) && count[v] > 0 {
			return v.String()
		}
		if count[v] > 0 {
			words = append(words, fmt.Sprintf("%d %s", count[v], v))
		}
	}
	switch {
	case len(words) > 0:
		return strings.Join(words, ", ")
	case len(r.Recipients) == 0 && (len(r.Faults) > 0 || r.Helo == "" && r.Reply.Code >= 400):
		return turnedAway
	}
	return "no mail"
}

// why is one sentence that says what decided, from the record and the policy that it was judged by. It is cleaned.
func why(r *policy.Record, p *policy.Policy) string {
	var parts []string
	for i := range r.Recipients {
		for _, part := range append(spared(r, &r.Recipients[i], p), whyRecipient(r, &r.Recipients[i])) {
			if !slices.Contains(parts, part) {
				parts = append(parts, part)
			}
		}
	}
	if len(parts) == 0 {
		parts = append(parts, whySession(r))
	}
	if n := len(parts); n > 3 {
		parts = append(parts[:3], fmt.Sprintf("and %d more reasons", n-3))
	}
	return printable(strings.Join(parts, "; "))
}

// whyRecipient says what decided about one recipient.
func whyRecipient(r *policy.Record, rc *policy.RecipientRecord) string {
	reply := fmt.Sprintf("%d %s", rc.Reply.Code, strings.ReplaceAll(rc.Reply.Text, "\n", " "))
	switch {
	case rc.Verdict == policy.Undecided:
		return "it came to no verdict: " + howEnded(r.End)
	case rc.Verdict <= policy.Tagged:
		return tagged(r, rc) + seenBefore(rc) + "the mail server took it: " + reply + wouldHave(rc)
	case rc.By == "backend" && r.Note != "":
		return "the mail server failed: " + r.Note
	case rc.By == "backend":
		return "the mail server said " + reply
	case rc.By == "relay":
		return "relay control refused it: " + reply
	case rc.By == "protocol" && len(r.Faults) > 0:
		return faultText(r.Faults) + ": " + reply
	case rc.By == "protocol", rc.By == "proxy":
		return "the proxy refused it: " + reply
	}
	return fmt.Sprintf("the check %s decided: %s%s", rc.By, reply, placed(rc.Where))
}

// whySession says what ended a session without a recipient.
func whySession(r *policy.Record) string {
	if len(r.Faults) > 0 {
		return faultText(r.Faults)
	}
	for _, f := range r.Findings {
		if f.Text != "" && strings.Contains(r.Reply.Text, f.Text) {
			return "the check " + f.Check + ": " + f.Text
		}
	}
	if r.Reply.Code >= 400 {
		return fmt.Sprintf("the proxy refused it: %d %s", r.Reply.Code, r.Reply.Text)
	}
	return "the session came to no recipient"
}

// tagged says what marked a mail, with the end of a part behind it; "" where nothing did.
func tagged(r *policy.Record, rc *policy.RecipientRecord) string {
	if rc.Verdict != policy.Tagged {
		return ""
	}
	text := ""
	for _, f := range r.Findings {
		if f.Check == rc.By && f.Text != "" {
			text = ": " + f.Text
		}
	}
	return fmt.Sprintf("the check %s tagged it%s%s; ", rc.By, text, placed(rc.Where))
}

// wouldHave says what a monitored check would have done to a mail that went on, with the start of a part before it; "" where none
// would have done more than was done.
func wouldHave(rc *policy.RecipientRecord) string {
	d := policy.Decision{Done: rc.Would}
	if d.Verdict() <= rc.Verdict {
		return ""
	}
	s := fmt.Sprintf("; were it enforced, the check %s would have %s it", rc.WouldBy, d.Verdict())
	if rc.Intended.Code > 0 {
		s += fmt.Sprintf(": %d %s", rc.Intended.Code, rc.Intended.Text)
	}
	return s
}

// spared says which checks a rule kept from acting on a recipient's mail. The record holds what was found, so the policy is asked
// again, with its rules and without.
func spared(r *policy.Record, rc *policy.RecipientRecord, p *policy.Policy) []string {
	if p == nil || len(p.Rules) == 0 || rc.Verdict > policy.Tagged {
		return nil
	}
	c, bare := caseOf(r, rc), *p
	bare.Rules = nil
	unspared := bare.Judge(c).Steps
	var parts []string
	for i, st := range p.Judge(c).Steps {
		if st.Skipped != "" && unspared[i].Asked > policy.None {
			parts = append(parts, fmt.Sprintf("%s, but the rule %s spared it the check %s%s",
				st.Finding.Text, st.Skipped, st.Finding.Check, placed(st.Where)))
		}
	}
	return parts
}

// caseOf is what was judged for a recipient.
func caseOf(r *policy.Record, rc *policy.RecipientRecord) policy.Case {
	c := policy.Case{Time: r.Time, Client: r.Client, Helo: r.Helo, HasSender: r.Sender != nil,
		Recipient: mailboxOf(rc.Address), FromDomain: r.FromDomain, Findings: r.Findings}
	if r.Sender != nil {
		c.Sender, c.NullPath = mailboxOf(*r.Sender), *r.Sender == ""
	}
	return c
}

// mailboxOf parts an address of a record.
func mailboxOf(address string) policy.Mailbox {
	i := strings.LastIndexByte(address, '@')
	if i < 0 {
		return policy.Mailbox{Local: address}
	}
	return policy.Mailbox{Local: address[:i], Domain: strings.ToLower(address[i+1:])}
}

func placed(where string) string {
	if where == "" {
		return ""
	}
	return " (" + where + ")"
}

func howEnded(e policy.End) string {
	switch e {
	case policy.EndLost:
		return "the connection broke before the end of the content"
	case policy.EndUnknown:
		return "nobody knows whether the mail server has it (RFC 1047)"
	}
	return "the sender gave it up"
}

// faultText says in words what was wrong with the form.
func faultText(faults []string) string {
	words := map[string]string{
		"smuggling":     "the content holds a false end mark, behind which some servers would find a second mail",
		"bare-cr":       "the content holds a CR without its LF, which servers read differently",
		"bare-lf":       "the content holds a line that ends in LF alone",
		"nul":           "the content holds a NUL byte",
		"pregreet":      "the sender talked before it was greeted, as only bots do",
		"pipelining":    "the sender did not wait where it has to",
		"not-smtp":      "the sender speaks another protocol",
		"tls-handshake": "the TLS handshake failed",
		"limit":         "a limit was reached",
	}
	var parts []string
	for _, f := range faults {
		if w, ok := words[f]; ok {
			f = w
		}
		parts = append(parts, f)
	}
	return strings.Join(parts, ", and ")
}
