// Package idn knows what a domain name in mail is.
package idn

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// RFC 1035 section 2.3.4, in octets. No octet of an A-label stands for more than four in UTF-8, so a name that is given longer than
// that is none, and is not mapped to A-labels: this takes quadratic time.
const (
	maxName       = 253
	maxLabel      = 63
	maxGiven      = 4 * maxName
	maxGivenLabel = 4 * maxLabel
)

// Canonical is a domain name that stands in mail, as names are compared: lower case, A-labels (RFC 5890 section 2.3). False for what is no
// domain name, such as an address, an address literal or a name that ends in a dot. Whoever wrote s, it costs little.
func Canonical(s string) (string, bool) {
	if strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		if !mayBeMapped(s) {
			return "", false
		}
		mapped, err := idna.Lookup.ToASCII(s) // first: lower case turns some letters into others
		if err != nil {
			return "", false
		}
		s = mapped
	}
	s = strings.ToLower(s)
	if _, err := netip.ParseAddr(s); err == nil || len(s) > maxName { // an address by mapping is one, too
		return "", false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return "", false
		}
	}
	return s, true
}

// mayBeMapped says whether s is text that is short enough to be mapped.
func mayBeMapped(s string) bool {
	if len(s) > maxGiven || !utf8.ValidString(s) { // the library takes stray octets for a letter
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if len(label) > maxGivenLabel {
			return false
		}
	}
	return true
}

// isLabel says whether s is a label of letters, digits, hyphens and underscores (RFC 1035 section 2.3.4: 1 to 63 octets).
func isLabel(s string) bool {
	const chars = "abcdefghijklmnopqrstuvwxyz0123456789-_"
	return s != "" && len(s) <= maxLabel && strings.Trim(s, chars) == ""
}
