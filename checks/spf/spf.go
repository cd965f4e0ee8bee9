// Package spf is the check of the sender's domain by SPF (RFC 7208): whether the domain lets the client send for it.
//
// It looks at the domain of the reverse-path; where that is null, at the HELO name, as postmaster@HELO (section 2.4). That
// identity decides. The HELO name is looked at as well, for the record and for Authentication-Results, and leads to nothing.
//
//	[check.spf]
//	helo = true                # look at the HELO name beside the reverse-path
//	on   = { pass = "none", fail = "reject", softfail = "tag", neutral = "none", none = "none", temperror = "none", permerror = "none" } # the default
//
// Outcomes: pass; fail and softfail (the domain says the client may not, or probably may not, send for it); neutral (it does not
// say); none (it has no record, or there is no domain to ask: the sender's is an address literal or has no dot); temperror (the
// DNS gave no answer, or not within 20 s); permerror (the record is broken, or takes more than ten terms with look-ups or two void ones).
// A look-up for "ptr" that fails is no match (section 5.5), though the DNS may be at fault: the client's side answers it, and could always fail.
//
// Evidence: "identity" (mailfrom or helo), "domain", "client"; "record" (the domain's own, up to 500 octets), "matched" (the term that
// decided, or its kind where it stands in a record further on), "error" (what is wrong with the record), "lookups" (how many names
// were asked); "helo" and "helo_result".
//
// A refusal says 550 5.7.23, and 4.7.24 or 5.7.24 for temperror and permerror (RFC 7372 section 3.2).
package spf

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	blitiri "blitiri.com.ar/go/spf"

	"gatepost/internal/workers"
	"gatepost/policy"
	"gatepost/resolver"
)

// Settings are those of [check.spf].
type Settings struct {
	Helo bool `toml:"helo"`
}

// The outcomes that the core does not name (RFC 7208 section 2.6).
const (
	softFail policy.Outcome = "softfail"
	neutral  policy.Outcome = "neutral"
)

// Kind describes the check.
func Kind() policy.Kind {
	return policy.Kind{
		Name: "spf",
		Outcomes: map[policy.Outcome]policy.Action{
			policy.Pass: policy.None, policy.Fail: policy.Reject, softFail: policy.Tag, neutral: policy.None,
			policy.NoneFound: policy.None, policy.TempError: policy.None, policy.PermError: policy.None,
		},
		Settings: func() any { return &Settings{Helo: true} },
	}
}

// Check is the check.
type Check struct {
	settings Settings
	dns      func(client netip.Addr) blitiri.DNSResolver
}

// New makes the check.
func New(s *Settings, r *resolver.Resolver) *Check {
	return &Check{*s, func(client netip.Addr) blitiri.DNSResolver { return r.SPF(client) }}
}

// Name is "spf".
func (*Check) Name() string { return "spf" }

// Stage is mail.
func (*Check) Stage() policy.Stage { return policy.StageMail }

// timeout is for all look-ups of both identities (RFC 7208 section 4.6.4: at least 20 s).
const timeout = 20 * time.Second

// Run asks the domain of the sender, and that of the HELO name.
func (c *Check) Run(ctx context.Context, v policy.View) policy.Finding {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	helo := identity{"helo", "postmaster", domainName(v.Helo)} // RFC 7208 section 2.3
	if v.NullPath {
		return c.evaluate(ctx, v, helo).finding(nil)
	}
	if !c.settings.Helo || helo.domain == "" {
		return c.evaluate(ctx, v, mailFrom(v.Sender)).finding(nil)
	}
	beside := make(chan *result, 1)
	workers.Go(func() { beside <- c.evaluateSafely(ctx, v, helo) }) // the sender waits for one of the two, not for both in turn
	return c.evaluate(ctx, v, mailFrom(v.Sender)).finding(<-beside)
}

// evaluateSafely is evaluate in a goroutine of ours, where the core cannot catch a panic: a fault of ours is temporary.
func (c *Check) evaluateSafely(ctx context.Context, v policy.View, id identity) (r *result) {
	defer func() {
		if p := recover(); p != nil {
			r = &result{identity: id, client: v.Client, outcome: policy.TempError, fault: fmt.Sprint("panic: ", p)}
		}
	}()
	return c.evaluate(ctx, v, id)
}

// identity is what is looked at.
type identity struct {
	kind   string // "mailfrom" or "helo", as in smtp.mailfrom (RFC 8601 section 2.7.2)
	local  string
	domain string // lower case, A-labels; "" where there is none that could have a record
}

func mailFrom(m policy.Mailbox) identity {
	id := identity{"mailfrom", m.Local, domainName(m.Domain)}
	if id.local == "" {
		id.local = "postmaster" // RFC 7208 section 4.3
	}
	return id
}

// sender is the identity for the library, which takes what follows the first "@" for the domain: so none may stand in the local part.
// It serves the macros of a record alone.
func (id identity) sender() string {
	return strings.ReplaceAll(id.local, "@", "%40") + "@" + id.domain
}

// domainName is a name in lower case without a final dot; "" where s cannot have a record (RFC 7208 section 4.3): an address literal, one label,
// an empty label or one that is too long.
func domainName(s string) string {
	s = strings.TrimSuffix(strings.ToLower(s), ".")
	if len(s) > 253 || !strings.Contains(s, ".") {
		return ""
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 { // RFC 1035 section 2.3.4
			return ""
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return ""
			}
		}
	}
	if _, err := netip.ParseAddr(s); err == nil { // a bare address in HELO is no name
		return ""
	}
	return s
}
