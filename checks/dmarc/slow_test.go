package dmarc

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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

// crowd counts how many queries there are at once, each of which takes a second.
type crowd struct {
	*zone
	now, most atomic.Int32
}

func (c *crowd) TXT(ctx context.Context, name string) ([]string, error) {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	select {
	case <-time.After(time.Second):
		return c.zone.TXT(ctx, name)
	case <-ctx.Done():
		return nil, &net.DNSError{Err: "timeout", Name: name, IsTimeout: true}
	}
}

// The author's own walk comes first, whatever else is to be asked for, and all of it asks for a few names at a time.
func TestAFewNamesAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &crowd{zone: dmarcZone(map[string]string{"example.com": "v=DMARC1; p=reject"})}
		author := "a.b.c.d.e.example.com"
		var claimed []string
		for i := range 9 {
			claimed = append(claimed, fmt.Sprintf("0.1.2.3.4.%d.example.com", i))
		}
		r := newRecords(dns)
		r.prepare(t.Context(), []string{author}, claimed)
		if most := dns.most.Load(); most != warmAtOnce {
			t.Errorf("%d at once, want %d", most, warmAtOnce)
		}
		if n, err := r.policyRecord(t.Context(), author); err != nil || n == nil || n.domain != "example.com" {
			t.Errorf("got %v, %v", n, err)
		}
	})
}
