// Package dmarc is the check of the author's domain: does SPF or DKIM prove it, and if not, what does its owner ask for?
//
// The author is who From names. The check reads what the checks spf and dkim found, so both have to be set up; a proof by
// either counts where its domain is the author's, or has the same organizational domain (relaxed alignment). The record with
// the owner's wish, and the organizational domain, come from the DNS Tree Walk: at most 8 queries a name, no list of
// public suffixes. Of several authors with different domains each is looked at, the first 5 at most, and the gravest outcome is
// told. An author behind those, or without a domain name, counts as permerror (the check headers refuses more than 5).
//
//	[check.dmarc]
//	trusted_forwarders = []                  # domains whose mail, proved by SPF or DKIM, may fail; ".list.example": and all below
//	on = { fail-quarantine = "tag", fail-reject = "reject", fail-reject-indirect = "tag", permerror = "tag" } # the default
//
// Outcomes, with the action that each leads to by default:
//
//	pass                  none    the author's domain is proved
//	none                  none    it has no DMARC record that can be used
//	fail-none             none    not proved; the owner asks for nothing
//	fail-quarantine       tag     not proved; the owner holds such mail to be suspicious
//	fail-reject           reject  not proved; the owner asks to refuse such mail: 550 5.7.1
//	fail-reject-indirect  tag     the same, but the mail shows signs of a mailing list or a forwarder
//	forwarded             none    not proved, but a trusted forwarder's domain is
//	temperror             none    the DNS failed, or spf or dkim did not come to a result: nobody is refused for good by our faults
//	permerror             tag     From names no author for sure, so whose policy counts can't be told. Of several authors' outcomes
//	                              fail-quarantine, fail-reject-indirect and fail-reject are graver
//
// A list breaks signatures and is no forger, so RFC 9989 section 7.4 forbids to refuse by the owner's wish alone; hence
// fail-reject-indirect. The signs are easy to forge: who would rather lose some list mail sets it to "reject". Signs are List-Id,
// List-Post, List-Unsubscribe beside Precedence: list, ARC-Seal, Resent- fields, X-Forwarded-For and X-Forwarded-To.
//
// Evidence, the keys of the facts: author (a domain), record (the domain where its record stands), policy (the owner's wish after
// all of the record is weighed: none, quarantine, reject), testing (y: the wish is one step milder than written), aligned and
// unaligned ("spf" or "dkim" and the domain it proves), undecided (the same, where it may be proved once the DNS answers), sign (a
// field's name), forwarder (a domain), error.
//
// Sources: RFC 9989; RFC 8601 section 2.7 for the words in Authentication-Results.
package dmarc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"gatepost/policy"
	"gatepost/resolver/idn"
)

// The outcomes that are not of the core.
const (
	failNone       policy.Outcome = "fail-none"
	failQuarantine policy.Outcome = "fail-quarantine"
	failReject     policy.Outcome = "fail-reject"
	failIndirect   policy.Outcome = "fail-reject-indirect"
	forwarded      policy.Outcome = "forwarded"
)

const (
	maxAuthors = 5 // different domains in From
	// dnsBudget is for one author: of two, one whose DNS is slow must not shield the other.
	dnsBudget = 6 * time.Second
)

// Settings are those of [check.dmarc].
type Settings struct {
	TrustedForwarders []string `toml:"trusted_forwarders"` // domain names; with a leading dot: and all below
}

// Validate tells what is wrong with the settings.
func (s *Settings) Validate(problem func(key, message string)) {
	for _, d := range s.TrustedForwarders {
		if _, ok := idn.Canonical(strings.TrimPrefix(d, ".")); !ok {
			problem("trusted_forwarders", `has "`+d+`", which is no domain name`)
		}
	}
}

// Kind describes the check.
func Kind() policy.Kind {
	return policy.Kind{
		Name: "dmarc",
		Outcomes: map[policy.Outcome]policy.Action{
			policy.Pass: policy.None, policy.NoneFound: policy.None, policy.TempError: policy.None, policy.PermError: policy.Tag,
			failNone: policy.None, failQuarantine: policy.Tag, failReject: policy.Reject, failIndirect: policy.Tag, forwarded: policy.None,
		},
		Settings: func() any { return &Settings{} },
	}
}

// Resolver is what the check asks of the DNS. Errors are as *resolver.Resolver gives them: a *net.DNSError with IsNotFound, or one
// for what may be different later.
type Resolver interface {
	TXT(ctx context.Context, name string) ([]string, error)
	Exists(ctx context.Context, name string) (bool, error)
}

// Check is the check.
type Check struct {
	dns        Resolver
	forwarders []string // A-labels
}

