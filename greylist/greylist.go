// Package greylist is the check that asks strangers to come again (RFC 6647).
//
// A client, a sender and a recipient that were not seen together before are deferred once, with 451 4.7.1 and the time to
// wait. A mail server tries again by itself; most bots do not. Once the three have come back they pass at once for as long as
// they keep writing, and once a client has brought a few mails it is known, and everything it brings passes.
//
// The client is its network, or, where SPF passes, the domain that SPF proved: the many addresses of a large provider are one
// sender then, without any list. A null sender counts by the network and the recipient. The sender is normalised, so that mail
// whose sender has a number of its own each time (VERP, SRS, BATV, "+tag") is the same sender. Only hashes of these are keys.
//
//	[check.greylist]
//	delay        = "5m"                          # how long a stranger waits; 1s to 24h
//	retry_window = "48h"                         # by when it must have come back; more than delay, up to 30d
//	remember     = "36d"                         # how long who passed is remembered, from the last mail on; 1d to 1000d
//	only_if      = ["spf:!pass", "rdns:!pass"]   # any of these; empty: everyone unknown
//	prefix       = { ipv4 = 24, ipv6 = 64 }      # the networks that count as one client; ipv4 8 to 32, ipv6 16 to 128
//	known_after  = { spf = 1, network = 3 }      # mails until all recipients are open to a client; 0: never
//	skip         = { client = [], sender_domain = [], recipient = [] }   # who is never asked to wait
//	store        = "sqlite"                      # "memory", "sqlite", "redis://host:6379/0", "rediss://..."
//	max_entries  = 500000                        # at most this many are kept here (not in Redis); 1000 to 50 million
//	on = { new = "defer", early = "defer", pass = "none", known = "none", skipped = "none", temperror = "none" } # the default
//
// only_if is what makes greylisting bearable, since mail that somebody waits for, such as a login code, comes from senders whose SPF passes
// and whose address has a confirmed name: by default they are never deferred, on the first day either. What is left is who gives no
// sign of being a mail server, which is where bots are. A condition is CHECK:OUTCOME or CHECK:!OUTCOME. It does not hold for a check
// that is not set up, nor, unless it names it, for a temperror: a DNS that fails must not make a stranger of everybody. Such mail is
// judged by the other conditions alone.
//
// A sender_domain under skip is a claim that anyone can make; a rule with proof = "spf or dkim" is the better way for one that has it. In these
// lists a domain with a leading dot stands for itself and all below it; a recipient may be an address, too.
//
// Outcomes: new (first seen; defer), early (back before the time; defer, and the wait goes on from the first try), pass (the three passed
// before, or now), known (the client is known), skipped (no condition holds, or it is under skip), temperror (the store has failed or
// is full). A mail that is let through although it is new or early, as monitor mode does, will not be tried again: its entry is
// kept as long as a passed one, and the next mail of the three passes.
//
// Evidence: "client" (a network or a domain), "sender", "recipient", as they are counted; "because" (what made it wait or skip); "waited" and
// "wait" (how long already, how long still); "mails" (how many it brought); "error".
//
// It runs only for recipients whom nothing else refuses. docs/greylisting.md tells of the stores, and how well it works.
package greylist

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"gatepost/policy"
)

// Kind describes the check.
func Kind() policy.Kind {
	return policy.Kind{
		Name: "greylist",
		Outcomes: map[policy.Outcome]policy.Action{
			FirstSeen: policy.Defer, Early: policy.Defer, policy.Pass: policy.None, Known: policy.None,
			Skipped: policy.None, policy.TempError: policy.None,
		},
		Settings: func() any { return Defaults() },
	}
}

// The outcomes beside policy.Pass and policy.TempError.
const (
	FirstSeen policy.Outcome = "new"     // first seen, or seen too long ago
	Early     policy.Outcome = "early"   // back before the wait was over
	Known     policy.Outcome = "known"   // the client is known
	Skipped   policy.Outcome = "skipped" // nothing asks for a wait
)

// Check is the check. It is safe for concurrent use.
type Check struct {
	settings Settings
	store    Store
	log      *slog.Logger
	clock    *clock
	held     *lru.Cache[envelope, Sighting] // those told to wait last, for Observe
	closed   atomic.Bool
	warned   atomic.Int64 // when the log was last told of a fault, by clock
}

// New makes the check, which closes the store when it is closed. now is time.Now but in tests.
func New(s *Settings, store Store, log *slog.Logger, now func() time.Time) *Check {
	held, err := lru.New[envelope, Sighting](heldSize)
	if err != nil {
		panic(err) // of a size below 1 alone
	}
	own := *s
	own.Skip = s.Skip.canonical()
	return &Check{settings: own, store: store, log: log, clock: newClock(now), held: held}
}

// Close closes the store. Sessions that began with this check may still ask it: it has nothing against their mail.
func (c *Check) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	return c.store.Close()
}

// Stats counts the entries of the store by state.
func (c *Check) Stats() map[State]int { return c.store.Stats() }

// Name is "greylist".
func (*Check) Name() string { return "greylist" }

// Stage is rcpt.
func (*Check) Stage() policy.Stage { return policy.StageRcpt }

// LastResort marks a check that runs only where nothing else refuses.
func (*Check) LastResort() {}

// Follows names the checks of only_if, and spf.
func (c *Check) Follows() []string {
	names := []string{spfCheck}
	for _, o := range c.settings.OnlyIf {
		names = append(names, o.Check)
	}
	return names
}

// spfCheck is the check whose pass proves a sender's domain.
const spfCheck = "spf"

// Run takes the sighting of one recipient in.
func (c *Check) Run(ctx context.Context, v policy.View) policy.Finding {
	if why := c.settings.Skip.why(v); why != "" {
		return skipped(why)
	}
	because, ok := c.settings.asked(v)
	if !ok {
		return skipped("no condition of only_if holds")
	}
	s := c.settings.sighting(v, c.clock.now())
	if c.closed.Load() {
		return fault(s, "the settings have changed")
	}
	d, err := c.store.Sight(ctx, s)
	if err != nil {
		c.warn(s.Now, err)
		return fault(s, err.Error())
	}
	if d.Outcome == FirstSeen || d.Outcome == Early {
		c.held.Add(envelopeOf(v), s)
	}
	return finding(s, d, because)
}

// warnEvery is how often the log is told that the store fails, in milliseconds: a flood that fills the store must not fill the log.
const warnEvery = 60_000

// warn tells the log of a fault of the store.
func (c *Check) warn(now int64, err error) {
	if last := c.warned.Load(); (last == 0 || now-last >= warnEvery) && c.warned.CompareAndSwap(last, now) {
		c.log.Warn("the greylist store failed; mail flows without greylisting", "error", err)
	}
}
