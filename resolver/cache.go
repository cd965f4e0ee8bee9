package resolver

import (
	"net"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// maxMissing bounds how long it is believed that something is not there. RFC 2308 section 5 suggests one to three hours;
	// mail is turned away for a missing record, so less is better.
	maxMissing = 15 * time.Minute
	// bareTTL is how long it is believed without a SOA record: as good as anew, but a crowd of one client's sessions asks once.
	bareTTL = 5 * time.Second
	// failureTTL is how long a failure answers for its question: RFC 9520 section 3.2 wants at least 1 s.
	failureTTL = 3 * time.Second
	// meanSize times the number of answers is how many octets the cache holds, so that a stranger's large records can't
	// fill the memory.
	meanSize = 1024
)

// entry is what is known of a question: the last good answer, the last failure, or both. It isn't changed once kept.
type entry struct {
	answer *answer
	until  time.Time // the answer is fresh
	failed *net.DNSError
	retry  time.Time // until then the failure answers
}

// cache keeps entries, the latest used ones.
type cache struct {
	lru           *lru.Cache[question, entry]
	maxTTL, stale time.Duration

	mu      sync.Mutex // held by those who write
	size    int        // octets, about
	maxSize int
}

func newCache(entries int, maxTTL, stale time.Duration) *cache {
	c := &cache{maxTTL: maxTTL, stale: stale, maxSize: entries * meanSize}
	c.lru, _ = lru.NewWithEvict(entries, c.evicted) // Its only error is for a size below one.
	return c
}

// get gives what still holds at now: a fresh answer, or a recent failure. ok is false where the servers must be asked.
func (c *cache) get(q question, now time.Time) (_ *answer, failed *net.DNSError, ok bool) {
	e, _ := c.lru.Get(q)
	switch {
	case e.answer != nil && now.Before(e.until):
		return e.answer, nil, true
	case e.failed != nil && now.Before(e.retry):
		return nil, e.failed, true
	}
	return nil, nil, false
}

// past gives the answer that may serve although its time is over, while the servers fail (RFC 8767 section 4).
func (c *cache) past(q question, now time.Time) *answer {
	if e, ok := c.lru.Peek(q); ok && e.servesUntil(c.stale, now) {
		return e.answer
	}
	return nil
}

func (e entry) servesUntil(stale time.Duration, now time.Time) bool {
	return e.answer != nil && now.Before(e.until.Add(stale))
}

// keep keeps an answer for its TTL.
func (c *cache) keep(q question, a *answer, now time.Time) {
	ttl := min(a.ttl, c.maxTTL)
	if a.missing != nil {
		ttl = min(ttl, maxMissing)
	}
	if ttl > 0 { // RFC 1035 section 3.2.1: a TTL of zero is for the transaction in progress only.
		c.put(q, entry{answer: a, until: now.Add(ttl)})
	}
}

// fail keeps a failure, and with it the last answer where that may still serve.
func (c *cache) fail(q question, failed *net.DNSError, now time.Time) {
	e, _ := c.lru.Peek(q)
	if !e.servesUntil(c.stale, now) {
		e = entry{}
	}
	e.failed, e.retry = failed, now.Add(failureTTL)
	c.put(q, e)
}

func (c *cache) put(q question, e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.lru.Peek(q); ok {
		c.size -= size(q, old)
	}
	c.size += size(q, e)
	c.lru.Add(q, e)
	for c.size > c.maxSize && c.lru.Len() > 0 {
		c.lru.RemoveOldest()
	}
}

// evicted is called by put alone, inside lru.
func (c *cache) evicted(q question, e entry) { c.size -= size(q, e) }

// size is about how many octets an entry takes.
func size(q question, e entry) int {
	n := 300 + len(q.name)
	if e.answer != nil {
		n += e.answer.size
	}
	return n
}
