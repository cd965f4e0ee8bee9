package spf

import (
	"strconv"
	"strings"

	"gatepost/policy"
)

// finding is the finding on the identity that decides; helo is the result of the HELO name where that was looked at beside it, else nil.
func (r *result) finding(helo *result) policy.Finding {
	f := policy.Finding{Outcome: r.outcome, Status: status(r.outcome), Text: r.text(), Facts: r.facts(),
		Auth: []policy.AuthResult{r.auth()}}
	if helo != nil {
		f.Facts = append(f.Facts, policy.Fact{Key: "helo", Value: helo.domain},
			policy.Fact{Key: policy.FactHelo, Value: string(helo.outcome)})
		f.Auth = append(f.Auth, helo.auth())
	}
	return f
}

// status is what a refusal for an outcome carries (RFC 7372 section 3.2).
func status(o policy.Outcome) policy.Status {
	if o == policy.TempError || o == policy.PermError {
		return policy.Status{Subject: 7, Detail: 24}
	}
	return policy.Status{Subject: 7, Detail: 23}
}

// text is the sentence for the sender.
func (r *result) text() string {
	client := r.client.String()
	switch {
	case r.domain == "":
		return "SPF: the sender has no domain that could have a record"
	case r.outcome == policy.Pass:
		return "SPF: " + client + " may send for " + r.domain
	case r.outcome == policy.Fail:
		return "SPF: " + client + " is not allowed to send for " + r.domain
	case r.outcome == softFail:
		return "SPF: " + client + " is probably not allowed to send for " + r.domain
	case r.outcome == neutral:
		return "SPF: " + r.domain + " does not say whether " + client + " may send for it"
	case r.outcome == policy.NoneFound:
		return "SPF: " + r.domain + " has no record"
	case r.outcome == policy.TempError:
		return "SPF: the record of " + r.domain + " could not be looked up, please try again later"
	}
	return "SPF: the record of " + r.domain + " is broken: " + r.fault
}

// facts is the evidence.
func (r *result) facts() []policy.Fact {
	var facts []policy.Fact
	put := func(key, value string) {
		if value != "" {
			facts = append(facts, policy.Fact{Key: key, Value: value})
		}
	}
	put("identity", r.kind)
	put("domain", r.domain)
	put("client", r.client.String())
	put("record", plain(r.record))
	put("matched", r.matched)
	put("error", r.fault)
	put("lookups", strconv.Itoa(r.lookups))
	return facts
}

// auth is the result for Authentication-Results (RFC 8601 section 2.7.2).
func (r *result) auth() policy.AuthResult {
	a := policy.AuthResult{Method: "spf", Result: string(r.outcome), Reason: r.fault}
	if r.domain != "" { // RFC 8601 section 2.7.2: the domain is enough, and tells less of the sender
		a.Props = []policy.Fact{{Key: "smtp." + r.kind, Value: r.domain}}
	}
	return a
}

// plain is text from the DNS in printable ASCII, up to 500 octets.
func plain(s string) string {
	s = s[:min(len(s), 500)]
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
}
