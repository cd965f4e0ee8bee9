package proxy

import (
	"strings"
	"unicode/utf8"

	"gatepost/policy"
	"gatepost/proxy/backend"
	"gatepost/proxy/smtp"
	"gatepost/resolver/idn"
)

// Routes say which backend has which recipient domain. A domain that stands here nowhere is not relayed to.
type Routes struct {
	backends []*backend.Backend // in the order of the config; the first has <postmaster>
	exact    map[string]*backend.Backend
	below    map[string]*backend.Backend // ".example.net": all that ends so
}

// NewRoutes makes empty Routes.
func NewRoutes() *Routes {
	return &Routes{exact: map[string]*backend.Backend{}, below: map[string]*backend.Backend{}}
}

// Add gives a backend its domains: lower case, A-labels; with a leading dot the domain itself and all below it.
func (r *Routes) Add(b *backend.Backend, domains ...string) {
	r.backends = append(r.backends, b)
	for _, d := range domains {
		if rest, ok := strings.CutPrefix(d, "."); ok {
			r.below[d] = b
			d = rest
		}
		r.exact[d] = b
	}
}

// Backends are all that were added, in order.
func (r *Routes) Backends() []*backend.Backend { return r.backends }

// backend is the one that has a domain; nil where none has.
func (r *Routes) backend(domain string) *backend.Backend {
	if b, ok := r.exact[domain]; ok {
		return b
	}
	for i := strings.IndexByte(domain, '.'); i >= 0; i = strings.IndexByte(domain, '.') {
		if b, ok := r.below[domain[i:]]; ok {
			return b
		}
		domain = domain[i+1:]
	}
	return nil
}

var (
	replyRelay  = smtp.Reply{Code: 550, Text: "5.7.1 Relaying denied: no mail for this domain is taken here"}
	replyDetour = smtp.Reply{Code: 550, Text: "5.7.1 Relaying denied: %, ! and @ in a local part ask for a detour"}
	replyDomain = smtp.Reply{Code: 501, Text: "5.1.3 The recipient's domain is not a valid name"}
)

// route finds the backend for a recipient, or the reply that refuses it: never an open relay, however the address is
// spelled.
func (r *Routes) route(to smtp.Address) (*backend.Backend, policy.Mailbox, error) {
	box := policy.Mailbox{Local: to.Unquoted()}
	if to.Domain == "" { // <postmaster>, RFC 5321 section 4.5.1
		return r.backends[0], box, nil
	}
	domain, ok := canonicalDomain(to.Domain)
	if !ok {
		return nil, box, replyDomain
	}
	box.Domain = domain
	b := r.backend(domain)
	if b == nil {
		return nil, box, replyRelay
	}
	if strings.ContainsAny(box.Local, "%!@") {
		return nil, box, replyDetour
	}
	return b, box, nil
}

// canonicalDomain is the domain in lower case and A-labels; false for what is no domain name. A name that becomes an
// address by mapping is none.
func canonicalDomain(s string) (string, bool) {
	if strings.HasPrefix(s, "[") {
		return s, true
	}
	if strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return strings.ToLower(s), true
	}
	return idn.Canonical(s)
}

// mailbox is an address for the policy; a domain that is no valid name stays as it was written: lowered, some would turn into another name.
func mailbox(a smtp.Address) policy.Mailbox {
	d, ok := canonicalDomain(a.Domain)
	if !ok {
		d = a.Domain
	}
	return policy.Mailbox{Local: a.Unquoted(), Domain: d}
}
