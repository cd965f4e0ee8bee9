package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatepost/checks/dnsbl"
	"gatepost/config"
	"gatepost/policy"
	"gatepost/resolver"
)

// slowDNS is how long an answer may take before it is worth a word: a mail waits for several.
const slowDNS = 500 * time.Millisecond

// checkDNS asks what the checks will ask: each DNS server, what it knows of our own name, and the block lists.
func checkDNS(ctx context.Context, r *report, c *config.Config) {
	dns, err := resolver.New(resolver.Settings{Servers: c.DNS.Servers, Timeout: c.DNS.Timeout})
	if err != nil {
		r.fail("dns", "name the servers in dns.servers", "%v", err)
		return
	}
	some := false
	for _, s := range dns.Health() {
		some = checkServer(ctx, r, c, s.Address) || some
	}
	if some { // else nothing more is to be learnt
		checkOwnName(ctx, r, c.Hostname, dns)
		checkLists(ctx, r, c, dns)
	}
}

// checkServer asks one DNS server alone for our own name, and says whether it answers.
func checkServer(ctx context.Context, r *report, c *config.Config, address string) bool {
	alone, err := resolver.New(resolver.Settings{Servers: []string{address}, Timeout: c.DNS.Timeout})
	if err != nil {
		r.fail("dns", "", "%v", err)
		return false
	}
	began := time.Now()
	_, err = alone.Exists(ctx, c.Hostname)
	took := time.Since(began)
	switch {
	case err != nil && isTimeout(err):
		r.fail("dns", "is it the right address, and do UDP and TCP to it pass the firewalls?", "%s does not answer within %s", address, c.DNS.Timeout)
	case err != nil:
		r.fail("dns", "is a DNS server running there, and does it serve this machine?", "%s does not answer as a DNS server: %s", address, dnsFault(err))
	case took > slowDNS:
		r.warn("dns", "use a server that is nearer, best on this machine", "%s answers, but took %s: mail waits for several answers", address, inMillis(took))
	default:
		r.ok("dns", "%s answers, in %s", address, inMillis(took))
	}
	return err == nil
}

// inMillis is a time as people compare such times.
func inMillis(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

// dnsFault is an error of the resolver without the name that was asked for.
func dnsFault(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e.Err
	}
	return err.Error()
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsTimeout
}

func isNotFound(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound
}

// checkOwnName looks up our own name, and the names of its addresses. Others do that where this machine sends mail too.
func checkOwnName(ctx context.Context, r *report, hostname string, dns *resolver.Resolver) {
	addrs, err := dns.Addrs(ctx, hostname, resolver.Both)
	switch {
	case isNotFound(err):
		r.warn("hostname", "publish an A or AAAA record: the MX records of your domains have to lead to it (RFC 5321 section 5.1)",
			"%s has no address in the DNS", hostname)
	case err != nil:
		r.warn("hostname", "see to the DNS servers first", "%s cannot be looked up: %s", hostname, dnsFault(err))
	}
	for _, a := range addrs {
		checkReverse(ctx, r, hostname, a, dns)
	}
}

// checkReverse compares the reverse DNS of one of our addresses with our name (RFC 1912 section 2.1).
func checkReverse(ctx context.Context, r *report, hostname string, a netip.Addr, dns *resolver.Resolver) {
	const advice = "let the provider of the address set its PTR record; many servers refuse mail from one whose names do not match"
	names, err := dns.PTR(ctx, a)
	switch {
	case err != nil && !isNotFound(err):
		r.warn("hostname", "see to the DNS servers first", "the reverse DNS of %s cannot be looked up: %s", a, dnsFault(err))
	case len(names) == 0:
		r.warn("hostname", advice, "%s leads to %s, which has no reverse DNS name", hostname, a)
	case !slices.Contains(names, hostname):
		r.warn("hostname", advice, "%s leads to %s, whose reverse DNS name is %s", hostname, a, strings.Join(names, ", "))
	default:
		r.ok("hostname", "%s leads to %s, and back", hostname, a)
	}
}

// checkLists lets each block list prove itself, as serve does.
func checkLists(ctx context.Context, r *report, c *config.Config, dns *resolver.Resolver) {
	for _, k := range c.Checks {
		l := listsOf(k, dns)
		if l == nil || k.Mode == policy.Off {
			continue
		}
		l.Prove(ctx)
		for _, z := range l.Zones() {
			checkZone(r, config.Path("check", k.Name), z)
		}
	}
}

// listsOf sets up a check of block lists; nil for any other.
func listsOf(k config.Check, dns *resolver.Resolver) *dnsbl.Check {
	log := slog.New(slog.DiscardHandler) // the report tells it all
	switch s := k.Settings.(type) {
	case *dnsbl.Settings:
		return dnsbl.New(s, dns, log)
	case *dnsbl.DomainSettings:
		return dnsbl.NewDomain(s, dns, log)
	case *dnsbl.AuthorSettings:
		return dnsbl.NewAuthor(s, dns, log)
	}
	return nil
}

func checkZone(r *report, about string, z dnsbl.ZoneState) {
	switch {
	case !z.Up && strings.HasPrefix(z.Why, "refuses"):
		r.fail(about, "ask it through a resolver of your own (dns.servers), and see its terms of use; until it answers it is not asked",
			"%s %s", z.Zone, z.Why)
	case !z.Up:
		r.fail(about, "is the name right, and does the list still exist? Until it proves itself it is not asked", "%s %s", z.Zone, z.Why)
	default:
		r.ok(about, "%s is in service: it passed the proof of RFC 5782 section 5", z.Zone)
	}
}
