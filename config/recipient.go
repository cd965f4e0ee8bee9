package config

import (
	"strings"

	"gatepost/policy"
)

// domains checks the overrides for some recipients.
func (r *reader) domains() {
	first := map[string]string{} // name in its one form -> path
	for i := range r.config.Domains {
		d := &r.config.Domains[i]
		d.Key = d.Name
		path := Path("domain", d.Key)
		if name, domain, ok := r.recipient(path, d.Name); ok {
			r.isOurs(path, domain)
			if known, twice := first[name]; twice {
				r.atKey(path, "is the same as %s%s", known, r.onLine(known))
			}
			d.Name, first[name] = name, path
		}
		for _, o := range d.Checks {
			r.override(path, o)
		}
	}
}

// recipient brings the name of a [domain."NAME"] into its one form and tells its domain.
func (r *reader) recipient(path, text string) (name, domain string, ok bool) {
	local, at := "", strings.LastIndexByte(text, '@')
	if at >= 0 {
		local = localPart(text[:at]) + "@"
	}
	domain, err := domainName(text[at+1:])
	switch {
	case strings.HasPrefix(text, "."):
		r.atKey(path, "begins with a dot: write %s, which holds for all below it as well", quote(text[1:]))
	case local == "@":
		r.atKey(path, "has nothing before the @: write %s for the whole domain", quote(text[1:]))
	case err != nil:
		r.atKey(path, "%v", err)
	default:
		return local + domain, domain, true
	}
	return "", "", false
}

// localPart is a local part in the form in which the policy compares it: whatever the case of its letters, and without quotes.
func localPart(text string) string { return strings.ToLower(policy.Unquoted(text)) }

// isOurs reports a domain whose mail no backend takes, so that its overrides could never count. One above a backend's
// domain is ours, since overrides hold for all below.
func (r *reader) isOurs(path, domain string) {
	for _, b := range r.config.Backends {
		for _, entry := range b.Domains {
			if covers(entry, domain) || covers("."+domain, strings.TrimPrefix(entry, ".")) {
				return
			}
		}
	}
	if !r.backendsBlamed() {
		r.atKey(path, "no backend lists %s, so its mail is refused and this never counts", quote(domain))
	}
}

// backendsBlamed reports whether a problem may have hidden some domain of a backend.
func (r *reader) backendsBlamed() bool {
	for path := range r.blamed {
		if path == "backend" || strings.HasPrefix(path, "backend.") {
			return true
		}
	}
	return false
}

// override checks one check's settings for some recipients.
func (r *reader) override(domain string, o Override) {
	path := under(domain+".check", o.Name)
	if !r.isKind(path, o.Name) {
		return
	}
	r.runs(path, o.Name)
	k, _ := r.kind(o.Name)
	r.outcomes(path+".on", k, o.On)
}
