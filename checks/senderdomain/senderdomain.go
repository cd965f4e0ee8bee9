// Package senderdomain is the check of the domain in the reverse-path: could an answer ever be sent there?
//
// It looks up the domain's MX records, its addresses where there are none (RFC 5321 section 5.1), and whether the name exists
// at all where there are none of these either. The null reverse-path has no domain and passes.
//
//	[check.senderdomain]
//	on = { null-mx = "reject", nonexistent = "reject", no-mail = "none", literal = "none", temperror = "none" } # the defaults
//
// Outcomes, each with its default action and the reply where it refuses:
//
//	pass         none    mail can be sent there, or the reverse-path has no domain
//	null-mx      reject  550 5.7.27: the domain says that it takes no mail (RFC 7505)
//	nonexistent  reject  550 5.1.8: there is no such domain
//	no-mail      none    550 5.1.8: the domain exists and has neither MX records nor addresses
//	literal      none    550 5.1.8: an address in brackets stands for the domain
//	temperror    none    451 4.1.8: the look-up failed, or took more than 6 seconds
//
// Evidence: "domain"; "mx", up to five hosts; "address", up to five; "error".
//
// Sources: RFC 5321 section 5.1, RFC 7505, RFC 3463 section 3.2, RFC 7504.
package senderdomain

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"gatepost/policy"
	"gatepost/resolver"
)

// The outcomes beside policy.Pass and policy.TempError.
const (
	NullMX      policy.Outcome = "null-mx"
	Nonexistent policy.Outcome = "nonexistent"
	NoMail      policy.Outcome = "no-mail"
	Literal     policy.Outcome = "literal"
)

// budget is how long all look-ups together may take for one finding (REPLIES: DNS, one check).
const budget = 6 * time.Second

// maxShown is how many hosts or addresses are kept as evidence.
const maxShown = 5

// Resolver is what the check needs of a resolver; errors are as those of package resolver.
type Resolver interface {
	MX(ctx context.Context, name string) ([]resolver.MX, error)
	Addrs(ctx context.Context, name string, f resolver.Family) ([]netip.Addr, error)
	Exists(ctx context.Context, name string) (bool, error)
}

// Kind describes the check. It has no settings of its own.
func Kind() policy.Kind {
	return policy.Kind{
		Name: "senderdomain",
		Outcomes: map[policy.Outcome]policy.Action{
			policy.Pass: policy.None, NullMX: policy.Reject, Nonexistent: policy.Reject,
			NoMail: policy.None, Literal: policy.None, policy.TempError: policy.None,
		},
	}
}

// Check is the check.
type Check struct{ resolver Resolver }

// New makes the check. Nothing is asked.
func New(r Resolver) *Check { return &Check{r} }

// Name is "senderdomain".
func (*Check) Name() string { return "senderdomain" }

// Stage is mail.
func (*Check) Stage() policy.Stage { return policy.StageMail }

// Run looks up the domain of the reverse-path.
func (c *Check) Run(ctx context.Context, v policy.View) policy.Finding {
	domain := v.Sender.Domain
	switch {
	case v.NullPath || domain == "":
		return policy.Finding{Outcome: policy.Pass}
	case strings.HasPrefix(domain, "["):
		return refusal(Literal, domain, 1, 8, "The sender's address has no domain name")
	}
	return c.lookUp(ctx, domain)
}

// lookUp goes from MX records over addresses to the bare name, as a server that sends an answer would.
func (c *Check) lookUp(ctx context.Context, domain string) policy.Finding {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	hosts, err := c.resolver.MX(ctx, domain)
	if err == nil && len(hosts) > 0 {
		return byMX(domain, hosts)
	}
	if err != nil && !resolver.IsNotFound(err) {
		return temporary(domain, err)
	}
	addrs, err := c.resolver.Addrs(ctx, domain, resolver.Both) // RFC 5321 section 5.1: the implicit MX
	if err == nil && len(addrs) > 0 {
		return passed(domain, "address", addrs)
	}
	if err != nil && !resolver.IsNotFound(err) {
		return temporary(domain, err)
	}
	exists, err := c.resolver.Exists(ctx, domain)
	switch {
	case err != nil:
		return temporary(domain, err)
	case exists:
		return refusal(NoMail, domain, 1, 8, "The sender's domain %s has no mail server", shown(domain))
	}
	return refusal(Nonexistent, domain, 1, 8, "The sender's domain %s does not exist", shown(domain))
}

// byMX judges a domain with MX records. Beside others a null MX means nothing.
func byMX(domain string, hosts []resolver.MX) policy.Finding {
	var names []string
	for _, h := range hosts {
		if h.Host != "" {
			names = append(names, h.Host)
		}
	}
	if len(names) == 0 { // RFC 7505 section 3: a single record with "." says that no mail is taken
		return refusal(NullMX, domain, 7, 27, "The sender's domain %s takes no mail", shown(domain)) // RFC 7505 section 4.2
	}
	return passed(domain, "mx", names)
}

func passed[T any](domain, key string, found []T) policy.Finding {
	f := policy.Finding{Outcome: policy.Pass, Facts: []policy.Fact{{Key: "domain", Value: domain}}}
	for _, x := range found[:min(len(found), maxShown)] {
		f.Facts = append(f.Facts, policy.Fact{Key: key, Value: fmt.Sprint(x)})
	}
	return f
}

func temporary(domain string, err error) policy.Finding {
	f := refusal(policy.TempError, domain, 1, 8, "The sender's domain %s cannot be looked up, please try again later", shown(domain))
	f.Facts = append(f.Facts, policy.Fact{Key: "error", Value: err.Error()})
	return f
}

func refusal(o policy.Outcome, domain string, subject, detail uint16, format string, args ...any) policy.Finding {
	return policy.Finding{
		Outcome: o, Status: policy.Status{Subject: subject, Detail: detail}, Text: strings.ReplaceAll(fmt.Sprintf(format, args...), "  ", " "),
		Facts: []policy.Fact{{Key: "domain", Value: domain}},
	}
}

// shown is a domain as it may stand in a reply; "" for one that has bytes of no host name.
func shown(domain string) string {
	for _, c := range []byte(domain) {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return domain
}
