package main

import (
	"crypto/tls"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatepost/checks"
	"gatepost/checks/pregreet"
	"gatepost/checks/ratelimit"
	"gatepost/config"
	"gatepost/policy"
	"gatepost/proxy"
	"gatepost/proxy/backend"
	"gatepost/resolver"
)

// loadConfig reads the config that the flags name.
func loadConfig(file string) (*config.Config, error) {
	c, err := config.Load(file, checks.Kinds())
	if _, bad := err.(config.Problems); err != nil && !bad {
		return nil, fmt.Errorf("%w: %w", errConfigFile, err)
	}
	return c, err
}

// parts are what runs behind the settings. They are kept over a reload where theirs have not changed: connections, counters,
// caches and stores stay.
type parts struct {
	log      *slog.Logger
	backends map[string]backendPart
	checks   map[string]checkPart
	replaced map[string]checkPart // before the last build; see release
	resolver *resolver.Resolver
	rates    *ratelimit.Memory
	stateDir string
}

// newParts makes parts to build with.
func newParts(log *slog.Logger) parts {
	return parts{log: log, rates: ratelimit.NewMemory(ratelimit.DefaultKeys)}
}

type backendPart struct {
	of       config.Backend
	hostname string
	*backend.Backend
}

type checkPart struct {
	settings any
	resolver *resolver.Resolver // nil where it asks no DNS
	policy.Check
}

// build turns a config into what the engine runs on. The checks that it replaces work on until release.
func (p *parts) build(c *config.Config, certificate *certificate) (*proxy.Settings, error) {
	s := &proxy.Settings{
		Hostname:     c.Hostname,
		Routes:       proxy.NewRoutes(),
		RejectBareLF: c.SMTP.BareLF == "reject",
		Pregreet:     pregreetWait(c),
		Subject:      c.Journal.Subject,
		Transcript:   c.Journal.Transcript != "none",
		Limits: proxy.Limits{
			Connections: c.Limits.Connections, PerClient: c.Limits.ConnectionsPerClient,
			MessageSize: c.Limits.MessageSize, Recipients: c.Limits.Recipients,
			Memory: c.Limits.Memory, SpoolMemory: c.Limits.SpoolMemory, SpoolDir: c.Limits.SpoolDir,
			Errors: c.Limits.Errors, IdleCommands: c.Limits.IdleCommands, CommandTimeout: c.Limits.CommandTimeout,
			DataTimeout: c.Limits.DataTimeout, SessionTimeout: c.Limits.SessionTimeout,
		},
	}
	if certificate != nil {
		s.TLS = certificate.config()
	}
	if err := p.setResolver(c.DNS); err != nil {
		return nil, err
	}
	p.stateDir = stateDir(c)
	var err error
	if s.Policy, err = p.policy(c); err != nil {
		return nil, err
	}
	p.setBackends(c, s.Routes)
	return s, nil
}

// setResolver makes the resolver. /etc/resolv.conf may have changed where the config has not.
func (p *parts) setResolver(d config.DNS) error {
	r, err := resolver.New(resolver.Settings{Servers: d.Servers, Timeout: d.Timeout})
	if err != nil {
		return fmt.Errorf("dns: %w", err)
	}
	if p.resolver == nil || !p.resolver.Like(r) {
		p.resolver = r
	}
	return nil
}

// setBackends gives the routes their backends.
func (p *parts) setBackends(c *config.Config, routes *proxy.Routes) {
	next := map[string]backendPart{}
	for _, b := range c.Backends {
		k, ok := p.backends[b.Name]
		if !ok || k.hostname != c.Hostname || !reflect.DeepEqual(k.of, b) {
			if ok {
				k.Close()
			}
			k = backendPart{b, c.Hostname, backend.New(backendSettings(c, b))}
		}
		next[b.Name] = k
		routes.Add(k.Backend, b.Domains...)
	}
	p.backends = next
}

// check is one check, set up.
func (p *parts) check(k config.Check, e checks.Entry) (checkPart, error) {
	d := checks.Deps{Log: p.log, Rates: p.rates, StateDir: p.stateDir}
	if e.DNS {
		d.Resolver = p.resolver
	}
	if old, ok := p.checks[k.Name]; ok && old.resolver == d.Resolver && reflect.DeepEqual(old.settings, k.Settings) {
		return old, nil
	}
	made, err := e.New(k.Settings, d)
	if err != nil {
		return checkPart{}, fmt.Errorf("check.%s: %w", k.Name, err)
	}
	return checkPart{k.Settings, d.Resolver, made}, nil
}

var (
	clientIPs = map[string]backend.ClientIP{"none": backend.ClientIPNone, "xclient": backend.ClientIPXClient, "proxy-v2": backend.ClientIPProxyV2}
	tlsModes  = map[string]backend.TLSMode{"none": backend.TLSNone, "opportunistic": backend.TLSOpportunistic, "required": backend.TLSRequired}
)

func backendSettings(c *config.Config, b config.Backend) backend.Settings {
	return backend.Settings{
		Name: b.Name, Addresses: b.Address, Hostname: c.Hostname, ClientIP: clientIPs[b.ClientIP], TLS: tlsModes[b.TLS],
		TLSConfig: &tls.Config{ServerName: b.TLSName, InsecureSkipVerify: !b.TLSVerify, MinVersion: tls.VersionTLS12},
	}
}

