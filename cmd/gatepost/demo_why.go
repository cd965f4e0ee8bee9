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
	case len(r.Recipients) == 0 && (len(r.Faults) > 0 || r.Helo == "" && refusal(r) != ""):
		return turnedAway
	}
	return "no mail"
}

// refusal is the sentence of the first check that has one for the sender, with its name.
func refusal(r *policy.Record) string {
	for _, f := range r.Findings {
		if f.Text != "" {
			return f.Check + ": " + f.Text
		}
	}
	return ""
}

// why is one sentence that says what decided, from the record alone. It is cleaned.
func why(r *policy.Record) string {
	var parts []string
	for i := range r.Recipients {
		if p := whyRecipient(r, &r.Recipients[i]); !slices.Contains(parts, p) {
			parts = append(parts, p)
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
		return "the mail server took it: " + reply
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
	if s := refusal(r); s != "" {
		return "the check " + s
	}
	return "the session came to no recipient"
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
