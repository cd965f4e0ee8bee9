package dkim

import (
	"fmt"
	"slices"
	"strings"

	"gatepost/policy"
)

// finding is what was found on the signatures that were looked at, out of total. fault is what was wrong with the header as a
// whole, or nil.
func finding(looked []*signature, total int, from string, fault error) policy.Finding {
	s := strongest(looked, from)
	if s == nil || s.trial() {
		s = &signature{result: policy.NoneFound}
		if fault != nil { // a signature may stand in what was not read
			s.result, s.reason = policy.PermError, fault.Error()
		}
	}
	f := policy.Finding{Outcome: s.result, Status: status(s.result), Text: text(s), Facts: facts(looked)}
	if len(looked) > 0 {
		f.Facts = append(f.Facts, policy.Fact{Key: "signatures", Value: fmt.Sprintf("%d of %d", len(looked), total)})
	}
	if fault != nil {
		f.Facts = append(f.Facts, policy.Fact{Key: "error", Value: fault.Error()})
	}
	for _, s := range looked {
		f.Auth = append(f.Auth, s.auth())
	}
	if len(looked) == 0 {
		f.Auth = []policy.AuthResult{s.auth()} // RFC 8601 section 2.7.1: dkim=none
	}
	return f
}

// incomplete is the finding on content that did not come whole. The mail is not taken then, whatever is found.
func incomplete(err error) policy.Finding {
	return policy.Finding{Outcome: policy.TempError, Status: status(policy.TempError),
		Text:  "DKIM: the message did not come whole, please try again later",
		Facts: []policy.Fact{{Key: "error", Value: err.Error()}}}
}

// ranking is the results from the best. A temporary error stands before all failures: what may pass later must not be refused for good.
var ranking = [...]policy.Outcome{policy.Pass, policy.TempError, byPolicy, policy.Fail, policy.PermError}

// strongest is the signature that stands for all: one that passed; else the best of the author's domain; else the best. nil where there is none.
func strongest(looked []*signature, from string) *signature {
	var best *signature
	for _, s := range looked {
		if best == nil || weight(s, from) < weight(best, from) {
			best = s
		}
	}
	return best
}

// weight is lower the more a signature counts.
func weight(s *signature, from string) int {
	w := slices.Index(ranking[:], s.result)
	if w > 0 && !aligned(s.domain, from) {
		w += len(ranking)
	}
	if s.trial() {
		w += 2 * len(ranking)
	}
	return w
}

// trial says whether a signature counts no more than none: its domain tries DKIM out, and it did not pass (RFC 6376 section 3.6.1, t=y).
func (s *signature) trial() bool { return s.key.testing && s.result != policy.Pass }

// status is what a refusal for a result carries.
func status(result policy.Outcome) policy.Status {
	switch result {
	case policy.TempError:
		return policy.Status{Subject: 7, Detail: 5} // RFC 6376 section 6.3
	case byPolicy:
		return policy.Status{Subject: 7, Detail: 21} // RFC 7372 section 3.1: no acceptable signature
	}
	return policy.Status{Subject: 7, Detail: 20} // RFC 7372 section 3.1: no passing signature
}

// text is the sentence for the sender.
func text(s *signature) string {
	of, that := "", ""
	if s.domain != "" {
		of, that = " of "+s.domain, "; that of "+s.domain
	}
	switch s.result {
	case policy.Pass:
		return "DKIM: the signature" + of + " is valid"
	case policy.NoneFound:
		return "DKIM: the message is not signed"
	case policy.TempError:
		return "DKIM: the signature" + of + " could not be checked, please try again later"
	case byPolicy:
		return "DKIM: no signature is acceptable" + that + ": " + s.reason
	}
	return "DKIM: no signature is valid" + that + ": " + s.reason
}

// facts are the domains whose signatures passed, and each signature.
func facts(looked []*signature) []policy.Fact {
	var signed, each []policy.Fact
	for _, s := range looked {
		d := policy.Fact{Key: policy.FactSigned, Value: s.domain}
		if s.result == policy.Pass && !slices.Contains(signed, d) {
			signed = append(signed, d)
		}
		each = append(each, policy.Fact{Key: "signature", Value: s.String()})
	}
	return append(signed, each...)
}

// String is the signature as evidence.
func (s *signature) String() string {
	var b strings.Builder
	put := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s=%s ", name, value)
		}
	}
	put("d", s.domain)
	put("i", plain(s.identity))
	put("s", s.selector)
	put("a", plain(s.algorithm))
	if s.key.bits > 0 {
		put("bits", fmt.Sprint(s.key.bits))
	}
	if s.key.testing {
		put("testing", "yes")
	}
	put("result", string(s.result))
	put("reason", s.reason)
	return strings.TrimSuffix(b.String(), " ")
}

// auth is the signature's result for Authentication-Results (RFC 8601 section 2.7.1, RFC 6008 for header.b).
func (s *signature) auth() policy.AuthResult {
	r := policy.AuthResult{Method: "dkim", Result: string(s.result), Reason: s.reason}
	if s.key.bits > 0 {
		r.Comment = fmt.Sprintf("%d-bit key", s.key.bits)
		if s.key.testing { // RFC 6376 section 3.6.1, t=y
			r.Comment += ", testing"
		}
	}
	put := func(property, value string) {
		if value != "" {
			r.Props = append(r.Props, policy.Fact{Key: "header." + property, Value: value})
		}
	}
	put("d", s.domain)
	put("i", plain(s.identity))
	put("s", s.selector)
	put("a", plain(s.algorithm))
	put("b", plain(s.sign[:min(8, len(s.sign))])) // RFC 6008 section 4: eight characters at least
	return r
}

// plain is s if it is printable ASCII of moderate length; else "": it comes from outside.
func plain(s string) string {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			return ""
		}
	}
	if len(s) > 320 {
		return ""
	}
	return s
}
