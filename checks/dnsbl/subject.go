package dnsbl

import (
	"net/netip"
	"strconv"
	"strings"

	"gatepost/policy"
)

// subject is something that lists are asked about.
type subject struct {
	what  string // client, helo, sender or author
	text  string // as people read it
	query string // what stands before the zone in a question
}

// client is the client's address, unless it is one that no list can know.
func client(v policy.View) []subject {
	a := v.Client.Unmap()
	if !isPublic(a) {
		return nil
	}
	return []subject{{"client", a.String(), reverse(a)}}
}

// names are the domains of HELO and of the reverse-path; a domain that is both is there twice.
func names(v policy.View) []subject {
	var all []subject
	if d := domain(v.Helo); d != "" {
		all = append(all, subject{"helo", d, d})
	}
	if d := domain(v.Sender.Domain); d != "" {
		all = append(all, subject{"sender", d, d})
	}
	return all
}

// author is the domain of the author.
func author(v policy.View) []subject {
	if v.Message == nil || domain(v.Message.FromDomain) == "" {
		return nil
	}
	d := domain(v.Message.FromDomain)
	return []subject{{"author", d, d}}
}

// domain is a name in lower case; "" where it is no domain name with a dot in it, as an address or a literal is none.
func domain(name string) string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if _, err := netip.ParseAddr(name); err == nil || !strings.Contains(name, ".") || !isZoneName(name) {
		return ""
	}
	return name
}

// isPublic says whether an address is one that means the same host everywhere.
func isPublic(a netip.Addr) bool {
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10) // RFC 6598
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// reverse is an address as lists want it: octets from the last (RFC 5782 section 2.1), or nibbles from the last (section 2.4).
func reverse(a netip.Addr) string {
	octets := a.AsSlice()
	b := make([]byte, 0, 64)
	for i := len(octets) - 1; i >= 0; i-- {
		if a.Is4() {
			b = append(strconv.AppendUint(b, uint64(octets[i]), 10), '.')
		} else {
			const hex = "0123456789abcdef"
			b = append(b, hex[octets[i]&15], '.', hex[octets[i]>>4], '.')
		}
	}
	return string(b[:len(b)-1])
}
