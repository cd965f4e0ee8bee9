package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// proofs are the ways to write a proof.
var proofs = []string{"spf", "dkim", "spf or dkim", "none"}

// rules checks the exceptions. One that could never hold, or that would let anybody in under a borrowed name, is a problem.
func (r *reader) rules() {
	for i := range r.config.Rules {
		u := &r.config.Rules[i]
		path := Path("rule", u.Name)
		r.plainName(path, u.Name)
		if u.Action == "" {
			r.at(path, `has no action: write action = "allow" or action = "deny"`)
		}
		r.conditions(path, u)
		r.ruleNames(path+".helo", u.Helo)
		r.ruleNames(path+".sender_domain", u.SenderDomain)
		r.ruleNames(path+".from_domain", u.FromDomain)
		r.ruleAddresses(path+".sender", u.Sender, false)
		r.ruleAddresses(path+".recipient", u.Recipient, true)
		r.ruleProof(path, u)
		r.ruleSkip(path, u)
	}
}

// conditions wants at least one: a rule for all mail is a policy, and belongs elsewhere.
func (r *reader) conditions(path string, u *Rule) {
	if len(u.Client)+len(u.Helo)+len(u.Sender)+len(u.SenderDomain)+len(u.Recipient)+len(u.FromDomain) == 0 {
		r.at(path, "has no condition, so it would hold for all mail: name a client, helo, sender, sender_domain, recipient or from_domain")
	}
	for _, n := range u.Client {
		if u.Action == "allow" && n.Bits() == 0 {
			r.at(path+".client", "%s is every client", n)
		}
	}
}

// ruleNames brings domains into their one form, keeping a leading dot.
func (r *reader) ruleNames(path string, names []string) {
	for i, text := range names {
		dot := ""
		if strings.HasPrefix(text, ".") {
			dot = "."
		}
		name, err := domainName(strings.TrimPrefix(text, "."))
		if err != nil {
			r.at(element(path, i), "%v", err)
			continue
		}
		names[i] = dot + name
	}
}

// ruleAddresses brings addresses into lower case and A-labels, their local parts without quotes; domains may stand for all their addresses where that is said.
func (r *reader) ruleAddresses(path string, list []string, domains bool) {
	for i, text := range list {
		at := strings.LastIndexByte(text, '@')
		switch {
		case text == "<>" && !domains:
			continue
		case at <= 0 && !domains:
			r.at(element(path, i), `%s is no address, such as "a@shop.example" or "<>"; a whole domain goes into sender_domain`, quote(text))
			continue
		case at == 0:
			r.at(element(path, i), "%s has nothing before the @: write %s for the whole domain", quote(text), quote(text[1:]))
			continue
		}
		name, err := domainName(strings.TrimPrefix(text[at+1:], "."))
		if err != nil {
			r.at(element(path, i), "%v", err)
			continue
		}
		if at < 0 && strings.HasPrefix(text, ".") {
			name = "." + name
		}
		if at >= 0 {
			name = localPart(text[:at]) + "@" + name
		}
		list[i] = name
	}
}

// ruleProof asks an allow that goes by a sender's name alone for a proof: else anyone could claim the name.
func (r *reader) ruleProof(path string, u *Rule) {
	byName := len(u.Sender)+len(u.SenderDomain)+len(u.FromDomain)+len(u.Helo) > 0
	switch {
	case u.Proof == "":
		if u.Action == "allow" && byName && len(u.Client) == 0 {
			r.at(path, `allows by a name that anyone can claim: write proof = "spf or dkim", add a client, or write proof = "none" to accept that`)
		}
		return
	case !slices.Contains(proofs, u.Proof):
		r.at(path+".proof", "%v", NoWord(u.Proof, "proof", proofs))
	case u.Action == "deny" && u.Proof != "none":
		r.at(path+".proof", "belongs to an allow: who is denied proves nothing")
	case u.Proof == "spf" && len(u.FromDomain) > 0:
		r.at(path+".proof", "SPF proves nothing about the author of a message: write \"dkim\"")
	case u.Proof == "dkim" && byName && len(u.FromDomain)+len(u.Sender)+len(u.SenderDomain) == 0:
		r.at(path+".proof", "DKIM proves nothing about a HELO name: write \"spf\"")
	case u.Proof != "none" && slices.Contains(u.Sender, "<>"):
		r.at(path+".proof", `nothing proves "<>": write proof = "none" to accept that, or name the senders without it`)
	}
}

// ruleSkip wants checks that run, and an allow to skip them.
func (r *reader) ruleSkip(path string, u *Rule) {
	for i, name := range u.Skip {
		at := element(path+".skip", i)
		if _, ok := r.kind(name); !ok {
			r.at(at, "%v", NoWord(name, "check", r.kindNames()))
		}
	}
	if u.Action == "deny" && len(u.Skip) > 0 {
		r.at(path+".skip", "belongs to an allow: a deny refuses whatever the checks say")
	}
}

// early wants checks that run.
func (r *reader) early() {
	for _, l := range r.config.Listen {
		for i, name := range l.Early {
			if _, ok := r.kind(name); !ok {
				r.at(element(Path("listen", l.Name)+".early", i), "%v", NoWord(name, "check", r.kindNames()))
			}
		}
	}
}

// dns checks the servers' addresses: names would need a DNS to be looked up in.
func (r *reader) dns() {
	d := &r.config.DNS
	for i, text := range d.Servers {
		_, err := netip.ParseAddrPort(text)
		if err != nil {
			_, err = netip.ParseAddr(text)
		}
		if err != nil {
			r.at(element("dns.servers", i), `%s is no address, such as "127.0.0.1" or "127.0.0.1:5353"`, quote(text))
		}
	}
	if d.Timeout < 100*time.Millisecond || d.Timeout > 30*time.Second {
		r.at("dns.timeout", "%s is not from \"100ms\" to \"30s\"", span(int64(d.Timeout)))
	}
}
