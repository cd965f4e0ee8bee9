package config

import (
	"net/mail"
	"slices"
	"strings"
	"time"

	"gatepost/policy"
)

// reader builds one Config from a decoded file: it binds the tables, then each section settles the defaults that depend
// on another and checks what its types cannot say.
type reader struct {
	*binder
	config  *Config
	kinds   []policy.Kind
	machine func() (string, error) // the machine's own name
}

// build is the finished config, or [Problems].
func (r *reader) build(tree map[string]any) (*Config, error) {
	var tables struct {
		Check map[string]any `toml:"check"`
	}
	r.table("", tree, r.config, &tables)
	r.hostname()
	r.certificate()
	r.listeners()
	r.backends()
	r.policy()
	r.checks(tables.Check)
	r.domains()
	r.rules()
	r.early()
	r.limits()
	r.dns()
	r.journal()
	r.admin()
	if len(r.problems) > 0 {
		return nil, r.problems.sorted()
	}
	r.config.File, r.config.where = r.file, r.where
	return r.config, nil
}

// hostname settles the name under which we greet.
func (r *reader) hostname() {
	if r.config.Hostname == "" && !r.where.has("hostname") {
		name, err := r.machine()
		if err != nil || !strings.Contains(name, ".") {
			r.at("hostname", "is missing, and this machine's own name (%s) has no domain: write hostname = \"mx.example.com\", "+
				"the name to which the address of this server resolves", quote(name))
			return
		}
		r.config.Hostname = name
	}
	name, err := domainName(r.config.Hostname)
	switch {
	case err != nil:
		r.at("hostname", "%v", err)
	case !strings.Contains(name, "."): // RFC 5321 section 2.3.5: only resolvable, fully qualified names.
		r.at("hostname", "%s is not fully qualified: write it with its domain, such as %q", quote(name), name+".example.com")
	}
	r.config.Hostname = name
}

// certificate takes a [tls] with both files or with none.
func (r *reader) certificate() {
	t := r.config.TLS
	switch {
	case t == nil:
	case t.Certificate == "" && t.Key == "":
		r.config.TLS = nil
	case t.Certificate == "":
		r.at("tls.certificate", "is missing: a key needs its certificate")
	case t.Key == "":
		r.at("tls.key", "is missing: a certificate needs its key")
	}
}

// policy settles which checks run, and the contact.
func (r *reader) policy() {
	p := &r.config.Policy
	if p.Checks == nil && !r.where.has("policy.checks") {
		p.Checks = r.kindNames()
	}
	first := map[string]bool{}
	for i, name := range p.Checks {
		path := element("policy.checks", i)
		switch _, ok := r.kind(name); {
		case !ok:
			r.at(path, "%v", NoWord(name, "check", r.kindNames()))
		case first[name]:
			r.at(path, "%s is listed twice; a check runs once", quote(name))
		}
		first[name] = true
	}
	r.contact(p)
}

// contact settles the address that stands in every refusal.
func (r *reader) contact(p *Policy) {
	if p.Contact == "" && !r.where.has("policy.contact") {
		p.Contact = postmaster(r.config.Backends)
		return
	}
	if a, err := mail.ParseAddress(p.Contact); err != nil || a.Address != p.Contact || !isPrintable(p.Contact) {
		r.at("policy.contact", "%s is no plain mail address, such as \"postmaster@example.com\"", quote(p.Contact))
	}
}

// postmaster is an address to which we let mail through: at the first domain of the first backend, one without a dot before it if there is
// such. RFC 5321 section 4.5.1: there is always a postmaster.
func postmaster(backends []Backend) string {
	if len(backends) == 0 || len(backends[0].Domains) == 0 {
		return "" // which is a problem of its own
	}
	domains := backends[0].Domains
	i := max(0, slices.IndexFunc(domains, func(d string) bool { return !strings.HasPrefix(d, ".") }))
	return "postmaster@" + strings.TrimPrefix(domains[i], ".")
}

// isPrintable reports whether a reply line can carry the text as it is.
func isPrintable(text string) bool {
	return strings.IndexFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}

// minJournal is the smallest journal.max_size, in octets: a file with its log of changes takes some.
const minJournal = 64e6

// journal bounds how long and how much is kept.
func (r *reader) journal() {
	j := &r.config.Journal
	if j.Keep < 24*time.Hour {
		r.at("journal.keep", "%s is too short: the journal drops whole days, so at least \"1d\"", span(int64(j.Keep)))
	}
	if j.MaxSize < minJournal {
		r.at("journal.max_size", "%s is too small: at least %q", inUnits(j.MaxSize, sizeUnits()), inUnits(minJournal, sizeUnits()))
	}
	if j.Personal == "hash" && j.Dir == "" {
		r.at("journal.personal", "\"hash\" wants a journal.dir, where the key of the hashes is kept")
	}
}

// admin takes a loopback address or none: the page has no password yet.
func (r *reader) admin() {
	a := r.config.Admin.Address
	if a == "" {
		return
	}
	host, err := hostPort(a, "9625")
	switch {
	case err != nil:
		r.at("admin.address", "%v", err)
	case !isLoopback(host):
		r.at("admin.address", "%s is open to others: write a loopback address such as \"127.0.0.1:9625\", or \"\" for none", quote(a))
	}
}
