package dmarc

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
)

// slowZone answers for one domain only once the query's time is over.
type slowZone struct {
	*zone
	slow string
}

func (z slowZone) TXT(ctx context.Context, name string) ([]string, error) {
	if strings.HasSuffix(name, z.slow) {
		<-ctx.Done()
		return nil, &net.DNSError{Err: "timeout", Name: name, IsTimeout: true}
	}
	if ctx.Err() != nil {
		return nil, &net.DNSError{Err: "timeout", Name: name, IsTimeout: true}
	}
	return z.zone.TXT(ctx, name)
}

func TestASlowAuthorShieldsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(&Settings{}, slowZone{dmarcZone(world), "slow.example"})
		m := mail{from: "a@slow.example, b@example.com", spf: "none"}
		if f := c.Run(t.Context(), m.view()); f.Outcome != failReject {
			t.Errorf("got %s: %s", f.Outcome, f.Facts)
		}
	})
}
