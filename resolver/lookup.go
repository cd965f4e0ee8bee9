package resolver

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// maxPTR is how many names of an address count; RFC 7208 section 4.6.4 looks at no more either.
const maxPTR = 10

// TXT gives the TXT records of a name, the strings of each joined without a space (RFC 7208 section 3.3). Their bytes are
// as they came, control bytes included.
func (r *Resolver) TXT(ctx context.Context, name string) ([]string, error) {
	a, err := r.lookup(ctx, name, dns.TypeTXT)
	if err != nil {
		return nil, err
	}
	return slices.Clone(a.txts), nil
}

// Family says which addresses are wanted.
type Family uint8

// The families.
const (
	Both Family = iota
	IPv4
	IPv6
)

// FamilyOf is that of an address, which is no IPv4-mapped one.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// Addrs gives the addresses of a name: A, AAAA or both, in one list; a family that fails while the other is there is passed over.
func (r *Resolver) Addrs(ctx context.Context, name string, f Family) ([]netip.Addr, error) {
	switch f {
	case IPv4:
		return r.family(ctx, name, dns.TypeA)
	case IPv6:
		return r.family(ctx, name, dns.TypeAAAA)
	}
	v4, err4, v6, err6 := r.families(ctx, name)
	if len(v4)+len(v6) > 0 {
		return slices.Concat(v4, v6), nil
	}
	return nil, worse(err4, err6)
}

func (r *Resolver) family(ctx context.Context, name string, qtype uint16) ([]netip.Addr, error) {
	a, err := r.lookup(ctx, name, qtype)
	if err != nil {
		return nil, err
	}
	return slices.Clone(a.addrs), nil
}

// families asks for A and AAAA at the same time. What it gives belongs to the cache.
func (r *Resolver) families(ctx context.Context, name string) (v4 []netip.Addr, err4 error, v6 []netip.Addr, err6 error) {
	p4, p6 := r.begin(ctx, name, dns.TypeA, orStale), r.begin(ctx, name, dns.TypeAAAA, orStale)
	a4, err4 := r.records(ctx, p4)
	a6, err6 := r.records(ctx, p6)
	if err4 == nil {
		v4 = a4.addrs
	}
	if err6 == nil {
		v6 = a6.addrs
	}
	return v4, err4, v6, err6
}

// MX is one MX record. A null MX (RFC 7505) has the Host "".
type MX struct {
	Host string // lower case, without the final dot
	Pref uint16
}

// MX gives the MX records of a name by preference. A host with bytes that no host name has is left out.
func (r *Resolver) MX(ctx context.Context, name string) ([]MX, error) {
	a, err := r.lookup(ctx, name, dns.TypeMX)
	if err != nil {
		return nil, err
	}
	return slices.Clone(a.mxs), nil
}

// PTR gives the names of an address: lower case, without the final dot, at most 10 of them. A name with bytes that no host
// name has is left out.
func (r *Resolver) PTR(ctx context.Context, a netip.Addr) ([]string, error) {
	arpa, err := dns.ReverseAddr(a.Unmap().WithZone("").String())
	if err != nil {
		return nil, notFound("", "no address")
	}
	got, err := r.lookup(ctx, strings.TrimSuffix(arpa, "."), dns.TypePTR)
	if err != nil {
		return nil, err
	}
	return slices.Clone(got.hosts), nil
}

// Exists says whether a name exists at all: it has records of some type, or names below it (RFC 8020). The error is only ever a temporary one.
func (r *Resolver) Exists(ctx context.Context, name string) (bool, error) {
	a, err := r.await(ctx, r.begin(ctx, name, dns.TypeA, orStale))
	if err != nil {
		return false, err
	}
	return a.exists, nil
}

// Listing asks a block list for a name: its A records, and its TXT records, joined by a space, where there are A records
// and the TXT query did not fail. Not being listed is no error but an empty list. Answers past their TTL are never served.
func (r *Resolver) Listing(ctx context.Context, name string) ([]netip.Addr, string, error) {
	a, err := r.await(ctx, r.begin(ctx, name, dns.TypeA, onlyFresh))
	if err != nil || len(a.addrs) == 0 {
		return nil, "", err
	}
	text := ""
	if t, err := r.await(ctx, r.begin(ctx, name, dns.TypeTXT, onlyFresh)); err == nil {
		text = strings.Join(t.txts, " ")
	}
	return slices.Clone(a.addrs), text, nil
}
