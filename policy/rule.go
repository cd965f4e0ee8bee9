package policy

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Rule is an exception that an admin wrote: [rule.NAME]. All its conditions must hold; one that is empty holds always. Of
// the rules of a policy, in their order, the first that holds counts; so a deny by client waits for RCPT where an allow above it may hold
// by then.
type Rule struct {
	Name         string
	Allow        bool           // skip checks; else refuse
	Client       []netip.Prefix // the client's address is in one of these
	Helo         []string       // lower case; a leading dot: all below it as well
	Sender       []string       // user@domain, lower case; "<>" is the null reverse-path
	SenderDomain []string       // lower case, A-labels; a leading dot: the domain and all below it
	Recipient    []string       // user@domain or domain
	FromDomain   []string       // of the author; known with the message only
	Proof        []Proof        // an Allow holds only if one of these proves the name that it goes by
	Skip         []string       // names of checks; empty: all
	Expires      time.Time      // zero: never; from here on the rule is not there
	Where        string         // its place in the config
}

// Proof is what proves a sender's name.
type Proof string

// The proofs.
const (
	ProofSPF  Proof = "spf"  // SPF passed for the domain of the reverse-path, or for the HELO name where the rule goes by that alone
	ProofDKIM Proof = "dkim" // a signature passed whose domain is the author's or the sender's, or one above it
)

// Case is what is judged: the envelope as far as it is known, and what was found. It holds all that Judge reads, so a record
// can be judged again.
type Case struct {
	Time       time.Time
	Client     netip.Addr
	Helo       string
	Sender     Mailbox
	NullPath   bool
	HasSender  bool    // MAIL was given
	Recipient  Mailbox // the zero Mailbox before RCPT
	FromDomain string  // "" before the message
	Findings   []Finding
}

// rule is the first rule that holds; nil where none does, and before RCPT where that is a deny below an allow that may hold yet.
func (p *Policy) rule(c *Case) *Rule {
	open := false
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.holds(c) {
			if open && !r.Allow {
				return nil
			}
			return r
		}
		open = open || r.Allow && c.Recipient == (Mailbox{}) && r.mayHold(c)
	}
	return nil
}

// mayHold says whether the rule may hold at RCPT, by what is known before the first command.
func (r *Rule) mayHold(c *Case) bool {
	atData := len(r.FromDomain) > 0 || slices.Equal(r.Proof, []Proof{ProofDKIM})
	return !atData && r.isFor(c)
}

// isFor says whether the rule has not expired, and is for the client.
func (r *Rule) isFor(c *Case) bool {
	return (r.Expires.IsZero() || c.Time.Before(r.Expires)) &&
		(len(r.Client) == 0 || slices.ContainsFunc(r.Client, func(n netip.Prefix) bool { return n.Contains(c.Client) }))
}

// holds says whether all conditions hold. What is not known yet fulfils no condition.
func (r *Rule) holds(c *Case) bool {
	return r.isFor(c) &&
		(len(r.Helo) == 0 || matchDomain(r.Helo, strings.ToLower(c.Helo))) &&
		(len(r.Sender) == 0 || c.HasSender && slices.Contains(r.Sender, senderKey(c))) &&
		(len(r.SenderDomain) == 0 || matchDomain(r.SenderDomain, c.Sender.Domain)) &&
		(len(r.Recipient) == 0 || r.forRecipient(c.Recipient)) &&
		(len(r.FromDomain) == 0 || matchDomain(r.FromDomain, c.FromDomain)) &&
		(len(r.Proof) == 0 || r.proved(c))
}

func (r *Rule) forRecipient(m Mailbox) bool {
	return slices.Contains(r.Recipient, strings.ToLower(m.String())) || matchDomain(r.Recipient, m.Domain)
}

// skips says whether the rule spares mail a check.
func (r *Rule) skips(check string) bool {
	return r != nil && r.Allow && (len(r.Skip) == 0 || slices.Contains(r.Skip, check))
}

// proved says whether the name that the rule goes by is proved: else anyone could claim it.
func (r *Rule) proved(c *Case) bool {
	for _, f := range c.Findings {
		switch {
		case f.Check == "spf" && slices.Contains(r.Proof, ProofSPF) && r.sent(c, f):
			return true
		case f.Check == "dkim" && slices.Contains(r.Proof, ProofDKIM) && r.signed(c, f):
			return true
		}
	}
	return false
}

// bySender says whether the rule goes by the reverse-path; byHelo whether by the HELO name and no other.
func (r *Rule) bySender() bool { return len(r.Sender)+len(r.SenderDomain) > 0 }

func (r *Rule) byHelo() bool {
	return len(r.Helo) > 0 && !r.bySender() && len(r.FromDomain) == 0
}

// sent says whether SPF passed for the name that the rule goes by. With the null reverse-path it is the HELO name's result (RFC 7208 section
// 2.4), and nothing proves "<>".
func (r *Rule) sent(c *Case, f Finding) bool {
	passed := f.Outcome == Pass
	switch {
	case len(r.FromDomain) > 0:
		return false
	case r.byHelo():
		return passed && c.NullPath || f.Fact(FactHelo) == string(Pass)
	case r.bySender():
		return passed && !c.NullPath
	}
	return passed
}

// signed says whether a signature passed for the name that the rule goes by.
func (r *Rule) signed(c *Case, f Finding) bool {
	name := c.Sender.Domain
	switch {
	case len(r.FromDomain) > 0:
		name = c.FromDomain
	case r.byHelo():
		return false
	}
	for _, x := range f.Facts {
		if x.Key == FactSigned && name != "" && (name == x.Value || strings.HasSuffix(name, "."+x.Value)) {
			return true
		}
	}
	return false
}

const (
	// FactSigned is the key of the facts in which the dkim check names the domains whose signatures passed: lower case, A-labels.
	FactSigned = "signed"
	// FactHelo is the key of the fact in which the spf check has the result of the HELO name, where it was looked at beside the reverse-path.
	FactHelo = "helo_result"
)

func senderKey(c *Case) string {
	if c.NullPath {
		return "<>"
	}
	return strings.ToLower(c.Sender.String())
}

// matchDomain says whether a domain stands in a list, or below one of its names with a leading dot.
func matchDomain(list []string, domain string) bool {
	if domain == "" {
		return false
	}
	for _, d := range list {
		if d == domain {
			return true
		}
		if strings.HasPrefix(d, ".") && (d[1:] == domain || strings.HasSuffix(domain, d)) {
			return true
		}
	}
	return false
}
