// Package helo is the check of the name by which a client greets.
//
// RFC 5321 section 4.1.1.1 wants the client's fully qualified name, or an address literal where it has none. Section 4.1.4 forbids
// to refuse mail only because the name does not match the client's address, and many servers of good senders are set up badly, so most
// outcomes are for the record and for other checks. Nobody but us has a reason to greet by our own name, though.
//
//	[check.helo]
//	own = []                   # further names and addresses of ours, besides hostname; "mail.example.com" or "198.51.100.7"
//	[check.helo.on]            # the defaults
//	own-name        = "reject"
//	own-address     = "reject"
//	malformed       = "none"
//	localhost       = "none"
//	bare-ip         = "none"
//	foreign-literal = "none"
//	no-dots         = "none"
//	unresolvable    = "none"
//	temperror       = "none"
//
// Outcomes, the first that holds; each leads to nothing by default but the two that begin with own:
//
//	own-name         our own name, from a stranger (reject)
//	own-address      our own address, in brackets or bare, from a stranger (reject)
//	malformed        no host name by its letters (RFC 1123 section 2.1), as with an underscore
//	localhost        a name or an address of the loopback, from a stranger
//	bare-ip          an IP address without brackets
//	foreign-literal  an address literal that is not the client's address
//	no-dots          a name without a domain
//	unresolvable     a name without addresses and MX records
//	temperror        the name could not be looked up, or not within 6 seconds
//	pass
//
// A stranger is a client that is neither on the loopback nor in a private network, and not one of our own addresses. Refusals are 550 5.7.1;
// malformed is 501 5.5.2, temperror 451 4.7.1.
//
// Evidence: "helo", the name as it came; "error".
//
// Sources: RFC 5321 sections 2.3.5, 4.1.1.1, 4.1.3 and 4.1.4, RFC 1123 section 5.2.5.
package helo

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatepost/policy"
	"gatepost/resolver"
)

// The outcomes beside policy.Pass and policy.TempError.
const (
	OwnName        policy.Outcome = "own-name"
	OwnAddress     policy.Outcome = "own-address"
	Malformed      policy.Outcome = "malformed"
	Localhost      policy.Outcome = "localhost"
	BareIP         policy.Outcome = "bare-ip"
	ForeignLiteral policy.Outcome = "foreign-literal"
	NoDots         policy.Outcome = "no-dots"
	Unresolvable   policy.Outcome = "unresolvable"
)

// Resolver is what the check needs of a resolver; errors are as those of package resolver.
type Resolver interface {
	Addrs(ctx context.Context, name string, f resolver.Family) ([]netip.Addr, error)
	MX(ctx context.Context, name string) ([]resolver.MX, error)
}

// Settings are those of [check.helo].
type Settings struct {
	Own []string `toml:"own"` // host names and IP addresses
}

// Validate tells what is wrong with the settings.
func (s *Settings) Validate(problem func(key, message string)) {
	for _, own := range s.Own {
		if _, err := netip.ParseAddr(own); err != nil && (!isHostName(canonical(own)) || !strings.Contains(own, ".")) {
			problem("own", `holds something that is neither a full host name ("mail.example.com") nor an IP address ("198.51.100.7")`)
			return
		}
	}
}

// Kind describes the check.
func Kind() policy.Kind {
	return policy.Kind{
		Name: "helo",
		Outcomes: map[policy.Outcome]policy.Action{
			policy.Pass: policy.None, OwnName: policy.Reject, OwnAddress: policy.Reject, Malformed: policy.None,
			Localhost: policy.None, BareIP: policy.None, ForeignLiteral: policy.None, NoDots: policy.None,
			Unresolvable: policy.None, policy.TempError: policy.None,
		},
		Settings: func() any { return &Settings{} },
	}
}

// budget is how long all look-ups together may take for one finding (REPLIES: DNS, one check).
const budget = 6 * time.Second

// Check is the check.
type Check struct {
	resolver Resolver
	names    []string // ours, in lower case
	addrs    []netip.Addr
}

