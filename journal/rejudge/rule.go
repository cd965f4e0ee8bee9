package rejudge

import (
	"net/netip"
	"slices"
	"strings"

	"gatepost/policy"
)

// Propose gives the narrowest safe rule that would have let a case in: by the author's domain where DKIM proves it, else by the sender's
// domain where SPF does, else by client and sender's domain together. One that skips dmarc goes by the author too. Each is judged before it is
// given; ok is false where none holds, as for a refusal by a deny rule, or one that is not the policy's.
func Propose(p *policy.Policy, c policy.Case) (rule policy.Rule, ok bool) {
	for _, r := range candidates(c) {
		if r, ok := fit(p, c, r); ok {
			return r, true
		}
	}
	return policy.Rule{}, false
}

// candidates are the rules that name a case, the best proved first. They skip nothing yet.
func candidates(c policy.Case) []policy.Rule {
	var rs []policy.Rule
	if d := c.FromDomain; d != "" && signed(c, d) {
		rs = append(rs, policy.Rule{Name: ruleName(d), Allow: true, FromDomain: []string{d}, Proof: []policy.Proof{policy.ProofDKIM}})
	}
	if d := c.Sender.Domain; d != "" && passed(c, "spf") {
		rs = append(rs, policy.Rule{Name: ruleName(d), Allow: true, SenderDomain: []string{d}, Proof: []policy.Proof{policy.ProofSPF}})
	}
	if c.Client.IsValid() && c.HasSender {
		r := policy.Rule{Allow: true, Client: []netip.Prefix{netip.PrefixFrom(c.Client, c.Client.BitLen())}}
		if d := c.Sender.Domain; d != "" {
			r.Name, r.SenderDomain = ruleName(d), []string{d}
		} else {
			r.Name, r.Sender = ruleName("bounces."+c.Client.String()), []string{"<>"}
		}
		rs = append(rs, r)
	}
	return rs
}

// fit makes a rule skip just the checks that refuse the case; false where it does not let it in.
func fit(p *policy.Policy, c policy.Case, r policy.Rule) (policy.Rule, bool) {
	for range len(p.Slots) {
		d := p.Replay(c)
		if len(r.Skip) > 0 {
			d = With(p, r).Replay(c)
		}
		if d.Done < policy.Defer {
			return r, len(r.Skip) > 0
		}
		if strings.HasPrefix(d.By, "rule.") || slices.Contains(r.Skip, d.By) {
			return r, false
		}
		r.Skip = append(slices.Clone(r.Skip), d.By)
		if d.By == "dmarc" && len(r.FromDomain) == 0 {
			if r.FromDomain = author(c); len(r.Client) == 0 {
				return r, false // whom SPF proves could write in any author's name
			}
		}
	}
	return r, With(p, r).Replay(c).Done < policy.Defer
}

// author is the author's domain as a condition; none where there is not exactly one.
func author(c policy.Case) []string {
	if c.FromDomain == "" {
		return nil
	}
	return []string{c.FromDomain}
}

// With is a policy with one more rule, before all others.
func With(p *policy.Policy, r policy.Rule) *policy.Policy {
	q := *p
	q.Rules = append([]policy.Rule{r}, p.Rules...)
	return &q
}

// Proved says whether the name that a check goes by is proved: by DKIM the author's, by SPF the sender's, which tells dmarc nothing.
func Proved(check string, c policy.Case) bool {
	return c.FromDomain != "" && signed(c, c.FromDomain) || check != "dmarc" && c.Sender.Domain != "" && passed(c, "spf")
}

// signed says whether a signature passed for a domain, or for one above it.
func signed(c policy.Case, domain string) bool {
	for _, f := range c.Findings {
		for _, x := range f.Facts {
			if f.Check == "dkim" && x.Key == policy.FactSigned && (x.Value == domain || strings.HasSuffix(domain, "."+x.Value)) {
				return true
			}
		}
	}
	return false
}

func passed(c policy.Case, check string) bool {
	return slices.ContainsFunc(c.Findings, func(f policy.Finding) bool { return f.Check == check && f.Outcome == policy.Pass })
}

// ruleName makes a name for a table of a domain.
func ruleName(domain string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, domain)
	return "allow-" + plain[:min(len(plain), 100)]
}
