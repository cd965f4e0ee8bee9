// Package resolver asks the DNS: queries with a cache in front, under bounds that a stranger can't move, and with one
// contract of errors.
//
// Every error is a bare *net.DNSError, never wrapped: IsNotFound for NXDOMAIN and for a name without the type asked for,
// IsTimeout or IsTemporary for everything that may be different later (SERVFAIL, no answer, a broken answer, an ended
// context, too many queries; the last is ErrBusy to errors.Is). The mail libraries take any other error for a permanent one.
//
// A name is given as text, with or without the final dot; U-labels are mapped to A-labels. What can't be a name (an empty
// label, a label over 63 octets, over 253 in all, control bytes) is not found, and nobody is asked.
package resolver

import (
	"context"
	"net/netip"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Settings are those of [dns]. Zero fields take the defaults.
type Settings struct {
	Servers  []string      // "192.0.2.53", "192.0.2.53:5353" or "[2001:db8::53]:53", tried in order; empty: those of /etc/resolv.conf
	Timeout  time.Duration // of one query with its retries, and before it of the wait for its turn; default 3 s
	Cache    int           // answers kept, of 1 KiB on average at most; default 50,000
	InFlight int           // queries on the wire at once, over all sessions; default 512
	MaxTTL   time.Duration // an answer is kept no longer; default 1 h
	Stale    time.Duration // how long past its TTL an answer serves while the servers fail (RFC 8767); default 30 s, negative: not at all; never for Listing
}

// Resolver asks the DNS. It is safe for concurrent use, and needs no closing: what it has under way ends when nobody waits for it
// any more.
type Resolver struct {
	settings Settings
	servers  []*server
	exchange exchanger
	cache    *cache
	flights  flights
	slots    chan struct{} // full when Settings.InFlight queries are on the wire
	waiting  atomic.Int64  // queries that wait for a slot
	counts   counts
}

// defaultMaxTTL is how long an answer is kept at most.
const defaultMaxTTL = time.Hour

// exchanger sends one question to one server and gives its answer, whatever the response code. It is the wire, or what
// stands for it in tests.
type exchanger func(ctx context.Context, server netip.AddrPort, q question) (*dns.Msg, error)

// New makes a Resolver. Nothing is asked. The error says what is wrong with a server's address or with /etc/resolv.conf.
func New(s Settings) (*Resolver, error) { return newFrom(s, "/etc/resolv.conf") }

func newFrom(s Settings, file string) (*Resolver, error) {
	addrs, err := serverAddrs(s.Servers, file)
	if err != nil {
		return nil, err
	}
	s = s.withDefaults()
	s.Servers = nil
	for _, a := range addrs {
		s.Servers = append(s.Servers, a.String())
	}
	r := &Resolver{
		settings: s,
		exchange: overWire,
		cache:    newCache(s.Cache, s.MaxTTL, s.Stale),
		flights:  flights{all: make(map[question]*flight), clients: make(map[netip.Prefix]int)},
		slots:    make(chan struct{}, s.InFlight),
	}
	for _, a := range addrs {
		r.servers = append(r.servers, &server{addr: a, state: Server{Address: a.String()}})
	}
	return r, nil
}

// Like says whether another asks the same servers, wherever their addresses came from, with the same settings.
func (r *Resolver) Like(other *Resolver) bool { return reflect.DeepEqual(r.settings, other.settings) }

func (s Settings) withDefaults() Settings {
	s.Timeout = positive(s.Timeout, 3*time.Second)
	s.Cache = positive(s.Cache, 50_000)
	s.InFlight = positive(s.InFlight, 512)
	s.MaxTTL = positive(s.MaxTTL, defaultMaxTTL)
	if s.Stale == 0 {
		s.Stale = 30 * time.Second
	}
	return s
}

func positive[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}
