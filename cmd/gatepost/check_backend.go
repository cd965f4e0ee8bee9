package main

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"gatepost/config"
	"gatepost/proxy/backend"
	"gatepost/proxy/smtp"
)

// outsider is who a mail server is told that we speak for: an address of nobody (RFC 5737), so trusted by none.
var outsider = netip.MustParseAddrPort("192.0.2.1:40000")

// probeTimeouts keep a check short; a server that is slower than this is worth a word.
var probeTimeouts = backend.Timeouts{Connect: 5 * time.Second, Banner: 10 * time.Second, Command: 20 * time.Second}

// prober looks at one mail server behind.
type prober struct {
	*report
	config  *config.Config
	backend config.Backend
	name    string // of its table
	nobody  string // a local part that no user has
}

func (p *prober) run(ctx context.Context) {
	address, caps := p.reach(ctx)
	if address == "" {
		return
	}
	p.size(caps)
	b := p.server(address, p.backend.ClientIP)
	if !p.clientIP(ctx, b, caps) {
		return
	}
	for _, d := range p.backend.Domains {
		p.domain(ctx, b, strings.TrimPrefix(d, "."))
	}
	p.relay(ctx, b)
}

// server is the backend at one of its addresses, with one way to tell of the client.
func (p *prober) server(address, clientIP string) *backend.Backend {
	s := backendSettings(p.config, p.backend)
	s.Addresses, s.ClientIP, s.Timeouts = []string{address}, clientIPs[clientIP], probeTimeouts
	return backend.New(s)
}

// reach tries each address, and gives the first that answers; "" where none does.
func (p *prober) reach(ctx context.Context) (address string, caps smtp.Caps) {
	for _, a := range p.backend.Address {
		clientIP := p.backend.ClientIP
		if clientIP == "xclient" { // whether that is offered is the next question
			clientIP = "none"
		}
		c, err := p.server(a, clientIP).Probe(ctx)
		if err != nil {
			p.fail(p.name, p.reachAdvice(err), "%s does not answer as a mail server: %v", a, err)
			continue
		}
		p.ok(p.name, "%s answers and has %s", a, capsLine(c))
		if address == "" {
			address, caps = a, c
		}
	}
	return address, caps
}

func (p *prober) reachAdvice(err error) string {
	f, ok := errors.AsType[*backend.Fault](err)
	switch {
	case ok && f.Stage == "starttls":
		return `tls = "required" wants STARTTLS with a certificate that is valid for tls_name`
	case ok && f.Stage == "connect":
		return "is it running, and does it listen there? Until it does, senders are told to try again later"
	case p.backend.ClientIP == "proxy-v2":
		return `client_ip = "proxy-v2": is the server set to expect a PROXY header on this port?`
	}
	return "see the log of the server"
}

// capsLine is what a server can do, and what gatepost can't offer therefore.
func capsLine(c smtp.Caps) string {
	var has, lacks []string
	for _, x := range []struct {
		on    bool
		word  string
		needs bool // gatepost offers it only if the server has it
	}{
		{c.Pipelining, "PIPELINING", false}, {c.Chunking, "CHUNKING", false}, {c.Enhanced, "ENHANCEDSTATUSCODES", false},
		{c.StartTLS, "STARTTLS", false}, {c.XClient != 0, "XCLIENT", false}, {c.EightBit, "8BITMIME", true}, {c.UTF8, "SMTPUTF8", true},
		{c.DSN, "DSN", true}, {c.Binary, "BINARYMIME", true},
	} {
		switch {
		case x.on:
			has = append(has, x.word)
		case x.needs:
			lacks = append(lacks, x.word)
		}
	}
	line := "no extensions"
	if len(has) > 0 {
		line = strings.Join(has, " ")
	}
	if len(lacks) > 0 {
		line += "; senders are not offered " + strings.Join(lacks, " ")
	}
	return line
}

// size compares limits.message_size with what the server takes (RFC 1870).
func (p *prober) size(c smtp.Caps) {
	ours := p.config.Limits.MessageSize
	switch {
	case c.Size == 0:
		p.ok(p.name, "it announces no limit to the size of messages; limits.message_size, %d octets, holds", ours)
	case c.Size < ours:
		p.warn(p.name, "raise the limit there (Postfix: message_size_limit) or lower limits.message_size",
			"it takes messages of %d octets, fewer than limits.message_size, %d; senders are offered the smaller", c.Size, ours)
	default:
		p.ok(p.name, "it takes messages of %d octets, and limits.message_size, %d, is not more", c.Size, ours)
	}
}

// clientIP looks at how the server learns the sender's address, and says whether mail can be brought to it at all.
func (p *prober) clientIP(ctx context.Context, b *backend.Backend, caps smtp.Caps) bool {
	if p.backend.ClientIP == "none" && caps.XClient&smtp.XAddr != 0 {
		p.warn(p.name, `write client_ip = "xclient"`, "it would take the sender's address by XCLIENT, but client_ip is \"none\": to it, all mail comes from here")
	}
	conn, err := b.Open(ctx, p.client())
	if err != nil {
		p.fail(p.name, p.clientAdvice(), "it cannot be told of the sender by %s: %v", p.backend.ClientIP, err)
		return false
	}
	conn.Quit()
	if p.backend.ClientIP != "none" {
		p.ok(p.name, "it takes the sender's address by %s", p.backend.ClientIP)
	}
	return true
}

func (p *prober) clientAdvice() string {
	if p.backend.ClientIP == "xclient" {
		return "allow XCLIENT from this machine there (Postfix: smtpd_authorized_xclient_hosts), or write client_ip = \"none\""
	}
	return "see the log of the server"
}

