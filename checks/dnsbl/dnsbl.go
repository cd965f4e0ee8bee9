// Package dnsbl asks block and allow lists in the DNS (RFC 5782) for the names and addresses of a session. Each zone that lists
// one has a weight; the sum decides. There are no zones by default, since public lists have terms of use: a check without zones
// passes everything and asks nothing.
//
// What can be asked about is known at three stages, and a check has one stage, so there are three checks, alike but for what
// they look at:
//
//	dnsbl     connect  the client's address; under way while the sender still waits for the banner. Private and loopback
//	                   addresses are not asked about
//	rhsbl     mail     the domains of HELO and of the reverse-path
//	authorbl  data     the domain of the author
//
// The settings, here with their defaults where there are any:
//
//	[check.dnsbl]
//	threshold = 5                                # 1 to 1000: from this sum on the outcome is listed
//	on = { listed = "reject", some = "none", allowed = "none", pass = "none", temperror = "none" }
//	[check.dnsbl.zone."zen.spamhaus.org"]
//	weight     = 5                               # -1000 to 1000, not 0; below 0 it is an allow list
//	codes      = ["127.0.0.2-127.0.0.11"]        # the answers that are listings; left out: any in 127.0.0.0/8
//	show       = "zen.spamhaus.org"              # the name that others see, since a zone with a key in it is a secret
//	test_entry = true                            # false: a list of your own that lacks the test entry 127.0.0.2
//	[check.dnsbl.zone."list.dnswl.org"]
//	weight = -5
//
//	[check.rhsbl]
//	threshold = 5
//	[check.rhsbl.zone."dbl.spamhaus.org"]        # weights are above 0: anyone may claim a good name
//	of = ["helo", "sender"]
//
//	[check.authorbl]                             # weights are above 0 here too
//	threshold = 5
//	[check.authorbl.zone."dbl.spamhaus.org"]
//
// A name is asked about as it stands: a list of registered domains that does not list what is below them misses a subdomain.
//
// Outcomes: listed (the sum is the threshold or more; reject, 550 5.7.1, at connect 554); some (more than 0; none); allowed (less than 0;
// none); pass; temperror (no zone answered, or an allow list did not that might have outweighed those that list; none). All zones
// are asked at once, within 6 seconds in all; those that answer decide.
//
// Evidence, enough to judge again by another threshold and other weights: for each listing "zone" as "ZONE CODE[,CODE] weight N" ("ZONE
// CODE weight N sender DOMAIN" in rhsbl and authorbl) and, behind it, "txt", the list's reason; "other" for an answer that is not among
// the codes; "silent" for a zone that did not answer; "clear" with the zones that know nothing; "score" as "5 of 5"; "skipped" where nothing was asked about. A zone that lists two
// names of a session counts once.
//
// A zone proves itself before it counts, and every hour after (RFC 5782 section 5): it lists 127.0.0.2 and does not list 127.0.0.1; a list of
// domains lists TEST and not INVALID. One that does not, that refuses our queries (127.255.255.0/24 and, unless named in codes,
// 127.0.0.1 and 127.0.0.255), or that fails five times in a row is out of service until it proves itself again. That is logged as an
// error. An answer outside 127.0.0.0/8 is no listing; the first one is logged.
package dnsbl

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"gatepost/internal/workers"
	"gatepost/policy"
)

// budget is how long all zones together may take for one finding (REPLIES: DNS, one check).
const budget = 6 * time.Second

// Resolver is what the checks need of a resolver: a name's A records and its TXT records. Not being listed is no error; each error
// is one that may be gone later.
type Resolver interface {
	Listing(ctx context.Context, name string) ([]netip.Addr, string, error)
}

// Kind describes the check of client addresses.
func Kind() policy.Kind {
	return kind("dnsbl", func() any { return &Settings{Threshold: defaultWeight} })
}

// DomainKind describes the check of the domains of HELO and reverse-path.
func DomainKind() policy.Kind {
	return kind("rhsbl", func() any { return &DomainSettings{Threshold: defaultWeight} })
}

// AuthorKind describes the check of the author's domain.
func AuthorKind() policy.Kind {
	return kind("authorbl", func() any { return &AuthorSettings{Settings{Threshold: defaultWeight}} })
}

