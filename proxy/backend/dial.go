package backend

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"
)

// errHandshake marks the failures after which opportunistic TLS goes on in clear.
var errHandshake = errors.New("the TLS handshake failed")

// connect opens a connection to one address and brings it to where MAIL may come. c is nil for a probe.
func (b *Backend) connect(ctx context.Context, address string, c *Client) (*link, *Fault) {
	l, f := b.attempt(ctx, address, c, b.settings.TLS)
	if f != nil && b.settings.TLS == TLSOpportunistic && errors.Is(f.Err, errHandshake) && ctx.Err() == nil {
		// RFC 7435 section 3: encryption that fails is no reason to keep the mail back. The broken connection can't be used in clear.
		return b.attempt(ctx, address, c, TLSNone)
	}
	return l, f
}

// attempt is one connection.
func (b *Backend) attempt(ctx context.Context, address string, c *Client, mode TLSMode) (*link, *Fault) {
	socket, err := b.reach(ctx, address)
	if err != nil {
		f := unreachable(stageConnect, err)
		f.Address = address
		return nil, f
	}
	l := newLink(address, socket)
	stop := context.AfterFunc(ctx, l.drop)
	o := opening{settings: &b.settings, link: l, client: c, tls: mode}
	f := o.run()
	if !stop() { // the context is done, and the socket closed under whatever was going on
		if f == nil {
			f = broken(stageEhlo, nil)
		}
		f.Err = context.Cause(ctx)
	}
	if f != nil {
		l.drop()
		f.Address = address
		f.ofClient = o.told && f.Heard.Code != 0
		return nil, f
	}
	return l, nil
}

// reach dials.
func (b *Backend) reach(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, b.settings.Timeouts.Connect)
	defer cancel()
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return b.dial(ctx, "unix", path)
	}
	return b.dial(ctx, "tcp", address)
}

// host is the name that a certificate of this address is for.
func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil && !strings.HasPrefix(address, "unix:") {
		return h
	}
	return "localhost"
}

// until is the time when a wait of d ends that began now.
func until(d time.Duration) time.Time { return time.Now().Add(d) }