// New makes the check. Nothing is asked.
func New(s *Settings, r Resolver) *Check {
	c := &Check{resolver: r}
	for _, own := range s.Own {
		if a, err := netip.ParseAddr(own); err == nil {
			c.addrs = append(c.addrs, a.Unmap())
		} else {
			c.names = append(c.names, canonical(own))
		}
	}
	return c
}

// Name is "helo".
func (*Check) Name() string { return "helo" }

// Stage is helo.
func (*Check) Stage() policy.Stage { return policy.StageHelo }

// Run looks at the form of the name, and then looks it up.
func (c *Check) Run(ctx context.Context, v policy.View) policy.Finding {
	name := canonical(v.Helo)
	outcome := c.form(name, v)
	var err error
	if outcome == policy.Pass && !strings.HasPrefix(name, "[") {
		outcome, err = c.resolves(ctx, name, v.Client)
	}
	f := policy.Finding{Outcome: outcome, Status: policy.Status{Subject: 7, Detail: 1}, Text: text(outcome),
		Facts: []policy.Fact{{Key: "helo", Value: v.Helo}}}
	if outcome == Malformed {
		f.Code, f.Status = 501, policy.Status{Subject: 5, Detail: 2} // RFC 5321 section 4.1.1.1: an argument with errors
	}
	if err != nil {
		f.Facts = append(f.Facts, policy.Fact{Key: "error", Value: err.Error()})
	}
	return f
}

// form judges what can be told without the DNS.
func (c *Check) form(name string, v policy.View) policy.Outcome {
	addr, bracketed, isAddr := address(name)
	stranger := c.isStranger(v.Client)
	switch {
	case stranger && name != "" && (name == canonical(v.Hostname) || slices.Contains(c.names, name)):
		return OwnName
	case isAddr && stranger && slices.Contains(c.addrs, addr):
		return OwnAddress
	case isAddr && stranger && addr.IsLoopback(), stranger && isLocalName(name):
		return Localhost
	case isAddr && !bracketed:
		return BareIP
	case isAddr && addr != v.Client:
		return ForeignLiteral
	case isAddr:
		return policy.Pass
	case !isHostName(name):
		return Malformed
	case !strings.Contains(name, "."):
		return NoDots
	}
	return policy.Pass
}

// isStranger says whether a client is none of our own hosts.
func (c *Check) isStranger(client netip.Addr) bool {
	return !client.IsLoopback() && !client.IsPrivate() && !client.IsLinkLocalUnicast() && !slices.Contains(c.addrs, client)
}

// resolves says whether a name has addresses or MX records. One of the client's own family is there mostly, and is enough.
func (c *Check) resolves(ctx context.Context, name string, client netip.Addr) (policy.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	if addrs, err := c.resolver.Addrs(ctx, name, resolver.FamilyOf(client)); err == nil && len(addrs) > 0 {
		return policy.Pass, nil
	}
	addrs, err := c.resolver.Addrs(ctx, name, resolver.Both)
	if err == nil && len(addrs) > 0 {
		return policy.Pass, nil
	}
	if err != nil && !resolver.IsNotFound(err) {
		return policy.TempError, err
	}
	hosts, err := c.resolver.MX(ctx, name) // RFC 5321 section 2.3.5: names that resolve to MX or address records
	switch {
	case err != nil && !resolver.IsNotFound(err):
		return policy.TempError, err
	case err == nil && len(hosts) > 0:
		return policy.Pass, nil
	}
	return Unresolvable, nil
}

// text tells the sender what is wrong. It does not repeat the name: those who sent it know it.
func text(o policy.Outcome) string {
	switch o {
	case OwnName:
		return "Your server greets by our own name"
	case OwnAddress:
		return "Your server greets by our own address"
	case Malformed:
		return "The name that your server greets by is no host name"
	case Localhost:
		return "Your server greets by a name that is local to every host"
	case BareIP:
		return "Your server greets by an address without brackets"
	case ForeignLiteral:
		return "Your server greets by an address that is not its own"
	case NoDots:
		return "The name that your server greets by is not fully qualified"
	case Unresolvable:
		return "The name that your server greets by is not in the DNS"
	case policy.TempError:
		return "The name that your server greets by cannot be looked up, please try again later"
	}
	return ""
}
