package greylist

import "context"

// Memory is a Store in memory: bounded, and gone with the process.
type Memory struct{ table *table }

// NewMemory makes an empty one, of at most Settings.MaxEntries entries.
func NewMemory(s *Settings) *Memory { return &Memory{newTable(s.rules(), s.MaxEntries)} }

// Sight takes a sighting in. The error is ErrFull or nil.
func (m *Memory) Sight(_ context.Context, s Sighting) (Decision, error) { return m.table.sight(s) }

// Stats counts the entries by state.
func (m *Memory) Stats() map[State]int { return m.table.stats() }

// Close does nothing.
func (m *Memory) Close() error { return nil }

// Put adds entries, as Book.Put does.
func (m *Memory) Put(_ context.Context, rs []Record) error {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	for _, r := range rs {
		m.table.set(r.Key, merge(m.table.entry(r.Key), r.Entry), r.Label.pack())
	}
	return nil
}

// mirror takes over what another store made of a sighting.
func (m *Memory) mirror(s Sighting, d Decision) {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	m.table.expire(s.Now)
	m.table.set(s.Client, d.left.client, s.Label.Client)
	m.table.set(s.Triplet, d.left.triplet, s.Label.pack())
}
