// Package rdns is the check of the client's reverse DNS: whether its address has a name that leads back to it.
//
// The names of the client's address are looked up (PTR), and the addresses of the first five of them, side by side. A name that has the
// client's address among its own is confirmed: whoever runs the network and whoever runs the name agree. A mail server has
// such a name; most bots on home lines have one too, so a pass proves little, but its absence tells something.
//
//	[check.rdns]
//	on = { pass = "none", fail = "none", none = "none", temperror = "none" } # the default
//
// It has no settings of its own. Outcomes: pass (a name is confirmed); fail (there are names, and none is confirmed); none (the
// address has no name); temperror (the DNS gave no answer within 6 seconds in all). All lead to no action by default: the result is
// recorded, stands in Received and Authentication-Results, and serves others, such as `only_if` of the greylist. A refusal says 550
// 5.7.25.
//
// Evidence: "name", the confirmed one; "names", those that were found, in order.
//
// Sources: RFC 8601 section 2.7.3 (iprev), RFC 7372 section 3.3, RFC 1912 section 2.1.
package rdns

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatepost/internal/workers"
	"gatepost/policy"
	"gatepost/resolver"
)

// Kind describes the check.
func Kind() policy.Kind {
	return policy.Kind{Name: "rdns", Outcomes: map[policy.Outcome]policy.Action{
		policy.Pass: policy.None, policy.Fail: policy.None, policy.NoneFound: policy.None, policy.TempError: policy.None,
	}}
}

// Resolver is what the check asks of the DNS; its errors keep the contract of the package resolver.
type Resolver interface {
	PTR(ctx context.Context, a netip.Addr) ([]string, error)
	Addrs(ctx context.Context, name string, f resolver.Family) ([]netip.Addr, error)
}

// Check is the check.
type Check struct{ dns Resolver }

// New makes the check.
func New(r Resolver) *Check { return &Check{r} }

// Name is "rdns".
func (*Check) Name() string { return "rdns" }

// Stage is connect.
func (*Check) Stage() policy.Stage { return policy.StageConnect }

// maxNames is how many names of an address are looked at: whoever has its reverse zone may list any number.
const maxNames = 5

// budget is how long all look-ups together may take for one finding (REPLIES: DNS, one check).
const budget = 6 * time.Second

// Run looks for a name of the client that leads back to it.
func (c *Check) Run(ctx context.Context, v policy.View) policy.Finding {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	names, err := c.names(ctx, v.Client)
	if err != nil {
		return finding(v.Client, policy.TempError, "", nil, false)
	}
	if len(names) == 0 {
		return finding(v.Client, policy.NoneFound, "", nil, false)
	}
	answers := make([]<-chan answer, len(names))
	for i, name := range names {
		answers[i] = c.ask(ctx, name, resolver.FamilyOf(v.Client))
	}
	outcome, dangling := policy.Fail, true
	for i, name := range names {
		a := <-answers[i]
		switch {
		case slices.Contains(a.addrs, v.Client):
			return finding(v.Client, policy.Pass, name, names, false)
		case a.err != nil && !resolver.IsNotFound(a.err): // the name that failed may be the one that would do
			outcome = policy.TempError
		case len(a.addrs) > 0:
			dangling = false
		}
	}
	return finding(v.Client, outcome, "", names, dangling)
}

// answer is the addresses of a name.
type answer struct {
	addrs []netip.Addr
	err   error
}

// ask begins to look up the addresses of a name: one that is slow must not keep the others from us.
func (c *Check) ask(ctx context.Context, name string, f resolver.Family) <-chan answer {
	got := make(chan answer, 1)
	workers.Go(func() {
		addrs, err := c.dns.Addrs(ctx, name, f)
		got <- answer{addrs, err}
	})
	return got
}

// names are the names of an address, as far as they are looked at. What is no host name (RFC 1123 section 2.1) does not count.
func (c *Check) names(ctx context.Context, client netip.Addr) ([]string, error) {
	names, err := c.dns.PTR(ctx, client)
	if err != nil && !resolver.IsNotFound(err) {
		return nil, err
	}
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !isHost(n) })
	return names[:min(len(names), maxNames)], nil
}

// finding is the finding on a client. dangling says that none of its names has an address.
func finding(client netip.Addr, o policy.Outcome, name string, names []string, dangling bool) policy.Finding {
	f := policy.Finding{Outcome: o, Status: policy.Status{Subject: 7, Detail: 25}, Text: text(client, o)} // RFC 7372 section 3.3
	if name != "" {
		f.Facts = append(f.Facts, policy.Fact{Key: "name", Value: name})
	}
	if len(names) > 0 {
		f.Facts = append(f.Facts, policy.Fact{Key: "names", Value: strings.Join(names, " ")})
	}
	result := string(o)
	if o == policy.NoneFound || o == policy.Fail && dangling {
		result = string(policy.PermError) // RFC 8601 section 2.7.3: no PTR, or a name without addresses
	}
	f.Auth = []policy.AuthResult{{Method: "iprev", Result: result, Comment: name,
		Props: []policy.Fact{{Key: "policy.iprev", Value: client.String()}}}}
	return f
}

// text is the sentence for the sender.
func text(client netip.Addr, o policy.Outcome) string {
	a := client.String()
	switch o {
	case policy.Pass:
		return "The reverse DNS name of " + a + " leads back to it"
	case policy.Fail:
		return "The reverse DNS name of " + a + " does not lead back to it"
	case policy.NoneFound:
		return a + " has no reverse DNS name"
	}
	return "The reverse DNS of " + a + " could not be looked up, please try again later"
}

// isHost says whether a name is made of letters, digits, hyphens and underscores, in labels.
func isHost(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 { // RFC 1035 section 2.3.4
			return false
		}
		for _, c := range []byte(label) {
			if c|0x20 < 'a' || c|0x20 > 'z' {
				if c != '-' && c != '_' && (c < '0' || c > '9') {
					return false
				}
			}
		}
	}
	return len(name) <= 253
}
