// Package ratelimit is the check of how much one client brings, and one sender's domain, in a time.
//
// It looks at five things: sessions that bring mail, messages, recipients, and recipients that the backend does not know, for each client (an
// IPv4 address, or the /64 of an IPv6 one); and messages for each sender's domain. What goes over a limit is deferred, so a good
// sender loses time and no mail.
//
//	[check.ratelimit]              # all that is written here is the default
//	connections     = "60/1m"      # sessions, counted when they bring a recipient
//	messages        = "300/10m"
//	recipients      = "3000/10m"
//	unknown         = "20/10m"     # recipients refused as unknown; found by those who try names
//	sender_messages = "off"        # by domain of the reverse-path, where SPF passed for it
//	exempt = ["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]  # networks that have no limits
//	store = "memory"               # or "redis://host:6379/0", "rediss://...": shared by several machines
//	[check.ratelimit.on]
//	connections     = "defer"
//	messages        = "defer"
//	recipients      = "defer"
//	unknown         = "defer"
//	sender_messages = "defer"
//	temperror       = "none"
//
// A limit is "COUNT/TIME", with a COUNT from 1 to 1000000 and a TIME from 1s to 24h, or "off". It is a bucket: COUNT at once, and then one
// more each TIME/COUNT, so that over a long time no more than COUNT in each TIME pass. What is refused is not counted: a client that goes
// on and on is not locked out for longer than one that waits.
//
// Anyone may claim a sender, and could use up a domain's messages in its name. So sender_messages counts only mail for which the check
// spf passed, and counts nothing where spf is not set up.
//
// The check runs at each recipient. A session and a message are counted once, at the first one that their limit lets pass; after that the
// client meets the limit again that it met last, until there is room. Sessions without a recipient are bounded by [limits].
//
// With a Redis or Valkey server as the store, what a client brings to several machines counts together. A server that does not answer within
// 250 ms, or answers that it is full, read-only or loading, is left alone for a second; meanwhile each machine counts by itself, on top of
// what it has seen. The machines' clocks are to agree within a small part of the shortest TIME. URLs are as those of check.greylist.
//
// Outcomes: pass; connections, messages, recipients, unknown, sender_messages: the first limit that is passed (defer, 450 4.7.1); temperror:
// the store failed and the limits that could be told hold (none).
//
// Evidence: for each limit in force its name with "USED of COUNT/TIME"; "retry", when there is room again; "error" of the store;
// "exempt".
//
// Sources: RFC 5321 section 4.5.3.1.10 and RFC 3463 section 3.8 for the reply.
package ratelimit

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"gatepost/policy"
)

// The outcomes beside policy.Pass and policy.TempError; each is the key of its limit.
const (
	Connections    policy.Outcome = "connections"
	Messages       policy.Outcome = "messages"
	Recipients     policy.Outcome = "recipients"
	Unknown        policy.Outcome = "unknown"
	SenderMessages policy.Outcome = "sender_messages"
)

// storeBudget is how long the store may take for all limits of a recipient; then they do not count.
const storeBudget = 250 * time.Millisecond

// Kind describes the check.
func Kind() policy.Kind {
	return policy.Kind{
		Name: "ratelimit",
		Outcomes: map[policy.Outcome]policy.Action{
			policy.Pass: policy.None, Connections: policy.Defer, Messages: policy.Defer, Recipients: policy.Defer,
			Unknown: policy.Defer, SenderMessages: policy.Defer, policy.TempError: policy.None,
		},
		Settings: func() any { return defaults() },
	}
}

// Check is the check. It observes, to learn of unknown users.
type Check struct {
	settings Settings
	store    Store
}

// New makes the check. It closes a store that is an io.Closer when it is closed itself; a Memory outlives it, and counts last over a change
// of the settings.
func New(s *Settings, st Store) *Check { return &Check{*s, st} }

// Close lets go of what the store holds. Sessions that began with this check may still ask it.
func (c *Check) Close() error {
	if st, ok := c.store.(io.Closer); ok {
		return st.Close()
	}
	return nil
}

// Name is "ratelimit".
func (*Check) Name() string { return "ratelimit" }

// Stage is rcpt.
func (*Check) Stage() policy.Stage { return policy.StageRcpt }

// Follows is spf, where a limit by sender wants it.
func (c *Check) Follows() []string {
	if c.settings.SenderMessages.Count == 0 {
		return nil
	}
	return []string{"spf"}
}

// Run counts a recipient, and with it its message and its session unless they are counted, and tells which limit is passed.
func (c *Check) Run(ctx context.Context, v policy.View) policy.Finding {
	if c.isExempt(v.Client) {
		return policy.Finding{Outcome: policy.Pass, Facts: []policy.Fact{{Key: "exempt", Value: v.Client.String()}}}
	}
	counts := c.counts(v) // may wait for spf, which is not the store's time
	ctx, cancel := context.WithTimeout(ctx, storeBudget)
	defer cancel()
	f := policy.Finding{Outcome: policy.Pass, Status: policy.Status{Subject: 7, Detail: 1}, Code: 450} // REPLIES: rate limit, this mail
	for _, q := range counts {
		if isOver(f) { // what is refused is not counted
			q.n = 0
		}
		c.take(ctx, q, v.Time, &f)
	}
	return f
}