// client is the sender that we say we speak for.
func (p *prober) client() backend.Client {
	return backend.Client{Addr: outsider, Local: netip.MustParseAddrPort("192.0.2.25:25"), Helo: p.config.Hostname, Proto: "ESMTP"}
}

// ask brings MAIL with the null sender, which bounces have, and one RCPT, and gives the reply that decides. No content follows.
func (p *prober) ask(ctx context.Context, b *backend.Backend, to smtp.Address) (smtp.Reply, error) {
	conn, err := b.Open(ctx, p.client()) // a fresh one each time: servers end a session of many errors
	if err != nil {
		return smtp.Reply{}, err
	}
	defer conn.Quit()
	conn.Mail(smtp.Address{}, smtp.MailParams{Size: -1}, 0)
	conn.Rcpt(to, smtp.RcptParams{})
	mail, err := conn.Reply()
	if err != nil {
		return smtp.Reply{}, err
	}
	rcpt, err := conn.Reply()
	if mail.Class() != 2 {
		return mail, nil
	}
	return rcpt, err
}

// domain asks whether the server takes mail for a domain, and refuses those of its users who don't exist.
func (p *prober) domain(ctx context.Context, b *backend.Backend, domain string) {
	postmaster := smtp.Address{Local: "postmaster", Domain: domain} // RFC 5321 section 4.5.1: every domain has one
	r, err := p.ask(ctx, b, postmaster)
	if err != nil {
		p.warn(p.name, "see the log of the server", "whether it takes %s is not known: %v", domain, err)
		return
	}
	switch {
	case r.Class() == 2:
		p.ok(p.name, "it takes mail for %s", domain)
	case r.Class() == 4:
		p.warn(p.name, "try again later, or see the log of the server", "it puts off mail to %s: %v", postmaster, r)
		return
	case r.Enhanced() == "" || strings.HasPrefix(r.Enhanced(), "5.1."):
		p.warn(p.name, "give the domain a postmaster (RFC 5321 section 4.5.1), or see whether the server knows the domain",
			"it refuses %s: %v", postmaster, r)
	default:
		p.fail(p.name, "make it a domain of the server, or take it out of "+p.name+".domains", "it does not take mail for %s: %v", domain, r)
		return
	}
	p.unknownUser(ctx, b, smtp.Address{Local: p.nobody, Domain: domain})
}

// unknownUser asks for a user who does not exist.
func (p *prober) unknownUser(ctx context.Context, b *backend.Backend, to smtp.Address) {
	r, err := p.ask(ctx, b, to)
	switch {
	case err != nil:
		p.warn(p.name, "see the log of the server", "whether it refuses unknown users of %s is not known: %v", to.Domain, err)
	case r.Class() == 2:
		p.warn(p.name, "let it refuse unknown recipients at RCPT (Postfix: local_recipient_maps, relay_recipient_maps)",
			"it takes any user of %s (%s): it will bounce such mail later, to senders who are mostly forged, or keep it for nobody", to.Domain, to)
	case r.Class() == 4:
		p.warn(p.name, "let it answer 550 (Postfix: unknown_local_recipient_reject_code)", "it only puts off unknown users of %s: %v; senders will try for days", to.Domain, r)
	default:
		p.ok(p.name, "it refuses unknown users of %s while the sender is there", to.Domain)
	}
}

// relay asks for a recipient elsewhere. gatepost itself never relays: it refuses each domain that no backend lists. The danger is
// what a yes says of the server: it trusts where we come from.
func (p *prober) relay(ctx context.Context, b *backend.Backend) {
	to := smtp.Address{Local: "relay-test", Domain: p.foreign()}
	r, err := p.ask(ctx, b, to)
	switch {
	case err != nil:
		p.warn(p.name, "see the log of the server", "whether it relays is not known: %v", err)
	case r.Class() == 2 && p.backend.ClientIP == "none":
		p.fail(p.name, "take this machine out of its trusted networks (Postfix: mynetworks), or let it know the senders: client_ip",
			"it relays for this machine (%s was taken), so it trusts every sender behind gatepost: what it refuses to strangers, it will not refuse to them", to)
	case r.Class() == 2:
		p.fail(p.name, "close it, whatever gatepost does: who reaches it directly can send spam through it",
			"it relays for a stranger at %s (%s was taken)", outsider.Addr(), to)
	case refusesRelay(r):
		p.ok(p.name, "it refuses to relay (%s): %v", to, r)
	default:
		p.warn(p.name, "look at its rules for relaying", "it refuses %s, but perhaps not for relaying: %v", to, r)
	}
}

// foreign is a domain of nobody (RFC 2606) that no backend lists.
func (p *prober) foreign() string {
	for _, d := range []string{"example.org", "example.net", "example.com"} {
		if !p.lists(d) {
			return d
		}
	}
	return "relay-test.invalid"
}

func (p *prober) lists(domain string) bool {
	for _, b := range p.config.Backends {
		for _, d := range b.Domains {
			if strings.TrimPrefix(d, ".") == domain {
				return true
			}
		}
	}
	return false
}

// refusesRelay tells a refusal to relay from one of an address that cannot be delivered to by anybody (RFC 3463 section 3.2,
// RFC 7504): a server that relays may give that too.
func refusesRelay(r smtp.Reply) bool {
	text := strings.ToLower(r.Text)
	switch {
	case strings.Contains(text, "relay"):
		return true
	case r.Class() == 4:
		return false
	}
	return r.Enhanced() != "5.1.2" && r.Enhanced() != "5.1.10" && r.Code != 556
}