func kind(name string, settings func() any) policy.Kind {
	return policy.Kind{
		Name: name,
		Outcomes: map[policy.Outcome]policy.Action{
			Listed: policy.Reject, Some: policy.None, Allowed: policy.None, policy.Pass: policy.None, policy.TempError: policy.None,
		},
		Settings: settings,
	}
}

// The outcomes beside policy.Pass and policy.TempError.
const (
	Listed  policy.Outcome = "listed"  // the sum is the threshold or more
	Some    policy.Outcome = "some"    // more than 0, below the threshold
	Allowed policy.Outcome = "allowed" // below 0
)

// Check asks the zones of one table about what one stage brings. It is safe for concurrent use. It works without Watch, but
// a zone that is out of service comes back only by Watch or Prove.
type Check struct {
	name      string
	stage     policy.Stage
	subjects  func(policy.View) []subject
	threshold int
	zones     []*zone
}

// New makes the check dnsbl. Nothing is asked. What goes wrong with a zone is logged to log.
func New(s *Settings, r Resolver, log *slog.Logger) *Check {
	c := &Check{name: "dnsbl", stage: policy.StageConnect, subjects: client, threshold: s.Threshold}
	for _, z := range s.Zones {
		c.zones = append(c.zones, newZone(z, addressProof(), r, log))
	}
	return c
}

// NewDomain makes the check rhsbl, as New does.
func NewDomain(s *DomainSettings, r Resolver, log *slog.Logger) *Check {
	c := &Check{name: "rhsbl", stage: policy.StageMail, subjects: names, threshold: s.Threshold}
	for _, d := range s.Zones {
		z := newZone(d.Zone, domainProof(), r, log)
		z.of = d.Of
		c.zones = append(c.zones, z)
	}
	return c
}

// NewAuthor makes the check authorbl, as New does.
func NewAuthor(s *AuthorSettings, r Resolver, log *slog.Logger) *Check {
	c := &Check{name: "authorbl", stage: policy.StageData, subjects: author, threshold: s.Threshold}
	for _, z := range s.Zones {
		c.zones = append(c.zones, newZone(z, domainProof(), r, log))
	}
	return c
}

// Name is "dnsbl", "rhsbl" or "authorbl".
func (c *Check) Name() string { return c.name }

// Stage is connect, mail or data.
func (c *Check) Stage() policy.Stage { return c.stage }

// Run asks all zones at once and adds up the weights of those that list something.
func (c *Check) Run(ctx context.Context, v policy.View) policy.Finding {
	if len(c.zones) == 0 {
		return policy.Finding{Outcome: policy.Pass}
	}
	answers := c.questions(c.subjects(v))
	if len(answers) == 0 {
		return policy.Finding{Outcome: policy.Pass, Facts: []policy.Fact{{Key: "skipped", Value: "nothing that a list could know"}}}
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	ask(ctx, answers)
	return finding(answers, c.threshold)
}

// questions are the answers to ask for, in the order of the zones: of each zone about each subject it is for.
func (c *Check) questions(subjects []subject) []answer {
	var answers []answer
	for _, z := range c.zones {
		for _, s := range subjects {
			if z.isFor(s) {
				answers = append(answers, answer{zone: z, subject: s})
			}
		}
	}
	return answers
}

// ask fills in the answers, all at once. There is one at least.
func ask(ctx context.Context, answers []answer) {
	var wg sync.WaitGroup
	for i := 1; i < len(answers); i++ {
		a := &answers[i]
		wg.Add(1)
		workers.Go(func() {
			a.zone.ask(ctx, a)
			wg.Done()
		})
	}
	answers[0].zone.ask(ctx, &answers[0])
	wg.Wait()
}

// Zones is the state of each zone, in the order of the settings.
func (c *Check) Zones() []ZoneState {
	var all []ZoneState
	for _, z := range c.zones {
		all = append(all, z.state())
	}
	return all
}

// Prove lets every zone prove itself now, and returns when all have, or have failed to, after at most 6 seconds.
func (c *Check) Prove(ctx context.Context) {
	var wg sync.WaitGroup
	for _, z := range c.zones {
		wg.Go(func() { z.proveNow(ctx) })
	}
	wg.Wait()
}

// Watch lets every zone prove itself at once and from time to time, sooner where one is out of service. It returns when ctx ends.
func (c *Check) Watch(ctx context.Context) {
	var wg sync.WaitGroup
	for _, z := range c.zones {
		wg.Go(func() { z.watch(ctx) })
	}
	wg.Wait()
}
