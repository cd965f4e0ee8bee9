package ratelimit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Store keeps how full the buckets are. It is safe for concurrent use.
type Store interface {
	// Take adds n to the bucket of a key if there is room for it, else nothing. With n = 0 it looks: it tells again what the last Take
	// came to, until there is room. It returns soon after ctx ends. An error is one of the store itself.
	Take(ctx context.Context, key string, n int, limit Limit, now time.Time) (Use, error)
}

// Use is how full a bucket is.
type Use struct {
	Used  int           // 0 to the limit; a part counts as a whole
	Over  bool          // there was no room
	Retry time.Duration // until there is room for one more; 0 where there is
}

// Memory is a Store in memory. It is bounded: of more keys than it holds, those that were longest not used are forgotten.
type Memory struct {
	mu      sync.Mutex
	buckets *simplelru.LRU[string, *bucket]
}

// DefaultKeys is how many keys a Memory is well made for: about 20 MB.
const DefaultKeys = 100_000

// NewMemory makes a Memory for so many keys, 1 or more. It panics on less.
func NewMemory(keys int) *Memory {
	c, err := simplelru.NewLRU[string, *bucket](keys, nil)
	if err != nil {
		panic(fmt.Sprintf("ratelimit: a store for %d keys: %v", keys, err))
	}
	return &Memory{buckets: c}
}

// Take implements Store. It never fails.
func (m *Memory) Take(_ context.Context, key string, n int, limit Limit, now time.Time) (Use, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.buckets.Get(key)
	if !ok {
		b = &bucket{}
		if n > 0 { // a look alone leaves no trace
			m.buckets.Add(key, b)
		}
	}
	return b.take(n, limit, now), nil
}

// put sets a bucket as another store has left it. An empty one leaves no trace.
func (m *Memory) put(key string, b bucket, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b.empty.After(now) {
		m.buckets.Add(key, &b)
	} else {
		m.buckets.Remove(key)
	}
}

// bucket leaks one unit each Window/Count. It is known by the time at which it will be empty.
type bucket struct {
	empty   time.Time
	refused bool // there was no room for what was last to be added
}

// measures are what one unit of a limit takes to leak out, and what all units take.
func (l Limit) measures() (unit, full time.Duration) {
	unit = max(l.Window/time.Duration(l.Count), 1)
	return unit, unit * time.Duration(l.Count)
}

// pour is what n units take to leak out. More than the limit is more than it, however much.
func (l Limit) pour(n int) time.Duration {
	unit, _ := l.measures()
	return unit * time.Duration(min(n, l.Count+1))
}

// take is Store.Take for one bucket. A level above the limit comes from a limit that was higher, or from a clock that went back: it is
// cut, so that neither locks anyone out for longer than one window.
func (b *bucket) take(n int, l Limit, now time.Time) Use {
	unit, full := l.measures()
	level := min(max(b.empty.Sub(now), 0), full)
	more := l.pour(n)
	if n > 0 {
		if b.refused = level+more > full; !b.refused {
			level += more
		}
	}
	b.empty = now.Add(level)
	b.refused = b.refused && level+max(unit, more) > full
	return useOf(level, b.refused, l)
}

// useOf tells of a bucket that takes level to be empty.
func useOf(level time.Duration, refused bool, l Limit) Use {
	unit, full := l.measures()
	return Use{Used: int((level + unit - 1) / unit), Over: refused, Retry: max(level+unit-full, 0)}
}