// New makes the check from valid settings.
func New(s *Settings, r Resolver) policy.Check {
	c := &Check{dns: r}
	for _, d := range s.TrustedForwarders {
		rest, below := strings.CutPrefix(d, ".")
		name, _ := idn.Canonical(rest)
		if below {
			name = "." + name
		}
		c.forwarders = append(c.forwarders, name)
	}
	return c
}

// Name is "dmarc".
func (*Check) Name() string { return "dmarc" }

// Stage is data.
func (*Check) Stage() policy.Stage { return policy.StageData }

// Follows names the checks whose findings DMARC is made of.
func (*Check) Follows() []string { return []string{"spf", "dkim"} }

// Run judges the author of the message by the findings of spf and dkim.
func (c *Check) Run(ctx context.Context, v policy.View) policy.Finding {
	authors, unread := authorDomains(v.Message)
	if len(authors) == 0 {
		return permError(unread, nil)
	}
	e := &evaluation{records: newRecords(c.dns)}
	e.records.prepare(ctx, authors, claims(v))
	e.proofs = gather(v) // not before: it may have to wait for the key of a signature
	var worst result
	var facts []policy.Fact
	for _, domain := range authors {
		r := e.evaluate(ctx, domain)
		facts = append(facts, r.facts...)
		if worst.outcome == "" || gravity(r.outcome) > gravity(worst.outcome) {
			worst = r
		}
	}
	worst.facts = facts
	auth := authWord(worst.outcome) // what the message proves does not change with who carried it
	c.excuse(&worst, e.proofs.passed, v.Message)
	if unread != nil && gravity(policy.PermError) > gravity(worst.outcome) {
		return permError(unread, worst.facts)
	}
	if unread != nil {
		worst.note("error", unread.Error())
	}
	return finding(worst, auth)
}

// authorDomains is the domains of the authors in A-labels, each once, maxAuthors at most. The error says why an author is not among them: who
// forges the mail of one must not be let off for naming another.
func authorDomains(m *policy.Message) (domains []string, unread error) {
	boxes, err := policy.Authors(m)
	if err != nil {
		return nil, err
	}
	for _, b := range boxes {
		name, ok := idn.Canonical(b.Domain) // RFC 9989 section 5.3.1: A-labels from here on
		switch {
		case !ok:
			unread = errors.New("an author's address has no domain name")
		case slices.Contains(domains, name):
		case len(domains) == maxAuthors:
			unread = errors.New("the From field names authors of too many domains")
		default:
			domains = append(domains, name)
		}
	}
	return domains, unread
}

// maxClaims bounds the signatures that claims looks at.
const maxClaims = 5

// claims are the domains that SPF and DKIM may come to prove, in A-labels: that of the reverse-path, and those that sign.
func claims(v policy.View) []string {
	var domains []string
	add := func(domain string) {
		if name, ok := idn.Canonical(domain); ok {
			domains = append(domains, name)
		}
	}
	add(v.Sender.Domain)
	signatures := 0
	for f := range policy.Fields(v.Message.Head) {
		if !f.Is("dkim-signature") {
			continue
		}
		if signatures++; signatures > maxClaims {
			break
		}
		for tag := range strings.SplitSeq(string(f.Body()), ";") {
			if key, value, _ := strings.Cut(tag, "="); strings.TrimSpace(key) == "d" {
				add(strings.TrimSpace(value))
				break
			}
		}
	}
	return domains
}

// gravity orders the outcomes by how much is to be feared: with several authors, one that is proved excuses none that is not, and what
// may turn out to be a forgery weighs more than a failure that its owner does not mind.
func gravity(o policy.Outcome) int {
	order := []policy.Outcome{policy.Pass, policy.NoneFound, forwarded, failNone, policy.TempError, policy.PermError, failQuarantine, failIndirect,
		failReject}
	return slices.Index(order, o)
}

// excuse sets a failure that honest forwarding may be the cause of apart from others.
func (c *Check) excuse(r *result, passed []proof, m *policy.Message) {
	if r.outcome != failQuarantine && r.outcome != failReject {
		return
	}
	if name := c.forwarder(passed); name != "" {
		r.note("forwarder", name)
		r.outcome = forwarded
		return
	}
	signs := indirectSigns(m)
	for _, s := range signs {
		r.note("sign", s)
	}
	if r.outcome == failReject && len(signs) > 0 {
		r.outcome = failIndirect
	}
}

// forwarder is the first proved domain of a trusted forwarder; "" where there is none.
func (c *Check) forwarder(passed []proof) string {
	for _, p := range passed {
		for _, d := range c.forwarders {
			top, below := strings.CutPrefix(d, ".")
			if p.domain == top || below && isUnder(p.domain, top) {
				return p.domain
			}
		}
	}
	return ""
}
