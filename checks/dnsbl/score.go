package dnsbl

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"gatepost/policy"
)

// maxReason is how many octets of a list's reason are kept.
const maxReason = 200

// tally is what the answers add up to.
type tally struct {
	score    int // the weights of the zones that list something
	missing  int // the weights of allow lists that did not answer; at most 0
	answered bool
}

// count adds the answers up. A zone counts once, whatever it lists.
func count(answers []answer) tally {
	var t tally
	listed, missing := map[*zone]bool{}, map[*zone]bool{}
	for _, a := range answers {
		z := a.zone
		t.answered = t.answered || a.silent == ""
		if len(a.hits) > 0 && !listed[z] {
			listed[z] = true
			t.score += z.Weight
		}
		if a.silent != "" && z.Weight < 0 && !missing[z] {
			missing[z] = true
			t.missing += z.Weight
		}
	}
	return t
}

// outcome judges a tally. Where an allow list might have saved the mail and did not answer, that is a fault of ours, which must
// not refuse it.
func (t tally) outcome(threshold int) policy.Outcome {
	switch {
	case !t.answered, t.score >= threshold && t.score+t.missing < threshold:
		return policy.TempError
	case t.score >= threshold:
		return Listed
	case t.score > 0:
		return Some
	case t.score < 0:
		return Allowed
	}
	return policy.Pass
}

// finding is the finding that the answers come to.
func finding(answers []answer, threshold int) policy.Finding {
	t := count(answers)
	f := policy.Finding{Outcome: t.outcome(threshold), Status: policy.Status{Subject: 7, Detail: 1}, Text: text(answers)}
	if f.Outcome == policy.TempError {
		f.Text = "Block lists cannot be asked at the moment, please try again later"
	}
	for _, a := range answers {
		f.Facts = append(f.Facts, a.facts()...)
	}
	if names := clear(answers); len(names) > 0 {
		f.Facts = append(f.Facts, policy.Fact{Key: "clear", Value: strings.Join(names, ",")})
	}
	f.Facts = append(f.Facts, policy.Fact{Key: "score", Value: fmt.Sprintf("%d of %d", t.score, threshold)})
	return f
}

// clear names the zones that answered, and know nothing of one subject at least.
func clear(answers []answer) []string {
	var names []string
	for _, a := range answers {
		if name := a.zone.shown(); len(a.hits)+len(a.other) == 0 && a.silent == "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// facts is the evidence of one answer.
func (a *answer) facts() []policy.Fact {
	var fs []policy.Fact
	about := ""
	if a.subject.what != "client" {
		about = " " + a.subject.what + " " + a.subject.text
	}
	add := func(key, format string, args ...any) {
		fs = append(fs, policy.Fact{Key: key, Value: fmt.Sprintf(format, args...)})
	}
	if len(a.hits) > 0 {
		add("zone", "%s %s weight %d%s", a.zone.shown(), list(a.hits), a.zone.Weight, about)
	}
	if a.txt != "" {
		add("txt", "%s", a.txt)
	}
	if len(a.other) > 0 {
		add("other", "%s %s weight %d%s", a.zone.shown(), list(a.other), a.zone.Weight, about)
	}
	if a.silent != "" {
		add("silent", "%s weight %d%s: %s", a.zone.shown(), a.zone.Weight, about, a.silent)
	}
	return fs
}

// text tells the sender which lists have the first subject that any has; "" where none has one.
func text(answers []answer) string {
	var subject string
	var zones []string
	for _, a := range answers {
		if len(a.hits) == 0 || a.zone.Weight < 0 || subject != "" && subject != a.subject.text {
			continue
		}
		subject = a.subject.text
		zones = append(zones, a.zone.shown())
	}
	if subject == "" {
		return ""
	}
	return subject + " is listed at " + strings.Join(zones, ", ")
}

func list(addrs []netip.Addr) string {
	var b strings.Builder
	for i, a := range addrs {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(a.String())
	}
	return b.String()
}

// clean is a list's reason without bytes that could do harm, cut to maxReason octets.
func clean(txt string) string {
	var b strings.Builder
	for _, r := range txt {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar { // that takes controls and marks of direction out too
			r = '?'
		}
		if b.Len()+len(string(r)) > maxReason {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
