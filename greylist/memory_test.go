package greylist

import "context"

// book is a Memory as a Book, for the contract.
type book struct{ *Memory }

// Each gives all entries as they were at the call.
func (m book) Each(_ context.Context, yield func(Record) bool) error {
	for _, r := range m.records() {
		if !yield(r) {
			break
		}
	}
	return nil
}

func (m book) records() []Record {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	var rs []Record
	for _, n := range m.table.nodes {
		rs = append(rs, Record{Key: n.key, Entry: n.entry, Label: unpack(n.label)})
	}
	return rs
}

// Delete forgets entries.
func (m book) Delete(_ context.Context, rs []Record) (int, error) {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	count := 0
	for _, r := range rs {
		if n := m.table.nodes[r.Key]; n != nil {
			m.table.remove(n)
			count++
		}
	}
	return count, nil
}
