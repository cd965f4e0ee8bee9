package config

import (
	"fmt"
	"strconv"
	"strings"
)

// backends checks each backend and that no domain has two.
func (r *reader) backends() {
	c := r.config
	if len(c.Backends) == 0 {
		r.at("backend", `is missing: write a [backend.main] with the address of the mail server behind and its domains`)
	}
	first := map[string]string{} // domain without leading dot -> path
	for i := range c.Backends {
		b := &c.Backends[i]
		path := Path("backend", b.Name)
		r.plainName(path, b.Name)
		r.backendAddresses(path+".address", b)
		r.backendDomains(path, b, first)
		r.backendTLS(path, b)
	}
}

func (r *reader) backendAddresses(path string, b *Backend) {
	if len(b.Address) == 0 {
		r.at(path, `is missing: write where the mail server listens, such as address = ["127.0.0.1:10026"]`)
	}
	for i, a := range b.Address {
		if err := backendAddress(a); err != nil {
			r.at(element(path, i), "%v", err)
		}
	}
}

func backendAddress(text string) error {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf(`%s is no path from the root, such as "unix:/run/mail.sock"`, quote(text))
		}
		return nil
	}
	host, err := hostPort(text, "25")
	switch {
	case err != nil:
		return err
	case host == "":
		return fmt.Errorf("%s names no host; did you mean %s?", quote(text), quote("127.0.0.1"+text))
	case strings.HasSuffix(text, ":0"):
		return fmt.Errorf("%s names port 0, where nothing can listen", quote(text))
	}
	return nil
}

// backendDomains brings the domains into one form. One domain may stand in a backend with and without its dot, but never
// in two backends: mail would go to either.
func (r *reader) backendDomains(path string, b *Backend, first map[string]string) {
	if len(b.Domains) == 0 {
		r.at(path+".domains", `is missing: write the recipient domains that this server takes, such as domains = ["example.com"]; all others are refused`)
	}
	for i, text := range b.Domains {
		at := element(path+".domains", i)
		name, err := recipientDomain(text)
		if err != nil {
			r.at(at, "%v", err)
			continue
		}
		b.Domains[i] = name
		bare := strings.TrimPrefix(name, ".")
		known, ok := first[bare]
		switch {
		case ok && parent(parent(known)) != path:
			r.at(at, "%s is already taken by %s%s; a domain has one backend", quote(name), parent(parent(known)), r.onLine(known))
		case ok && r.listedBefore(b, i):
			r.at(at, "%s is listed twice", quote(name))
		case !ok:
			first[bare] = at
		}
	}
}

func (r *reader) listedBefore(b *Backend, i int) bool {
	for _, d := range b.Domains[:i] {
		if d == b.Domains[i] {
			return true
		}
	}
	return false
}

// backendTLS settles TLS towards the backend: none where the wire does not leave this machine, else as far as it is offered.
func (r *reader) backendTLS(path string, b *Backend) {
	if b.TLS == "" {
		b.TLS = "none"
		if !staysHere(b.Address) {
			b.TLS = "opportunistic"
		}
	}
	written := r.where.has(path + ".tls_verify")
	switch {
	case !written:
		b.TLSVerify = b.TLS == "required"
	case b.TLSVerify && b.TLS != "required":
		r.at(path+".tls_verify", `true needs tls = "required": with %s, mail would go out in the clear where the certificate is wrong`, quote(b.TLS))
	}
	if b.TLSName == "" {
		return
	}
	if name, err := domainName(b.TLSName); err != nil {
		r.at(path+".tls_name", "%v", err)
	} else {
		b.TLSName = name
	}
}

// staysHere reports whether no address leaves this machine.
func staysHere(addresses []string) bool {
	for _, a := range addresses {
		host, err := hostPort(a, "25")
		if !strings.HasPrefix(a, "unix:") && (err != nil || !isLoopback(host)) {
			return false
		}
	}
	return true
}

// onLine is ` on line 7` for a path that the file holds.
func (b *binder) onLine(path string) string {
	if line, _ := b.where.value(path); line > 0 {
		return " on line " + strconv.Itoa(line)
	}
	return ""
}
