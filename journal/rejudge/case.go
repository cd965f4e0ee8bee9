// Package rejudge judges the journal's records again: by another policy, or with one thing changed in this one. It holds no
// state and asks nobody; what was never looked at is said to be so.
package rejudge

import (
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"gatepost/policy"
)

// Case is what was judged for one recipient of a record. A record whose addresses are not kept in full makes a case that
// fulfils no rule by them.
func Case(r *policy.Record, rc *policy.RecipientRecord) policy.Case {
	c := policy.Case{Time: r.Time, Client: r.Client, Helo: r.Helo, HasSender: r.Sender != nil,
		FromDomain: r.Author, Findings: findings(r, rc)}
	if r.Sender != nil {
		c.Sender, c.NullPath = mailbox(*r.Sender), *r.Sender == ""
	}
	if rc != nil {
		c.Recipient = mailbox(rc.Address)
	}
	return c
}

// findings are those that counted for a recipient. Those of StageRcpt are of one recipient alone.
func findings(r *policy.Record, rc *policy.RecipientRecord) []policy.Finding {
	if rc == nil || len(rc.Findings) == 0 && len(r.Recipients) == 1 {
		return r.Findings
	}
	fs := make([]policy.Finding, 0, len(r.Findings)+len(rc.Findings))
	for _, f := range r.Findings {
		if f.Stage != policy.StageRcpt {
			fs = append(fs, f)
		}
	}
	fs = append(fs, rc.Findings...)
	slices.SortStableFunc(fs, func(a, b policy.Finding) int { return int(a.Stage) - int(b.Stage) })
	return fs
}

// mailbox parts an address as it stands in a record, which is as the sender wrote it.
func mailbox(address string) policy.Mailbox {
	i := strings.LastIndexByte(address, '@')
	if i < 0 {
		return policy.Mailbox{Local: policy.Unquoted(address)}
	}
	return policy.Mailbox{Local: policy.Unquoted(address[:i]), Domain: canonical(address[i+1:])}
}

// canonical is a domain in lower case and A-labels; one that is no name stays as it is.
func canonical(domain string) string {
	if strings.HasPrefix(domain, "[") {
		return domain
	}
	ascii := !strings.ContainsFunc(domain, func(r rune) bool { return r >= 0x80 })
	if ascii {
		return strings.ToLower(domain)
	}
	if a, err := idna.Lookup.ToASCII(domain); err == nil {
		return a
	}
	return domain
}
