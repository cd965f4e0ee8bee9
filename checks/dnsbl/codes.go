package dnsbl

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Codes is a range of answers of a list, both ends included, within 127.0.0.0/8 (RFC 5782 section 2.1).
type Codes struct{ First, Last netip.Addr }

// UnmarshalText reads "127.0.0.2" or "127.0.0.2-127.0.0.11".
func (c *Codes) UnmarshalText(text []byte) error {
	first, last, isRange := strings.Cut(string(text), "-")
	if !isRange {
		last = first
	}
	f, err1 := netip.ParseAddr(first)
	l, err2 := netip.ParseAddr(last)
	switch {
	case err1 != nil || err2 != nil || !isCode(f) || !isCode(l):
		return fmt.Errorf(`%.60q is no answer of a list: write one as "127.0.0.2", several as "127.0.0.2-127.0.0.11"`, text)
	case l.Less(f):
		return fmt.Errorf(`%q runs backwards; did you mean "%v-%v"?`, text, l, f)
	case isRefusal(f) || isRefusal(l):
		return errors.New("127.255.255.0/24 is how a list refuses a query: it is never a listing")
	}
	c.First, c.Last = f, l
	return nil
}

// MarshalText is the text that UnmarshalText reads.
func (c Codes) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String is the range as it is written in the config.
func (c Codes) String() string {
	if c.First == c.Last {
		return c.First.String()
	}
	return c.First.String() + "-" + c.Last.String()
}

// Contains says whether a is in the range.
func (c Codes) Contains(a netip.Addr) bool {
	return a.Is4() && !a.Less(c.First) && !c.Last.Less(a)
}

// isCode says whether an address is an answer of a list at all (RFC 5782 section 2.1).
func isCode(a netip.Addr) bool { return a.Is4() && a.As4()[0] == 127 }

// isRefusal says whether an answer means that the list would not answer: a public resolver, over a limit, a wrong key.
func isRefusal(a netip.Addr) bool {
	b := a.As4()
	return b[0] == 127 && b[1] == 255 && b[2] == 255
}

// isOldRefusal says the same of answers that some lists (SURBL and URIBL; DNSWL) refuse with and others may list with.
func isOldRefusal(a netip.Addr) bool {
	b := a.As4()
	return b[0] == 127 && b[1] == 0 && b[2] == 0 && (b[3] == 1 || b[3] == 255)
}

// reading is what the addresses of an answer say.
type reading struct {
	hits    []netip.Addr // listings
	other   []netip.Addr // in 127.0.0.0/8, not among the codes
	refusal netip.Addr   // the list would not answer; valid where it said so
	foreign netip.Addr   // outside 127.0.0.0/8; valid where there was one
}

// read reads the addresses of an answer; with no codes each one in 127.0.0.0/8 is a listing.
func read(addrs []netip.Addr, codes []Codes) reading {
	var r reading
	for _, a := range addrs {
		named := slices.ContainsFunc(codes, func(c Codes) bool { return c.Contains(a) })
		switch {
		case !isCode(a):
			r.foreign = a
		case isRefusal(a) || !named && isOldRefusal(a):
			r.refusal = a
		case named || len(codes) == 0:
			r.hits = append(r.hits, a)
		default:
			r.other = append(r.other, a)
		}
	}
	slices.SortFunc(r.hits, netip.Addr.Compare) // servers rotate them; evidence is the same at every run
	slices.SortFunc(r.other, netip.Addr.Compare)
	return r
}
