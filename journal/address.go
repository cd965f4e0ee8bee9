package journal

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// addressKey is an address as it is looked for: in lower case, its domain in A-labels, without angle brackets.
func addressKey(address string) string {
	address = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(address), "<"), ">")
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return strings.ToLower(address)
	}
	return strings.ToLower(address[:at]) + "@" + domainName(address[at+1:])
}

// domainName is a domain in lower case and A-labels, without dots around it; a name that has no A-labels stays as it is.
func domainName(name string) string {
	name = strings.ToLower(strings.Trim(strings.TrimSpace(name), "."))
	for i := range len(name) {
		if name[i] >= 0x80 {
			if a, err := idna.Lookup.ToASCII(name); err == nil {
				return a
			}
			break
		}
	}
	return name
}

// domainOf is the domain of an address, "" where it has none.
func domainOf(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return address[i+1:]
	}
	return ""
}

// domainKey is a domain as it is looked for: its labels from the last to the first, each with a dot behind it, so that a domain
// and all below it stand side by side.
func domainKey(name string) string {
	name = domainName(name)
	if name == "" {
		return ""
	}
	labels := strings.Split(name, ".")
	slices.Reverse(labels)
	return strings.Join(labels, ".") + "."
}

// domainRange is where the keys of a domain and of all below it are: from lo on, and before hi.
func domainRange(name string) (lo, hi string) {
	lo = domainKey(name)
	return lo, strings.TrimSuffix(lo, ".") + "/" // "/" is the character behind "."
}

// clientKey is a client's address as it is looked for, in 16 octets; none where there is no address.
func clientKey(a netip.Addr) []byte {
	if !a.IsValid() {
		return []byte{}
	}
	b := a.As16()
	return b[:]
}

// clientRange is the first and the last key of a network; ok is false where it has none.
func clientRange(p netip.Prefix) (first, last []byte, ok bool) {
	if !p.IsValid() {
		return nil, nil, false
	}
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	first = clientKey(p.Masked().Addr())
	last = slices.Clone(first)
	for i := bits; i < 128; i++ {
		last[i/8] |= 1 << (7 - i%8)
	}
	return first, last, true
}

// plainRef is a ref as it is stored, from how a person may type it: in any case, with "O" for 0 and "I" or "L" for 1, as Crockford's
// base 32 has neither, in the brackets of a reply.
func plainRef(ref string) string {
	return strings.NewReplacer("O", "0", "I", "1", "L", "1", "-", "", " ", "", "[", "", "]", "").Replace(strings.ToUpper(ref))
}

// domainFromKey is the domain of a key.
func domainFromKey(key string) string {
	if key == "" {
		return ""
	}
	labels := strings.Split(strings.TrimSuffix(key, "."), ".")
	slices.Reverse(labels)
	return strings.Join(labels, ".")
}

// networkFromKey is the network of the first octets of a client's key: a /24 of IPv4, a /64 of IPv6; none of nothing.
func networkFromKey(key []byte) netip.Prefix {
	var b [16]byte
	copy(b[:], key)
	switch a := netip.AddrFrom16(b).Unmap(); {
	case len(key) == 0:
		return netip.Prefix{}
	case a.Is4():
		return netip.PrefixFrom(a, 24)
	default:
		return netip.PrefixFrom(a, 64)
	}
}
