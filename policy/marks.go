package policy

import (
	"slices"
	"sync"
)

// Marks are what checks have noted of a session or of a transaction, to do a thing once in it. A mark begins with the name of its check. It
// is safe for concurrent use; nil keeps none.
type Marks struct {
	mu  sync.Mutex
	all []string // a few
}

// Has says whether a mark was set.
func (m *Marks) Has(mark string) bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.all, mark)
}

// Set sets a mark.
func (m *Marks) Set(mark string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.all, mark) {
		m.all = append(m.all, mark)
	}
}
