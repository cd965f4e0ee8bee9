package main

import (
	"fmt"
	"strings"

	"gatepost/policy"
)

// logSentence says in one sentence what became of a recipient of a record, and why. It is not cleaned.
func logSentence(r *policy.Record, rc *policy.RecipientRecord) string {
	at := r.Time.Add(r.Took).UTC().Format("15:04:05 on 2006-01-02")
	if r.Sender == nil {
		what := map[policy.Verdict]string{policy.Deferred: "Turned away for now", policy.Rejected: "Turned away"}[rc.Verdict]
		if what == "" {
			return fmt.Sprintf("%s came and went without a mail at %s.", clientOf(r), at)
		}
		return fmt.Sprintf("%s %s at %s because %s.", what, clientOf(r), at, because(r, rc))
	}
	what := map[policy.Verdict]string{policy.Accepted: "Accepted", policy.Tagged: "Accepted and tagged", policy.Deferred: "Deferred",
		policy.Rejected: "Refused"}[rc.Verdict]
	if what == "" {
		return fmt.Sprintf("Came to no verdict on mail from %s%s at %s: %s.", senderOf(r), toWhom(rc), at, howEnded(r.End))
	}
	s := fmt.Sprintf("%s %s%s at %s", what, senderOf(r), toWhom(rc), at)
	if rc.Verdict != policy.Accepted {
		s += " because " + because(r, rc)
	}
	if rc.Verdict <= policy.Tagged {
		s += doubtful(r.End)
	}
	if wouldMore(*rc) {
		s += fmt.Sprintf("; were %s enforced, it would have been %s because %s", rc.WouldBy, policy.Decision{Done: rc.Would}.Verdict(), textOf(r, rc, rc.WouldBy))
	}
	if rc.Rule != "" && !strings.HasPrefix(rc.By, "rule.") {
		s += "; rule." + rc.Rule + " held"
	}
	return s + "."
}

// doubtful is what is to be added where it is not sure that the mail came once; "" else.
func doubtful(e policy.End) string {
	switch e {
	case policy.EndUnknown:
		return "; " + howEnded(e)
	case policy.EndDuplicate:
		return "; the sender could not be told, so it may send it again"
	}
	return ""
}

func toWhom(rc *policy.RecipientRecord) string {
	if rc.Address == "" {
		return ""
	}
	return " to " + rc.Address
}

// because is why it was not simply accepted.
func because(r *policy.Record, rc *policy.RecipientRecord) string {
	switch {
	case rc.By == "backend" && r.Note != "":
		return "the mail server failed: " + r.Note
	case rc.By == "backend":
		return "the mail server said: " + replyText(rc.Reply)
	case strings.HasPrefix(rc.By, "rule."):
		return rc.By + " refuses it"
	case len(r.Faults) > 0 && (rc.By == "protocol" || rc.By == "proxy" || rc.By == ""):
		return faultText(r.Faults)
	case rc.By == "relay", rc.By == "protocol", rc.By == "proxy", rc.By == "":
		return amidst(withoutStatus(rc.Reply))
	}
	return textOf(r, rc, rc.By)
}

// textOf is what a check has to say, with its evidence.
func textOf(r *policy.Record, rc *policy.RecipientRecord, check string) string {
	for _, fs := range [][]policy.Finding{rc.Findings, r.Findings} {
		for _, f := range fs {
			if f.Check == check && f.Text != "" {
				return amidst(f.Text) + proof(f)
			}
		}
	}
	reply := rc.Reply
	if check == rc.WouldBy && rc.Intended.Code > 0 {
		reply = rc.Intended
	}
	if text := withoutStatus(reply); text != "" {
		return amidst(text)
	}
	return "the check " + check + " says so"
}

// amidst is a sentence as it begins within another.
func amidst(s string) string {
	if len(s) > 1 && 'A' <= s[0] && s[0] <= 'Z' && 'a' <= s[1] && s[1] <= 'z' {
		return string(s[0]+'a'-'A') + s[1:]
	}
	return s
}

// proof is the evidence that belongs into the sentence, in parentheses; "" where its text says it all.
func proof(f policy.Finding) string {
	var parts []string
	for _, x := range f.Facts {
		switch x.Key {
		case "zone", "score", "fault", "error", "waited":
			parts = append(parts, x.Key+" "+x.Value)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// withoutStatus is the text of a reply without its enhanced status code.
func withoutStatus(r policy.Reply) string {
	text := strings.ReplaceAll(r.Text, "\n", " ")
	if status, rest, ok := strings.Cut(text, " "); ok && strings.Trim(status, "0123456789.") == "" {
		return rest
	}
	return text
}
