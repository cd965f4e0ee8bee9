package dmarc

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// asciiName is a domain name as names are compared here: lower case, A-labels (RFC 5890 section 2.3). False for what is no
// domain name, such as an address or an address literal.
func asciiName(s string) (string, bool) {
	if strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		mapped, err := idna.Lookup.ToASCII(s)
		if err != nil {
			return "", false
		}
		s = mapped
	}
	s = strings.ToLower(s)
	if _, err := netip.ParseAddr(s); err == nil || len(s) > 253 { // an address by mapping is one, too
		return "", false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return "", false
		}
	}
	return s, true
}

// isLabel says whether s is a label of letters, digits, hyphens and underscores (RFC 1035 section 2.3.4: 1 to 63 octets).
func isLabel(s string) bool {
	const chars = "abcdefghijklmnopqrstuvwxyz0123456789-_"
	return s != "" && len(s) <= 63 && strings.Trim(s, chars) == ""
}

// isUnder says whether a name stands below another.
func isUnder(name, top string) bool { return strings.HasSuffix(name, "."+top) }
