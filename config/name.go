package config

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// domainName is a domain in the form in which domains are compared: lower case, A-labels, without a final dot.
func domainName(text string) (string, error) {
	if _, err := netip.ParseAddr(text); err == nil {
		return "", fmt.Errorf("%s is an address where a domain name is due", quote(text))
	}
	profile := idna.New(
		idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), // as RFC 5891 section 5 has a lookup
		idna.StrictDomainName(true), idna.VerifyDNSLength(true))
	name, err := profile.ToASCII(strings.TrimSuffix(text, "."))
	switch {
	case text == "":
		return "", fmt.Errorf("is empty where a domain name is due")
	case strings.HasPrefix(text, "*."):
		return "", fmt.Errorf("%s is no domain name; did you mean %s, the domain and all below it?", quote(text), quote(text[1:]))
	case strings.Contains(text, "@"):
		return "", fmt.Errorf("%s is a mail address where a domain name is due; did you mean %s?",
			quote(text), quote(text[strings.LastIndex(text, "@")+1:]))
	case err != nil:
		return "", fmt.Errorf("%s is no domain name: each part between its dots is 1 to 63 letters, digits or inner hyphens", quote(text))
	}
	return name, nil
}

// recipientDomain is [domainName] with an optional leading dot, which means the domain and all below it.
func recipientDomain(text string) (string, error) {
	if rest, ok := strings.CutPrefix(text, "."); ok {
		name, err := domainName(rest)
		return "." + name, err
	}
	return domainName(text)
}

// covers reports whether a backend's entry, with or without leading dot, takes the domain.
func covers(entry, domain string) bool {
	if rest, ok := strings.CutPrefix(entry, "."); ok {
		return domain == rest || strings.HasSuffix(domain, entry)
	}
	return domain == entry
}
