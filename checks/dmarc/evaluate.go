package dmarc

import (
	"context"
	"slices"

	"gatepost/policy"
	"gatepost/resolver/idn"
)

// proof is a domain that SPF or DKIM stands for.
type proof struct {
	method string // spf or dkim
	domain string // lower case, A-labels
}

func (p proof) String() string { return p.method + " " + p.domain }

// proofs is what the checks spf and dkim found.
type proofs struct {
	passed []proof
	open   []proof // a DNS error kept them from a result
	lost   string  // why a check came to no result of which the domain is known; "" where both did
}

// gather reads the findings of spf and dkim.
func gather(v policy.View) proofs {
	var p proofs
	p.readSPF(v.Finding("spf"))
	p.readDKIM(v.Finding("dkim"))
	return p
}

// readSPF takes SPF's result in. Its domain is that of the reverse-path, or the HELO name for a null one (RFC 9989 section 3.2.4).
func (p *proofs) readSPF(f policy.Finding, ran bool) {
	domain, known := idn.Canonical(f.Fact("domain"))
	switch {
	case !ran:
		p.lost = "the check spf did not run"
	case f.Outcome == policy.Pass && known:
		p.passed = append(p.passed, proof{"spf", domain})
	case f.Outcome == policy.TempError && known:
		p.open = append(p.open, proof{"spf", domain})
	case f.Outcome == policy.TempError:
		p.lost = "the check spf came to no result"
	}
}

// readDKIM takes DKIM's results in. A signature of which the key can't be had is open for its own domain only: else
// anyone could escape a policy by a signature of a domain whose DNS never answers.
func (p *proofs) readDKIM(f policy.Finding, ran bool) {
	for _, x := range f.Facts {
		if name, ok := idn.Canonical(x.Value); ok && x.Key == policy.FactSigned {
			p.passed = append(p.passed, proof{"dkim", name})
		}
	}
	told := false
	for _, a := range f.Auth {
		if a.Method == "dkim" && a.Result == string(policy.TempError) {
			name, ok := idn.Canonical(signingDomain(a))
			if ok {
				p.open = append(p.open, proof{"dkim", name})
			}
			told = told || ok
		}
	}
	switch {
	case !ran:
		p.lost = "the check dkim did not run"
	case f.Outcome == policy.TempError && !told:
		p.lost = "the check dkim came to no result"
	}
}

func signingDomain(a policy.AuthResult) string {
	if i := slices.IndexFunc(a.Props, func(f policy.Fact) bool { return f.Key == "header.d" }); i >= 0 {
		return a.Props[i].Value
	}
	return ""
}

// result is what came out for one author.
type result struct {
	outcome policy.Outcome
	author  string // domain
	policy  string // what its owner asks for; "" where that isn't known
	facts   []policy.Fact
}

func (r *result) note(key, value string) {
	r.facts = append(r.facts, policy.Fact{Key: key, Value: value})
}

// tempError is the result where the DNS failed.
func (r *result) tempError(err error) result {
	r.note("error", err.Error())
	r.outcome = policy.TempError
	return *r
}

// evaluation is DMARC for one message.
type evaluation struct {
	records *records
	proofs  proofs
}

// evaluate is DMARC for one author's domain (RFC 9989 section 5.3).
func (e *evaluation) evaluate(ctx context.Context, author string) result {
	ctx, cancel := context.WithTimeout(ctx, dnsBudget)
	defer cancel()
	r := result{author: author, outcome: policy.NoneFound}
	r.note("author", author)
	n, err := e.records.policyRecord(ctx, author)
	if err != nil {
		return r.tempError(err)
	}
	if n == nil { // RFC 9989 section 4.10.1: without a record, no DMARC
		return r
	}
	r.note("record", n.domain)
	if n.record.unusable {
		r.note("error", "the record's policy cannot be read")
		return r
	}
	wish, wishErr := e.records.wish(ctx, author, n)
	if wishErr == nil {
		r.asks(wish, n.record)
	}
	outcome, err := e.align(ctx, &r, n.record)
	switch {
	case outcome == policy.Pass:
		r.outcome = policy.Pass
	case err != nil:
		return r.tempError(err)
	case wishErr != nil:
		return r.tempError(wishErr)
	case outcome == policy.TempError:
		r.outcome = policy.TempError
	default:
		r.outcome = policy.Outcome("fail-" + wish)
	}
	return r
}

func (r *result) asks(wish string, rec *record) {
	r.policy = wish
	r.note("policy", wish)
	if rec.testing {
		r.note("testing", "y")
	}
}

// align is Pass where a proof is aligned with the author, TempError where one may be once the DNS answers, else Fail. The
// error is that of a walk that an answer was missing from; it counts only where the outcome is not Pass.
func (e *evaluation) align(ctx context.Context, r *result, rec *record) (policy.Outcome, error) {
	outcome := policy.Fail
	var failed error
	for _, p := range e.proofs.open {
		aligned, err := e.aligned(ctx, r.author, p, rec)
		if aligned || err != nil {
			r.note("undecided", p.String())
			outcome = policy.TempError
		}
	}
	if e.proofs.lost != "" {
		outcome = policy.TempError
	}
	for _, p := range e.proofs.passed {
		aligned, err := e.aligned(ctx, r.author, p, rec)
		switch {
		case aligned:
			r.note("aligned", p.String())
			outcome = policy.Pass // RFC 9989 section 4.4.1: one is enough
		case err != nil:
			failed = err
		default:
			r.note("unaligned", p.String())
		}
	}
	if e.proofs.lost != "" && outcome != policy.Pass {
		r.note("error", e.proofs.lost)
	}
	return outcome, failed
}

// aligned says whether a proof is aligned with the author (RFC 9989 section 4.10.2). An organizational domain stands at or above
// its domain, so a proof's is looked up only where it can be the author's: strangers' names cost no queries.
func (e *evaluation) aligned(ctx context.Context, author string, p proof, rec *record) (bool, error) {
	if p.domain == author {
		return true, nil
	}
	if p.method == "spf" && rec.strictSPF || p.method == "dkim" && rec.strictDKIM {
		return false, nil
	}
	org, err := e.records.organizationOf(ctx, author)
	if err != nil || p.domain != org && !isUnder(p.domain, org) {
		return false, err
	}
	other, err := e.records.organizationOf(ctx, p.domain)
	return err == nil && other == org, err
}
