package greylist

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatepost/policy"
	"gatepost/resolver/idn"
)

// Settings are those of [check.greylist].
type Settings struct {
	Delay       time.Duration `toml:"delay"`        // 1 s to 24 h
	RetryWindow time.Duration `toml:"retry_window"` // more than Delay, up to 30 days
	Remember    time.Duration `toml:"remember"`     // 1 to 1000 days
	OnlyIf      []Condition   `toml:"only_if"`      // any of these; none: everyone
	Prefix      Prefix        `toml:"prefix"`
	KnownAfter  KnownAfter    `toml:"known_after"`
	Skip        Skip          `toml:"skip"`
	Store       string        `toml:"store"`       // "memory", "sqlite" or a URL for Redis; see Open
	MaxEntries  int           `toml:"max_entries"` // kept on this machine; 1000 to 50 million
}

// Prefix is how many leading bits of an address make its network.
type Prefix struct {
	IPv4 int `toml:"ipv4"` // 8 to 32
	IPv6 int `toml:"ipv6"` // 16 to 128
}

// KnownAfter is how many mails make a client known; 0: none do.
type KnownAfter struct {
	SPF     int `toml:"spf"`     // of a domain that SPF proved
	Network int `toml:"network"` // of a network
}

// Skip is who is never asked to wait.
type Skip struct {
	Client       []netip.Prefix `toml:"client"`
	SenderDomain []string       `toml:"sender_domain"` // a leading dot: the domain and all below it
	Recipient    []string       `toml:"recipient"`     // user@domain, domain or .domain
}

const day = 24 * time.Hour

// Defaults are the settings of an empty [check.greylist].
func Defaults() *Settings {
	return &Settings{
		Delay: 5 * time.Minute, RetryWindow: 48 * time.Hour, Remember: 36 * day,
		OnlyIf:     []Condition{{Check: spfCheck, Outcome: policy.Pass, Not: true}, {Check: "rdns", Outcome: policy.Pass, Not: true}},
		Prefix:     Prefix{IPv4: 24, IPv6: 64},
		KnownAfter: KnownAfter{SPF: 1, Network: 3},
		Store:      "sqlite",
		MaxEntries: 500_000,
	}
}

// Validate tells what is wrong with the settings.
func (s *Settings) Validate(problem func(key, message string)) {
	within := func(key string, ok bool, message string) {
		if !ok {
			problem(key, message)
		}
	}
	within("delay", s.Delay >= time.Second && s.Delay <= day, "is not from 1s to 24h")
	within("retry_window", s.RetryWindow > s.Delay && s.RetryWindow <= 30*day, "is not more than delay and up to 30d: who waits as told must still be in time")
	within("remember", s.Remember >= day && s.Remember <= 1000*day, "is not from 1d to 1000d")
	within("prefix.ipv4", s.Prefix.IPv4 >= 8 && s.Prefix.IPv4 <= 32, "is not from 8 to 32")
	within("prefix.ipv6", s.Prefix.IPv6 >= 16 && s.Prefix.IPv6 <= 128, "is not from 16 to 128")
	within("known_after.spf", s.KnownAfter.SPF >= 0 && s.KnownAfter.SPF <= 1e6, "is not from 0 to 1000000")
	within("known_after.network", s.KnownAfter.Network >= 0 && s.KnownAfter.Network <= 1e6, "is not from 0 to 1000000")
	within("max_entries", s.MaxEntries >= 1000 && s.MaxEntries <= 50e6, "is not from 1000 to 50000000")
	for i, d := range s.Skip.SenderDomain {
		_, ok := canonicalDomain(d)
		within(fmt.Sprintf("skip.sender_domain[%d]", i), ok, "is no domain such as \"example.com\" or \".example.com\"")
	}
	for i, r := range s.Skip.Recipient {
		_, ok := canonicalRecipient(r)
		within(fmt.Sprintf("skip.recipient[%d]", i), ok, "is no address and no domain, such as \"amy@example.com\", \"example.com\" or \".example.com\"")
	}
	if _, err := parseStore(s.Store); err != nil {
		problem("store", err.Error())
	}
}

// canonical is the lists in the form in which mail has its addresses.
func (s Skip) canonical() Skip {
	c := Skip{Client: s.Client}
	for _, d := range s.SenderDomain {
		name, _ := canonicalDomain(d)
		c.SenderDomain = append(c.SenderDomain, name)
	}
	for _, r := range s.Recipient {
		name, _ := canonicalRecipient(r)
		c.Recipient = append(c.Recipient, name)
	}
	return c
}

// canonicalDomain is a domain of a list, with a leading dot or without, in lower case and A-labels; false where it is none.
func canonicalDomain(s string) (string, bool) {
	dot := ""
	if strings.HasPrefix(s, ".") {
		dot = "."
	}
	name, ok := idn.Canonical(strings.TrimSuffix(s[len(dot):], "."))
	return dot + name, ok
}

// canonicalRecipient is an address of a list, its local part in lower case and without quotes, or a domain; false where it is neither.
func canonicalRecipient(s string) (string, bool) {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return canonicalDomain(s)
	}
	name, ok := idn.Canonical(strings.TrimSuffix(s[at+1:], "."))
	return strings.ToLower(policy.Unquoted(s[:at])) + "@" + name, ok && at > 0
}

// rules are the settings as the machine of entries has them.
func (s *Settings) rules() Rules {
	return Rules{Delay: s.Delay.Milliseconds(), Window: s.RetryWindow.Milliseconds(), Remember: s.Remember.Milliseconds()}
}

// asked is the first condition that holds; false where none does. No conditions at all hold for everyone.
func (s *Settings) asked(v policy.View) (because string, ok bool) {
	if len(s.OnlyIf) == 0 {
		return "everyone unknown waits", true
	}
	for _, c := range s.OnlyIf {
		if f, ran := v.Finding(c.Check); ran && c.holds(f.Outcome) {
			return c.Check + ":" + string(f.Outcome), true
		}
	}
	return "", false
}

// why is the reason to skip, "" where there is none. The lists are canonical.
func (s *Skip) why(v policy.View) string {
	switch {
	case slices.ContainsFunc(s.Client, func(p netip.Prefix) bool { return p.Contains(v.Client) }):
		return "skip.client"
	case inDomains(s.SenderDomain, v.Sender.Domain):
		return "skip.sender_domain"
	case inDomains(s.Recipient, v.Recipient.Domain) || slices.Contains(s.Recipient, plainMailbox(v.Recipient)):
		return "skip.recipient"
	}
	return ""
}

// inDomains says whether a domain stands in a list, or below one of its names with a leading dot.
func inDomains(list []string, domain string) bool {
	if domain == "" {
		return false
	}
	return slices.ContainsFunc(list, func(d string) bool {
		return d == domain || strings.HasPrefix(d, ".") && (d[1:] == domain || strings.HasSuffix(domain, d))
	})
}
