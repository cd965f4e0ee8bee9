package smtp

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// The limits of RFC 5321 section 4.5.3.1, in octets.
const (
	maxLocal  = 64
	maxDomain = 255
	maxPath   = 256 // with the brackets and a source route; it leaves a domain less than its own limit
	maxLabel  = 63  // RFC 1035 section 2.3.4
)

// Address is a mailbox as it stands in a path (RFC 5321 section 4.1.2, RFC 6531 section 3.3). The zero Address is the
// null reverse-path "<>".
type Address struct {
	Local  string // as written, quotes and backslashes included; "" only for the null path
	Domain string // as written; an address literal keeps its brackets; "" for the null path and for <postmaster>
}

// String is local@domain, fit to be put between "<" and ">".
func (a Address) String() string {
	if a.Domain == "" {
		return a.Local
	}
	return a.Local + "@" + a.Domain
}

// IsNull says whether this is the null reverse-path.
func (a Address) IsNull() bool { return a == Address{} }

// IsLiteral says whether the domain is an address literal such as [192.0.2.1].
func (a Address) IsLiteral() bool { return strings.HasPrefix(a.Domain, "[") }

// NeedsUTF8 says whether a byte over 127 stands in the address.
func (a Address) NeedsUTF8() bool { return !isASCII(a.Local) || !isASCII(a.Domain) }

// Unquoted is the local part without quoting: "a b"@x and a@x give `a b` and `a`.
func (a Address) Unquoted() string {
	if len(a.Local) < 2 || a.Local[0] != '"' {
		return a.Local
	}
	quoted := a.Local[1 : len(a.Local)-1]
	if strings.IndexByte(quoted, '\\') < 0 {
		return quoted
	}
	plain := make([]byte, 0, len(quoted))
	for i := 0; i < len(quoted); i++ {
		if quoted[i] == '\\' && i+1 < len(quoted) {
			i++
		}
		plain = append(plain, quoted[i])
	}
	return string(plain)
}

// append adds the address to dst.
func (a Address) append(dst []byte) []byte {
	dst = append(dst, a.Local...)
	if a.Domain == "" {
		return dst
	}
	dst = append(dst, '@')
	return append(dst, a.Domain...)
}

// parsePath reads the path at the start of b, which begins with "<": n octets, brackets included. A mailbox without a
// domain is let pass; the caller knows where one may stand. Bytes over 127 are taken as letters (RFC 6531 section 3.3).
func parsePath(b []byte) (a Address, n int, ok bool) {
	if len(b) > 1 && b[1] == '>' {
		return Address{}, len("<>"), true
	}
	at := 1
	route := routeLen(b[at:])
	at += route
	local := localLen(b[at:])
	domain := 0
	if end := at + local; end < len(b) && b[end] == '@' {
		domain = domainLen(b[end+1:])
		n = end + 1 + domain + 1
		ok = domain > 0
	} else {
		n = end + 1
		ok = route == 0 // RFC 5321 section 4.1.2: a route leads to a whole mailbox
	}
	if !ok || local == 0 || local > maxLocal || n > maxPath || n > len(b) || b[n-1] != '>' {
		return Address{}, 0, false
	}
	a = splitMailbox(string(b[at:n-1]), local)
	return a, n, !a.IsLiteral() || isLiteral(a.Domain)
}

// splitMailbox parts s, which is a mailbox whose local part has the given length.
func splitMailbox(s string, local int) Address {
	if local == len(s) {
		return Address{Local: s}
	}
	return Address{Local: s[:local], Domain: s[local+1:]}
}

// routeLen is the length of the source route "@a,@b:" at the start of b; 0 for none (RFC 5321 section 4.1.2, A-d-l).
func routeLen(b []byte) int {
	for i := 0; i < len(b) && b[i] == '@'; {
		n := nameLen(b[i+1:])
		i += 1 + n
		if n == 0 || i == len(b) {
			return 0
		}
		i++
		if b[i-1] == ':' {
			return i
		}
		if b[i-1] != ',' {
			return 0
		}
	}
	return 0
}

// localLen is the length of the local part at the start of b; 0 for none.
func localLen(b []byte) int {
	if len(b) > 0 && b[0] == '"' {
		return quotedLen(b)
	}
	return dotStringLen(b)
}

// dotStringLen is the length of the Dot-string (RFC 5321 section 4.1.2) at the start of b; 0 for none. Dots may stand anywhere in it: there are
// mailboxes such as a..b and a. that were given out so.
func dotStringLen(b []byte) int {
	for i, c := range b {
		if !isAtext(c) && c != '.' {
			return i
		}
	}
	return 0 // a path has an end
}

// quotedLen is the length of the Quoted-string (RFC 5321 section 4.1.2) at the start of b, quotes included; 0 where it is broken.
func quotedLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			i++ // quoted-pairSMTP: a backslash and a printable ASCII character
			if i == len(b) || b[i] < ' ' || b[i] > '~' {
				return 0
			}
		case c < ' ' || c == 0x7f:
			return 0
		}
	}
	return 0
}

// domainLen is the length of the domain or address literal at the start of b; 0 for none. What is in the
// brackets is not checked.
func domainLen(b []byte) int {
	if len(b) == 0 || b[0] != '[' {
		return nameLen(b)
	}
	for i, c := range b {
		if c == ']' {
			return i + 1
		}
	}
	return 0
}

// nameLen is the length of the domain name at the start of b; 0 where a label is empty, too long, or has a hyphen at an
// edge (RFC 5321 section 4.1.2, sub-domain). Underscores pass, since real hosts have them.
func nameLen(b []byte) int {
	start, end := 0, 0
	for end < len(b) && (isLabelByte(b[end]) || b[end] == '.') {
		if b[end] == '.' {
			if !isLabel(b[start:end]) {
				return 0
			}
			start = end + 1
		}
		end++
	}
	if !isLabel(b[start:end]) {
		return 0
	}
	return end
}

// isLabel says whether b, which holds the bytes of labels alone, is one. A label that is not ASCII is measured in its
// other form by those who make it.
func isLabel(b []byte) bool {
	if len(b) == 0 || b[0] == '-' || b[len(b)-1] == '-' {
		return false
	}
	return len(b) <= maxLabel || !isASCII(b)
}

func isLabelByte(c byte) bool { return isAlnum(c) || c == '-' || c == '_' || c >= utf8.RuneSelf }

// isAtext is atext of RFC 5322 section 3.2.3 with the bytes over 127 of RFC 6531 section 3.3.
func isAtext(c byte) bool {
	return isAlnum(c) || c >= utf8.RuneSelf || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// isLiteral says whether s is [IPv4] or [IPv6:IPv6] (RFC 5321 section 4.1.3); other tags name nothing that can be reached.
func isLiteral(s string) bool {
	inner, ok := bracketed(s)
	if !ok {
		return false
	}
	const tag = "IPv6:"
	if len(inner) > len(tag) && strings.EqualFold(inner[:len(tag)], tag) {
		a, err := netip.ParseAddr(inner[len(tag):])
		return err == nil && a.Is6() && a.Zone() == ""
	}
	a, err := netip.ParseAddr(inner)
	return err == nil && a.Is4()
}

// bracketed is what stands between "[" and "]".
func bracketed(s string) (inner string, ok bool) {
	if len(s) < 2 || s[0] != '[' || s[len(s)-1] != ']' {
		return "", false
	}
	return s[1 : len(s)-1], true
}
