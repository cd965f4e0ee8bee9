// Package resolver asks the DNS: queries with a cache in front, under bounds that a stranger can't move, and with one
// contract of errors.
//
// Every error is a bare *net.DNSError, never wrapped: IsNotFound for NXDOMAIN and for a name without the type asked for,
// IsTimeout or IsTemporary for everything that may be different later (SERVFAIL, no answer, a broken answer, an ended
// context, too many queries). The mail libraries take any other error for a permanent one.
package resolver

import (
	"context"
	"net/netip"
	"time"
)

// Settings are those of [dns]. Zero fields take the defaults.
type Settings struct {
	Servers  []string      // "192.0.2.53", "192.0.2.53:5353" or "[2001:db8::53]:53", tried in order; empty: those of /etc/resolv.conf
	Timeout  time.Duration // of one query with its retries; default 3 s
	Cache    int           // answers kept; default 50,000
	InFlight int           // queries on the wire at once, over all sessions; default 512
	MaxTTL   time.Duration // an answer is kept no longer; default 1 h
	Stale    time.Duration // how long past its TTL an answer serves while the servers fail (RFC 8767); default 30 s; never for Listing
}

// Resolver asks the DNS. It is safe for concurrent use.
type Resolver struct{}

// New makes a Resolver. Nothing is asked. The error says what is wrong with a server's address or with /etc/resolv.conf.
func New(s Settings) (*Resolver, error) { panic("todo") }

// TXT gives the TXT records of a name, the strings of each joined without a space (RFC 7208 section 3.3).
func (r *Resolver) TXT(ctx context.Context, name string) ([]string, error) { panic("todo") }

// Addrs gives the addresses of a name: A, AAAA or both, in one list; a family that fails while the other is there is passed over.
func (r *Resolver) Addrs(ctx context.Context, name string, f Family) ([]netip.Addr, error) {
	panic("todo")
}

// Family says which addresses are wanted.
type Family uint8

// The families.
const (
	Both Family = iota
	IPv4
	IPv6
)

// MX is one MX record. A null MX (RFC 7505) has the Host "".
type MX struct {
	Host string // lower case, without the final dot
	Pref uint16
}

// MX gives the MX records of a name by preference.
func (r *Resolver) MX(ctx context.Context, name string) ([]MX, error) { panic("todo") }

// PTR gives the names of an address: lower case, without the final dot, at most 10 of them.
func (r *Resolver) PTR(ctx context.Context, a netip.Addr) ([]string, error) { panic("todo") }

// Exists says whether a name exists at all: it has records of some type, or names below it (RFC 8020). The error is only ever a temporary one.
func (r *Resolver) Exists(ctx context.Context, name string) (bool, error) { panic("todo") }

// Listing asks a block list for a name: its A records, and its TXT records where there are A records. Not being listed is no error but an empty list.
// Answers past their TTL are never served.
func (r *Resolver) Listing(ctx context.Context, name string) ([]netip.Addr, string, error) {
	panic("todo")
}

// SPF adapts r to blitiri.com.ar/go/spf (its DNSResolver): address look-ups ask for the client's family only, at most 20 MX and
// PTR names are given. Its methods are LookupTXT, LookupMX, LookupIPAddr and LookupAddr as of net.Resolver.
func (r *Resolver) SPF(client netip.Addr) *SPF { panic("todo") }

// SPF is a Resolver as go/spf wants it.
type SPF struct{}

// LookupTXT adapts TXT to go-msgauth (dkim.VerifyOptions.LookupTXT), which passes no context.
func (r *Resolver) LookupTXT(ctx context.Context) func(domain string) ([]string, error) {
	panic("todo")
}

// Health is the state of each server, in the order of the settings.
func (r *Resolver) Health() []Server { panic("todo") }

// Server is the state of one DNS server.
type Server struct {
	Address string
	Queries int64     // sent to it
	Failed  int64     // of these, without a usable answer
	Down    bool      // it failed several times in a row; it is asked last for a while
	Since   time.Time // of the last change of Down
}

// Count is how many answers of a kind came, from the wire alone.
type Count struct {
	Type  string // A, TXT, ...
	Rcode string // NOERROR, NXDOMAIN, SERVFAIL, ..., or "timeout", "error"
	N     int64
}

// Counts are for gatepost_dns_queries_total.
func (r *Resolver) Counts() []Count { panic("todo") }
