package resolver

import (
	"context"
	"net"
	"net/netip"
)

// maxSPF is how many MX records and names of an address go/spf is given. It refuses more than ten (RFC 7208 section
// 4.6.4), so it must see that there are more.
const maxSPF = 20

// SPF is a Resolver as go/spf wants it.
type SPF struct {
	r      *Resolver
	client netip.Addr
}

// SPF adapts r to blitiri.com.ar/go/spf (its DNSResolver): at most 20 MX and PTR names are given, and for an IPv4 client
// address look-ups ask for A records only. For an IPv6 client they ask for A records too, since "exists" wants these
// whatever the client is (RFC 7208 section 5.7). Its methods are those of net.Resolver.
func (r *Resolver) SPF(client netip.Addr) *SPF { return &SPF{r, client.Unmap()} }

// LookupTXT gives the TXT records of a name.
func (s *SPF) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return s.r.TXT(ctx, name)
}

// LookupMX gives the MX records of a name.
func (s *SPF) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	got, err := s.r.MX(ctx, name)
	if err != nil {
		return nil, err
	}
	var mxs []*net.MX
	for _, mx := range got[:min(len(got), maxSPF)] {
		mxs = append(mxs, &net.MX{Host: mx.Host, Pref: mx.Pref})
	}
	return mxs, nil
}

// LookupIPAddr gives the addresses of a host.
func (s *SPF) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	addrs, err := s.addrs(ctx, host)
	if err != nil {
		return nil, err
	}
	ips := make([]net.IPAddr, 0, len(addrs))
	for _, a := range addrs {
		ips = append(ips, net.IPAddr{IP: a.AsSlice()})
	}
	return ips, nil
}

// addrs asks as the client's family wants it. Other than for Addrs, one family's failure is the whole's: without it, mail
// could be refused for a mechanism that would have matched.
func (s *SPF) addrs(ctx context.Context, host string) ([]netip.Addr, error) {
	if s.client.Is4() {
		return s.r.Addrs(ctx, host, IPv4)
	}
	v4, err4, v6, err6 := s.r.families(ctx, host)
	if err := worse(err4, err6); isTemporary(err) || len(v4)+len(v6) == 0 {
		return nil, err
	}
	return append(v6[:len(v6):len(v6)], v4...), nil
}

// LookupAddr gives the names of an address.
func (s *SPF) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, notFound(addr, "no address")
	}
	return s.r.PTR(ctx, a)
}
