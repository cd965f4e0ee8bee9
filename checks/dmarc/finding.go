package dmarc

import "gatepost/policy"

// finding is what is told of a result; auth is its word in Authentication-Results.
func finding(r result, auth string) policy.Finding {
	a := policy.AuthResult{Method: "dmarc", Result: auth, Props: []policy.Fact{{Key: "header.from", Value: r.author}}}
	if r.policy != "" && r.outcome != policy.TempError {
		a.Props = append(a.Props, policy.Fact{Key: "policy.dmarc", Value: r.policy}) // RFC 9989 section 9.1
	}
	return policy.Finding{Outcome: r.outcome, Status: policy.Status{Subject: 7, Detail: 1}, Text: r.text(), Facts: r.facts,
		Auth: []policy.AuthResult{a}}
}

// permError is the finding where the author can't be told. facts are of those who can.
func permError(why error, facts []policy.Fact) policy.Finding {
	return policy.Finding{Outcome: policy.PermError, Status: policy.Status{Subject: 6, Detail: 0},
		Text:  "The author of this message cannot be told: " + why.Error(),
		Facts: append(facts, policy.Fact{Key: "error", Value: why.Error()}),
		Auth:  []policy.AuthResult{{Method: "dmarc", Result: "permerror", Reason: why.Error()}}}
}

// authWord is the word for an outcome in Authentication-Results (RFC 9989 section 9.2).
func authWord(o policy.Outcome) string {
	switch o {
	case failNone, failQuarantine, failReject:
		return "fail"
	}
	return string(o)
}

// text is for the sender; an action may be set for any outcome.
func (r *result) text() string {
	switch r.outcome {
	case policy.Pass:
		return "SPF or DKIM proves that this message is from " + r.author
	case policy.NoneFound:
		return "The author's domain " + r.author + " has no DMARC policy"
	case policy.TempError:
		return "It cannot be told now whether this message is from " + r.author + ", please try again later"
	}
	return "Neither SPF nor DKIM proves that this message is from " + r.author + ", whose DMARC policy is " + r.policy
}
