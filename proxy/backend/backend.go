// Package backend is the client side of the proxy: it brings one transaction at a time to the mail server behind (RFC
// 5321 as a client), pipelined where the server can (RFC 2920), and says for each fault what the sender should hear.
package backend

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"gatepost/proxy/smtp"
)

// Client is what a backend is told of the real client. Zero fields are not told.
type Client struct {
	Addr, Local netip.AddrPort // both ends of the sender's connection
	Name        string         // its host name, "" where not known
	Helo        string         // its HELO or EHLO name
	Proto       string         // "SMTP" or "ESMTP"
}

// Backend is a mail server behind, at one or more addresses. It is safe for concurrent use.
type Backend struct {
	settings Settings
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	bodies   sync.Pool // of *body: large buffers, held only while content is sent

	mu        sync.Mutex
	addresses []state // one for each of settings.Addresses
	caps      smtp.Caps
	known     bool
	idle      []*Conn // released; the one that has waited longest first
	reaper    *time.Timer
	shut      bool
}

// New makes a Backend; nothing is opened.
func New(s Settings) *Backend {
	s.Timeouts = s.Timeouts.withDefaults()
	b := &Backend{settings: s, dial: (&net.Dialer{KeepAlive: -1}).DialContext, addresses: newStates(s.Addresses, time.Now())}
	b.bodies.New = func() any { return new(body) }
	return b
}

// Name is the name of its table.
func (b *Backend) Name() string { return b.settings.Name }

// Caps is what the last EHLO told, after TLS where TLS was used; known is false before the first. For an address that has
// since been found dead the last known capabilities stay.
func (b *Backend) Caps() (caps smtp.Caps, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.caps, b.known
}

// Dial connects, says EHLO (HELO where EHLO is refused), does TLS, and tells of the client. The addresses are tried in
// order; one that failed is passed over for a time that doubles from 1 s to 1 min, unless all are down. The error is a
// *Fault, that of the last address tried. The context bounds the opening, not the connection; a caller that gives up says
// nothing of the server's health.
func (b *Backend) Dial(ctx context.Context, c Client) (*Conn, error) {
	l, f := b.open(ctx, &c)
	if f != nil {
		return nil, f
	}
	return &Conn{backend: b, link: l, born: time.Now()}, nil
}

// Probe opens a connection as Dial does, reads the capabilities and quits. It keeps Caps and Health fresh while there is
// no mail. The server is told of no client. The error is a *Fault.
func (b *Backend) Probe(ctx context.Context) (smtp.Caps, error) {
	l, f := b.open(ctx, nil)
	if f != nil {
		return smtp.Caps{}, f
	}
	l.quit(b.settings.Timeouts.Reset)
	return l.caps, nil
}

// open tries the addresses until one works. c is nil for a probe.
func (b *Backend) open(ctx context.Context, c *Client) (*link, *Fault) {
	last := unreachable(stageConnect, errNoAddress)
	for _, i := range b.pick(time.Now()) {
		address, start := b.settings.Addresses[i], time.Now()
		l, f := b.connect(ctx, address, c)
		if f == nil {
			b.works(i, l.caps, time.Now())
			return l, nil
		}
		if ctx.Err() != nil { // the caller gave up, which says nothing of the server
			return nil, f
		}
		if !f.ofClient {
			b.fails(i, f, start, time.Now())
		}
		last = f
	}
	return nil, last
}
