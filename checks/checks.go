// Package checks is the one table of the checks that exist.
package checks

import (
	"log/slog"
	"time"

	"gatepost/checks/dkim"
	"gatepost/checks/dmarc"
	"gatepost/checks/dnsbl"
	"gatepost/checks/headers"
	"gatepost/checks/helo"
	"gatepost/checks/pregreet"
	"gatepost/checks/ratelimit"
	"gatepost/checks/rdns"
	"gatepost/checks/senderdomain"
	"gatepost/checks/size"
	"gatepost/checks/spf"
	"gatepost/greylist"
	"gatepost/policy"
	"gatepost/resolver"
)

// Deps are what a check may need beside its settings.
type Deps struct {
	Resolver *resolver.Resolver // for those with Entry.DNS
	Log      *slog.Logger       // for alarms
	Rates    *ratelimit.Memory  // one for all, over reloads
	StateDir string             // where what outlives a restart is kept
}

// Entry is a check that can be set up. New gets the settings as Kind.Settings returned them, filled. A check that holds something
// is an io.Closer; one that has work in the background has Watch(context.Context).
type Entry struct {
	policy.Kind
	New   func(settings any, d Deps) (policy.Check, error)
	DNS   bool // it asks Deps.Resolver: a reload that changes the resolver sets it up anew
	Early bool // its refusal is told before the banner
}

// Table lists the checks in the order in which a policy runs them unless it says otherwise.
func Table() []Entry {
	return []Entry{
		{Kind: ratelimit.Kind(), New: newRatelimit},
		early(of(pregreet.Kind(), func(*pregreet.Settings, Deps) policy.Check { return pregreet.Check{} })),
		dns(of(rdns.Kind(), func(_ any, d Deps) policy.Check { return rdns.New(d.Resolver) })),
		dns(of(dnsbl.Kind(), func(s *dnsbl.Settings, d Deps) policy.Check { return dnsbl.New(s, d.Resolver, d.Log) })),
		dns(of(helo.Kind(), func(s *helo.Settings, d Deps) policy.Check { return helo.New(s, d.Resolver) })),
		dns(of(dnsbl.DomainKind(), func(s *dnsbl.DomainSettings, d Deps) policy.Check { return dnsbl.NewDomain(s, d.Resolver, d.Log) })),
		dns(of(spf.Kind(), func(s *spf.Settings, d Deps) policy.Check { return spf.New(s, d.Resolver) })),
		dns(of(senderdomain.Kind(), func(_ any, d Deps) policy.Check { return senderdomain.New(d.Resolver) })),
		{Kind: greylist.Kind(), New: newGreylist},
		of(size.Kind(), func(s *size.Settings, _ Deps) policy.Check { return size.New(s) }),
		of(headers.Kind(), func(s *headers.Settings, _ Deps) policy.Check { return headers.New(s) }),
		dns(of(dkim.Kind(), func(s *dkim.Settings, d Deps) policy.Check { return dkim.New(s, d.Resolver) })),
		dns(of(dmarc.Kind(), func(s *dmarc.Settings, d Deps) policy.Check { return dmarc.New(s, d.Resolver) })),
		dns(of(dnsbl.AuthorKind(), func(s *dnsbl.AuthorSettings, d Deps) policy.Check { return dnsbl.NewAuthor(s, d.Resolver, d.Log) })),
	}
}

// newRatelimit opens the store of the limits too, where that is not Rates alone.
func newRatelimit(settings any, d Deps) (policy.Check, error) {
	s := settings.(*ratelimit.Settings)
	store, err := ratelimit.Open(s, d.Rates, d.Log)
	if err != nil {
		return nil, err
	}
	return ratelimit.New(s, store), nil
}

// newGreylist opens the store of the greylist too.
func newGreylist(settings any, d Deps) (policy.Check, error) {
	s := settings.(*greylist.Settings)
	store, err := greylist.Open(s, d.StateDir, d.Log)
	if err != nil {
		return nil, err
	}
	return greylist.New(s, store, d.Log, time.Now), nil
}

// of is an entry whose settings are of type S.
func of[S any](k policy.Kind, make func(S, Deps) policy.Check) Entry {
	return Entry{Kind: k, New: func(settings any, d Deps) (policy.Check, error) {
		s, _ := settings.(S)
		return make(s, d), nil
	}}
}

func dns(e Entry) Entry {
	e.DNS = true
	return e
}

func early(e Entry) Entry {
	e.Early = true
	return e
}

// Kinds are the kinds of the table, in its order.
func Kinds() []policy.Kind {
	var ks []policy.Kind
	for _, e := range Table() {
		ks = append(ks, e.Kind)
	}
	return ks
}
