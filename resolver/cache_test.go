package resolver

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// step is a moment of a test with a clock, and what is seen then.
type step struct {
	at    time.Duration // since the beginning
	down  bool          // the servers fail from now on
	want  string        // the addresses, or the sort of the error
	asked int           // questions so far
}

func TestHowLongAnswersServe(t *testing.T) {
	const s = time.Second
	addr := func(ttl int) []string { return []string{fmt.Sprintf("a.example. %d IN A 192.0.2.1", ttl)} }
	const yes = "[192.0.2.1]"
	for _, c := range []struct {
		name     string
		settings Settings
		listing  bool
		rcode    int
		rrs      []string
		steps    []step
	}{
		{"its TTL", Settings{}, false, 0, addr(60), []step{{0, false, yes, 1}, {59 * s, false, yes, 1}, {60 * s, false, yes, 2}}},
		{"TTL 0: not at all", Settings{}, false, 0, addr(0), []step{{0, false, yes, 1}, {0, false, yes, 2}}},
		{"an hour at most", Settings{}, false, 0, addr(90000), []step{{0, false, yes, 1}, {3599 * s, false, yes, 1}, {3600 * s, false, yes, 2}}},
		{"MaxTTL", Settings{MaxTTL: 10 * s}, false, 0, addr(60), []step{{0, false, yes, 1}, {10 * s, false, yes, 2}}},
		{"that there is nothing", Settings{}, false, 0, []string{soaText}, []step{{0, false, "not found", 1}, {89 * s, false, "not found", 1}, {90 * s, false, "not found", 2}}},
		{
			"that there is nothing: 15 minutes at most", Settings{}, false, dns.RcodeNameError,
			[]string{"example. 86400 IN SOA ns.example. h.example. 1 2 3 4 86400"},
			[]step{{0, false, "not found", 1}, {899 * s, false, "not found", 1}, {900 * s, false, "not found", 2}},
		},
		{"that there is nothing, without SOA record", Settings{}, false, dns.RcodeNameError, nil, []step{{0, false, "not found", 1}, {4 * s, false, "not found", 1}, {5 * s, false, "not found", 2}}},
		{"a failure", Settings{}, false, 0, addr(60), []step{{0, true, "temporary", 1}, {2 * s, true, "temporary", 1}, {3 * s, true, "temporary", 2}, {6 * s, false, yes, 3}}},
		{
			"past their time, while the servers fail", Settings{}, false, 0, addr(60),
			[]step{{0, false, yes, 1}, {60 * s, true, yes, 2}, {62 * s, true, yes, 2}, {63 * s, true, yes, 3}, {89 * s, true, yes, 4}, {90 * s, true, "temporary", 4}, {93 * s, false, yes, 5}},
		},
		{"past their time: not when told so", Settings{Stale: -1}, false, 0, addr(60), []step{{0, false, yes, 1}, {60 * s, true, "temporary", 2}}},
		{"past their time: never a listing", Settings{}, true, 0, append(addr(60), "a.example. 60 IN TXT why"), []step{{0, false, yes, 2}, {59 * s, true, yes, 2}, {60 * s, true, "temporary", 3}, {61 * s, true, "temporary", 3}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked, down := 0, false
				r := with(t, 1, c.settings, func(_ context.Context, _ netip.AddrPort, q question) (*dns.Msg, error) {
					if asked++; down {
						return reply(t, q, dns.RcodeServerFailure), nil
					}
					return reply(t, q, c.rcode, c.rrs...), nil
				})
				start := time.Now()
				for _, at := range c.steps {
					time.Sleep(time.Until(start.Add(at.at)))
					down = at.down
					if got := seen(r, c.listing); got != at.want || asked != at.asked {
						t.Errorf("at %v: got %s after %d questions, want %s after %d", at.at, got, asked, at.want, at.asked)
					}
				}
			})
		})
	}
}

// seen is what a look-up of a.example says: addresses, or the sort of the error.
func seen(r *Resolver, listing bool) string {
	var addrs []netip.Addr
	var err error
	if listing {
		addrs, _, err = r.Listing(background(), "a.example")
	} else {
		addrs, err = r.Addrs(background(), "a.example", IPv4)
	}
	if err != nil {
		return sort(err)
	}
	return fmt.Sprint(addrs)
}

func wantBounded(t *testing.T, c *cache, i int) {
	t.Helper()
	if c.size > c.maxSize || c.maxSize > 100*meanSize || c.lru.Len() > 100 {
		t.Fatalf("after %d: %d entries of %d octets", i, c.lru.Len(), c.size)
	}
}

// However large the answers, the cache is not.
func TestCacheSize(t *testing.T) {
	now := time.Unix(0, 0)
	c := newCache(100, time.Hour, time.Minute)
	for i := range 1000 {
		q := question{fmt.Sprintf("%d.example", i), dns.TypeTXT}
		c.keep(q, &answer{size: 80_000, ttl: time.Hour}, now)
		wantBounded(t, c, i)
		if i < 500 {
			c.keep(q, &answer{size: 10, ttl: time.Hour}, now) // In its place.
			wantBounded(t, c, i)
		}
		if _, _, ok := c.get(q, now); !ok {
			t.Fatalf("the last one is gone")
		}
	}
	sum := 0
	for _, q := range c.lru.Keys() {
		e, _ := c.lru.Peek(q)
		sum += size(q, e)
	}
	if sum != c.size {
		t.Errorf("size is %d, want %d", c.size, sum)
	}
}
