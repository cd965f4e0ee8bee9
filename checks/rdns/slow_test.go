package rdns

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/policy"
	"gatepost/resolver"
)

// slowDNS knows some names of every address, and answers at once; but about a name that begins with "slow" it takes its time, and has nothing.
type slowDNS struct {
	names string
	takes time.Duration
}

func (d slowDNS) PTR(context.Context, netip.Addr) ([]string, error) {
	return strings.Fields(d.names), nil
}

func (d slowDNS) Addrs(ctx context.Context, name string, _ resolver.Family) ([]netip.Addr, error) {
	if !strings.HasPrefix(name, "slow") {
		return []netip.Addr{netip.MustParseAddr("203.0.113.9")}, nil
	}
	select {
	case <-time.After(d.takes):
	case <-ctx.Done():
	}
	return nil, &net.DNSError{IsTimeout: true, IsTemporary: true}
}

// TestSlowNames: they are asked about side by side, and never for longer than REPLIES allows a check.
func TestSlowNames(t *testing.T) {
	for _, x := range []struct {
		name  string
		dns   slowDNS
		want  policy.Outcome
		after time.Duration
	}{
		{"all are slow", slowDNS{"slow1.example slow2.example slow3.example", 3 * time.Second}, policy.TempError, 3 * time.Second},
		{"one never ends", slowDNS{"slow1.example", time.Hour}, policy.TempError, budget},
		{"the last one would do", slowDNS{"slow1.example slow2.example mail.example", 3 * time.Second}, policy.Pass, 3 * time.Second},
		{"the first one does", slowDNS{"mail.example slow1.example slow2.example", 3 * time.Second}, policy.Pass, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				f := New(x.dns).Run(t.Context(), policy.View{Client: netip.MustParseAddr("203.0.113.9")})
				if took := time.Since(began); f.Outcome != x.want || took != x.after {
					t.Errorf("%s after %v, want %s after %v", f.Outcome, took, x.want, x.after)
				}
			})
		})
	}
}
