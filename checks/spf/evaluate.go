package spf

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	blitiri "blitiri.com.ar/go/spf"

	"gatepost/policy"
)

// result is what came of one identity.
type result struct {
	identity
	client  netip.Addr
	outcome policy.Outcome
	record  string // the domain's own
	matched string // the term that decided; "" where none did
	fault   string // what is wrong, for an error
	lookups int
}

// evaluate asks the record of one identity's domain.
func (c *Check) evaluate(ctx context.Context, v policy.View, id identity) *result {
	r := &result{identity: id, client: v.Client, outcome: policy.NoneFound}
	if id.domain == "" {
		return r
	}
	asked := &asked{dns: c.dns(v.Client)}
	got, err := blitiri.CheckHostWithSender(v.Client.AsSlice(), heloMacro(v.Helo), id.sender(),
		blitiri.WithContext(ctx), blitiri.WithResolver(asked)) // RFC 7208 section 4.6.4: ten look-ups, two void ones
	r.outcome, r.record, r.lookups = policy.Outcome(got), asked.record, asked.n
	if ctx.Err() != nil && got != blitiri.Pass { // RFC 7208 section 4.6.4; "ptr" takes a failed look-up for no match
		r.outcome = policy.TempError
	}
	switch r.outcome {
	case policy.TempError:
		r.fault = "the DNS gave no answer"
	case policy.PermError:
		r.fault = fault(err)
	default:
		r.matched = matched(err, r, asked.records == 1)
	}
	return r
}

// heloMacro is the HELO name for the macro h; it must not bring what is no name into a question.
func heloMacro(s string) string {
	if name := domainName(s); name != "" {
		return name
	}
	return "unknown"
}

// mechanisms are the library's words for what matched.
var mechanisms = [...]struct {
	err  error
	name string
}{
	{blitiri.ErrMatchedAll, "all"}, {blitiri.ErrMatchedA, "a"}, {blitiri.ErrMatchedIP, "ip"}, {blitiri.ErrMatchedMX, "mx"},
	{blitiri.ErrMatchedPTR, "ptr"}, {blitiri.ErrMatchedExists, "exists"},
}

// matched names the term that decided: as it is written where only one record was read, so that it must stand there; else by its kind.
func matched(err error, r *result, one bool) string {
	for _, m := range mechanisms {
		if errors.Is(err, m.err) {
			if term := r.term(m.name); one && term != "" {
				return term
			}
			return m.name
		}
	}
	return ""
}

// term is the first term in the record of a kind whose match needs no look-up, if it matches the client.
func (r *result) term(kind string) string {
	for _, term := range strings.Fields(r.record) {
		bare := strings.ToLower(strings.TrimLeft(term, "+-~?"))
		if kind == "all" && bare == "all" || kind == "ip" && hasClient(bare, r.client) {
			return plain(term)
		}
	}
	return ""
}

// hasClient says whether a term ip4:... or ip6:... holds the client.
func hasClient(term string, client netip.Addr) bool {
	kind, network, _ := strings.Cut(term, ":")
	if kind != "ip4" && kind != "ip6" {
		return false
	}
	if p, err := netip.ParsePrefix(network); err == nil {
		return p.Contains(client)
	}
	a, err := netip.ParseAddr(network)
	return err == nil && a == client
}

// faults are the library's reasons for permerror, in words for the sender.
var faults = [...]struct {
	err  error
	text string
}{
	{blitiri.ErrMultipleRecords, "there are several records"},
	{blitiri.ErrLookupLimitReached, "it takes more than ten look-ups"},
	{blitiri.ErrVoidLookupLimitReached, "it names more than two hosts that do not exist"},
	{blitiri.ErrTooManyMXRecords, "it counts on more than ten MX hosts"},
	{blitiri.ErrNoResult, "it refers to a domain without a record"},
	{blitiri.ErrUnknownField, "it has an unknown term"},
	{blitiri.ErrInvalidIP, "it has a wrong address"},
	{blitiri.ErrInvalidMask, "it has a wrong network mask"},
	{blitiri.ErrInvalidMacro, "it has a wrong macro"},
	{blitiri.ErrInvalidDomain, "it has a wrong domain"},
	{errLargeRecord, "it is larger than 8 KiB"},
	{errNotASCII, "it has octets that are not printable ASCII"},
}

func fault(err error) string {
	for _, f := range faults {
		if errors.Is(err, f.err) {
			return f.text
		}
	}
	return "it cannot be evaluated"
}
