package resolver

import (
	"cmp"
	"net"
	"slices"
	"sync"

	"github.com/miekg/dns"
)

// Count is how many answers of a kind came, from the wire alone.
type Count struct {
	Type  string // A, TXT, ...
	Rcode string // NOERROR, NXDOMAIN, SERVFAIL, ..., "other" for what has no name, or "timeout", "error"
	N     int64
}

// Counts are for gatepost_dns_queries_total. They are sorted by type and response code.
func (r *Resolver) Counts() []Count {
	r.counts.mu.Lock()
	defer r.counts.mu.Unlock()
	all := make([]Count, 0, len(r.counts.n))
	for k, n := range r.counts.n {
		all = append(all, Count{k.Type, k.Rcode, n})
	}
	slices.SortFunc(all, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Rcode, b.Rcode))
	})
	return all
}

// counts counts answers. Its keys come from short lists, whatever the servers send.
type counts struct {
	mu sync.Mutex
	n  map[Count]int64 // by Count with N zero
}

func (c *counts) answer(qtype uint16, rcode int) { c.add(qtype, rcodeName(rcode)) }

func (c *counts) failure(qtype uint16, failed *net.DNSError) {
	if failed.IsTimeout {
		c.add(qtype, "timeout")
	} else {
		c.add(qtype, "error")
	}
}

func (c *counts) add(qtype uint16, rcode string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[Count]int64)
	}
	c.n[Count{Type: dns.TypeToString[qtype], Rcode: rcode}]++
}

// rcodeName gives the name of a response code, "other" for one without.
func rcodeName(rcode int) string {
	if name, ok := dns.RcodeToString[rcode]; ok {
		return name
	}
	return "other"
}
