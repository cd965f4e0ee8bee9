package helo

import (
	"net/netip"
	"strings"
)

// canonical is a name in the form in which names are compared: lower case, without a final dot.
func canonical(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// address reads an address in lower case: bare, or in brackets (RFC 5321 section 4.1.3), where an IPv6 one may lack its tag.
func address(name string) (a netip.Addr, bracketed, ok bool) {
	if inner, found := strings.CutPrefix(name, "["); found && strings.HasSuffix(inner, "]") {
		name, bracketed = strings.TrimPrefix(strings.TrimSuffix(inner, "]"), "ipv6:"), true
	}
	a, err := netip.ParseAddr(name)
	return a.Unmap(), bracketed, err == nil
}

// isLocalName says whether every host takes a name for itself (RFC 6761 section 6.3), or ships with it.
func isLocalName(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || name == "localhost.localdomain"
}

// isHostName says whether a name in lower case is a host name (RFC 1123 section 2.1). One in UTF-8 is left to the look-up.
func isHostName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' { // RFC 1035 section 2.3.4
			return false
		}
		for _, c := range []byte(label) {
			if c < 0x80 && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return false
			}
		}
	}
	return len(name) <= 253
}
