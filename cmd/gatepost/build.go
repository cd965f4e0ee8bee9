package main

import (
	"crypto/tls"
	"fmt"
	"hash/fnv"
	"reflect"
	"strconv"
	"strings"
	"time"

	"gatepost/checks"
	"gatepost/checks/pregreet"
	"gatepost/config"
	"gatepost/policy"
	"gatepost/proxy"
	"gatepost/proxy/backend"
)

// loadConfig reads the config that the flags name.
func loadConfig(file string) (*config.Config, error) {
	c, err := config.Load(file, checks.Kinds())
	if _, bad := err.(config.Problems); err != nil && !bad {
		return nil, fmt.Errorf("%w: %w", errConfigFile, err)
	}
	return c, err
}

// known is a backend with the settings it was made of. One whose settings have not changed is kept over a reload, with what
// it has learned of its server.
type known struct {
	of       config.Backend
	hostname string
	b        *backend.Backend
}

// buildSettings turns a config into what the engine runs on. before are the backends in use, nil for none.
func buildSettings(c *config.Config, certificate *certificate, before map[string]known) (*proxy.Settings, map[string]known) {
	s := &proxy.Settings{
		Hostname:     c.Hostname,
		Routes:       proxy.NewRoutes(),
		Policy:       buildPolicy(c),
		RejectBareLF: c.SMTP.BareLF == "reject",
		Pregreet:     pregreetWait(c),
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
	next := map[string]known{}
	for _, b := range c.Backends {
		k, ok := before[b.Name]
		if !ok || k.hostname != c.Hostname || !reflect.DeepEqual(k.of, b) {
			k = known{b, c.Hostname, backend.New(backendSettings(c, b))}
		}
		next[b.Name] = k
		s.Routes.Add(k.b, b.Domains...)
	}
	return s, next
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

// buildPolicy sets the checks up in the order of the config.
func buildPolicy(c *config.Config) *policy.Policy {
	p := &policy.Policy{Mode: c.Mode, Soft: c.Policy.Soft, Contact: c.Policy.Contact, Scopes: scopes(c), Rules: rules(c)}
	entries := map[string]checks.Entry{}
	for _, e := range checks.Table() {
		entries[e.Name] = e
	}
	hash := fnv.New64a()
	for _, k := range c.Checks {
		e := entries[k.Name]
		p.Slots = append(p.Slots, slot(c, k, e))
		fmt.Fprintf(hash, "%s %v %v %+v\n", k.Name, k.Mode, k.On, k.Settings)
	}
	fmt.Fprintf(hash, "%v %v %+v %+v", c.Mode, c.Policy.Soft, c.Domains, c.Rules)
	p.Hash = strconv.FormatUint(hash.Sum64(), 36)
	return p
}

// slot is one check in its place, with the lines of the config that set it up.
func slot(c *config.Config, k config.Check, e checks.Entry) policy.Slot {
	path := config.Path("check", k.Name)
	s := policy.Slot{Check: e.New(k.Settings), Mode: k.Mode, Early: e.Early, Actions: map[policy.Outcome]policy.Action{},
		Where: where(c, path), WhereOn: map[policy.Outcome]string{}}
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
			sc.Where[o.Name] = where(c, config.Path("domain", d.Name, "check", o.Name))
		}
		m[d.Name] = sc
	}
	return m
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
			return s.Wait
		}
	}
	return 0
}