// counted is one thing that is counted.
type counted struct {
	what  policy.Outcome
	who   string
	n     int // how many more there are now; 0: only look
	limit Limit
	once  *policy.Marks // of what is counted once
}

func (q *counted) key() string { return string(q.what) + " " + q.who }

// mark says that it is counted.
func (q *counted) mark() string { return "ratelimit " + string(q.what) }

// counts is what is counted at this recipient, in the order in which limits are told.
func (c *Check) counts(v policy.View) []counted {
	who, s := client(v.Client), &c.settings
	all := make([]counted, 0, 5)
	add := func(what policy.Outcome, who string, n int, l Limit, once *policy.Marks) {
		if l.Count == 0 || who == "" {
			return
		}
		q := counted{what, who, n, l, once}
		if once.Has(q.mark()) {
			q.n = 0
		}
		all = append(all, q)
	}
	add(Connections, who, 1, s.Connections, v.Session)
	add(Messages, who, 1, s.Messages, v.Transaction)
	add(Recipients, who, 1, s.Recipients, nil)
	add(Unknown, who, 0, s.Unknown, nil)
	add(SenderMessages, provedSender(v), 1, s.SenderMessages, v.Transaction)
	return all
}

// take counts one thing and puts what comes of it in the finding. A store that fails is a fault of ours: the limit is let be.
func (c *Check) take(ctx context.Context, q counted, now time.Time, f *policy.Finding) {
	use, err := c.store.Take(ctx, q.key(), q.n, q.limit, now)
	if err != nil {
		f.Facts = append(f.Facts, policy.Fact{Key: "error", Value: string(q.what) + ": " + err.Error()})
		if f.Outcome == policy.Pass {
			f.Outcome, f.Text = policy.TempError, "Limits cannot be looked up at the moment, please try again later"
		}
		return
	}
	if q.n > 0 && !use.Over {
		q.once.Set(q.mark())
	}
	f.Facts = append(f.Facts, policy.Fact{Key: string(q.what), Value: fmt.Sprintf("%d of %v", use.Used, q.limit)})
	// Unknown users are counted only when they are known to be, so here it is the room for one more that matters.
	over := use.Over || q.what == Unknown && use.Retry > 0
	if over && !isOver(*f) {
		f.Outcome, f.Text = q.what, text(q)
		f.Facts = append(f.Facts, policy.Fact{Key: "retry", Value: short(use.Retry.Round(time.Second))})
	}
}

// isOver says whether a limit is passed.
func isOver(f policy.Finding) bool { return f.Outcome != policy.Pass && f.Outcome != policy.TempError }

// Observe counts a recipient that was refused as unknown.
func (c *Check) Observe(v policy.View, r policy.Reply) {
	if c.settings.Unknown.Count == 0 || !isUnknownUser(r) || c.isExempt(v.Client) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeBudget)
	defer cancel()
	q := counted{what: Unknown, who: client(v.Client)}
	// What fails here fails in Run too, where it is told.
	_, _ = c.store.Take(ctx, q.key(), 1, c.settings.Unknown, v.Time)
}

// isUnknownUser says whether a reply to RCPT says that there is no such mailbox (RFC 3463 section 3.2; 5.1.10 is how Exchange says
// so). A 550 without an enhanced code is read as that: it is all that some servers say. Refusals by our own policy always have one.
func isUnknownUser(r policy.Reply) bool {
	if r.Code/100 != 5 {
		return false
	}
	status, _, _ := strings.Cut(r.Text, " ")
	switch status {
	case "5.1.0", "5.1.1", "5.1.6", "5.1.10":
		return true
	}
	return r.Code == 550 && strings.Count(status, ".") != 2
}

// isExempt says whether a client has no limits.
func (c *Check) isExempt(client netip.Addr) bool {
	for _, p := range c.settings.Exempt {
		if p.Contains(client) {
			return true
		}
	}
	return false
}

// client is the network that is counted as one client: who has an IPv6 address has a /64 of them.
func client(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return ""
	}
	return p.String()
}

// provedSender is the sender's domain where SPF passed for it; "" where it did not.
func provedSender(v policy.View) string {
	if spf, _ := v.Finding("spf"); spf.Outcome != policy.Pass {
		return ""
	}
	return v.Sender.Domain // "" for the null reverse-path, which is HELO's to prove
}

// text tells the sender which limit is passed.
func text(q counted) string {
	what := map[policy.Outcome]string{
		Connections: "connections", Messages: "messages", Recipients: "recipients", Unknown: "unknown recipients",
		SenderMessages: "messages",
	}[q.what]
	return fmt.Sprintf("Too many %s from %s (limit %v), please try again later", what, q.who, q.limit)
}
