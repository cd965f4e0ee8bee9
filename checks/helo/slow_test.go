package helo

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/policy"
	"gatepost/resolver"
)

// slowDNS knows no name, and takes 3 s to say so.
type slowDNS struct{}

func (slowDNS) answer(ctx context.Context) error {
	select {
	case <-time.After(3 * time.Second):
		return &net.DNSError{IsNotFound: true}
	case <-ctx.Done():
		return &net.DNSError{IsTimeout: true, IsTemporary: true}
	}
}

func (d slowDNS) Addrs(ctx context.Context, _ string, _ resolver.Family) ([]netip.Addr, error) {
	return nil, d.answer(ctx)
}

func (d slowDNS) MX(ctx context.Context, _ string) ([]resolver.MX, error) { return nil, d.answer(ctx) }

// TestSlowDNS: all look-ups together end in time, and what they did not come to is not held against the client.
func TestSlowDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f := New(&Settings{}, slowDNS{}).Run(t.Context(), policy.View{Helo: "mail.example", Client: netip.MustParseAddr(stranger)})
		if took := time.Since(began); f.Outcome != policy.TempError || took != budget {
			t.Errorf("%s after %v", f.Outcome, took)
		}
	})
}