// policy sets the checks up in the order of the config.
func (p *parts) policy(c *config.Config) (*policy.Policy, error) {
	pol := &policy.Policy{Mode: c.Mode, Soft: c.Policy.Soft, Contact: c.Policy.Contact, Scopes: scopes(c), Rules: rules(c), ForClient: resolver.WithClient}
	entries := map[string]checks.Entry{}
	for _, e := range checks.Table() {
		entries[e.Name] = e
	}
	next := map[string]checkPart{}
	hash := fnv.New64a()
	for _, k := range c.Checks {
		part, err := p.check(k, entries[k.Name])
		if err != nil {
			closeBut(next, p.checks)
			return nil, err
		}
		next[k.Name] = part
		pol.Slots = append(pol.Slots, slot(c, k, entries[k.Name], part.Check))
		fmt.Fprintf(hash, "%s %v %v %+v\n", k.Name, k.Mode, k.On, k.Settings)
	}
	fmt.Fprintf(hash, "%v %v %+v %+v", c.Mode, c.Policy.Soft, c.Domains, c.Rules)
	pol.Hash = strconv.FormatUint(hash.Sum64(), 36)
	p.release()
	p.replaced, p.checks = p.checks, next
	return pol, nil
}

// release lets go of the checks that the last build replaced, once new sessions have the others: a closed greylist lets all mail by.
// What a greylist in a file took in since its successor read the file is forgotten, so that a few senders wait once more.
func (p *parts) release() {
	closeBut(p.replaced, p.checks)
	p.replaced = nil
}

// closeBut lets go of what checks hold, such as a store, but for those that are kept. Sessions that began with them may still ask them.
func closeBut(all, kept map[string]checkPart) {
	for name, part := range all {
		if c, ok := part.Check.(io.Closer); ok && kept[name].Check != part.Check {
			c.Close()
		}
	}
}

// close lets go of everything.
func (p *parts) close() {
	p.release()
	closeBut(p.checks, nil)
	for _, b := range p.backends {
		b.Close()
	}
}

// slot is one check in its place, with the lines of the config that set it up.
func slot(c *config.Config, k config.Check, e checks.Entry, made policy.Check) policy.Slot {
	path := config.Path("check", k.Name)
	s := policy.Slot{Check: made, Mode: k.Mode, Early: e.Early, Actions: map[policy.Outcome]policy.Action{},
		Where: whereCheck(c, k.Name), WhereOn: map[policy.Outcome]string{}}
	for o, a := range e.Outcomes {
		s.Actions[o] = a
	}
	for o, a := range k.On {
		s.Actions[o] = a
		s.WhereOn[o] = where(c, path+".on."+string(o))
	}
	return s
}

// rules are the exceptions, in file order.
func rules(c *config.Config) []policy.Rule {
	var rs []policy.Rule
	for _, u := range c.Rules {
		r := policy.Rule{Name: u.Name, Allow: u.Action == "allow", Client: u.Client, Helo: u.Helo, Sender: u.Sender, SenderDomain: u.SenderDomain,
			Recipient: u.Recipient, FromDomain: u.FromDomain, Skip: u.Skip, Expires: u.Expires, Where: where(c, config.Path("rule", u.Name))}
		for _, p := range []policy.Proof{policy.ProofSPF, policy.ProofDKIM} {
			if strings.Contains(u.Proof, string(p)) {
				r.Proof = append(r.Proof, p)
			}
		}
		rs = append(rs, r)
	}
	return rs
}

// scopes are the overrides for some recipients.
func scopes(c *config.Config) map[string]policy.Scope {
	m := map[string]policy.Scope{}
	for _, d := range c.Domains {
		sc := policy.Scope{Modes: map[string]policy.Mode{}, Actions: map[string]map[policy.Outcome]policy.Action{}, Where: map[string]string{}}
		for _, o := range d.Checks {
			sc.Modes[o.Name] = o.Mode
			sc.Actions[o.Name] = o.On
			sc.Where[o.Name] = where(c, config.Path("domain", d.Key, "check", o.Name))
		}
		m[d.Name] = sc
	}
	return m
}

// whereCheck is the place where a check is set up: its table, else its name in policy.checks; "" where the file names it nowhere.
func whereCheck(c *config.Config, name string) string {
	if path := config.Path("check", name); c.Has(path) {
		return where(c, path)
	}
	if c.Has("policy.checks") {
		return where(c, fmt.Sprintf("policy.checks[%d]", slices.Index(c.Policy.Checks, name)))
	}
	return ""
}

// where is a place in the config, as "gatepost.toml:58"; "" where the file has no such place.
func where(c *config.Config, path string) string {
	if n := c.Line(path); n > 0 {
		return fmt.Sprintf("%s:%d", c.File, n)
	}
	return ""
}

// pregreetWait is how long the banner is held, where the check runs.
func pregreetWait(c *config.Config) time.Duration {
	for _, k := range c.Checks {
		if s, ok := k.Settings.(*pregreet.Settings); ok && min(c.Mode, k.Mode) != policy.Off {
			return max(s.Wait, time.Millisecond) // "0s": what has come by then
		}
	}
	return 0
}
