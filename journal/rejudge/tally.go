package rejudge

import (
	"cmp"
	"slices"
	"strings"
)

// tallyNames bounds the names that one Tally tells apart. A stranger can make up as many sender domains as it likes.
const tallyNames = 4096

// Tally counts by name, in bounded memory: names that come when it is full are counted together. The zero Tally is empty.
type Tally struct {
	counts map[string]int
	rest   int
}

// Count is a name and how often it came.
type Count struct {
	Name string `json:"name"`
	N    int    `json:"n"`
}

// Add counts a name once; "" is not counted.
func (t *Tally) Add(name string) {
	if name == "" {
		return
	}
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	_, known := t.counts[name]
	switch {
	case known:
		t.counts[name]++
	case len(t.counts) < tallyNames:
		t.counts[strings.Clone(name)] = 1 // a name may be a part of a long text
	default:
		t.rest++
	}
}

// Names is how many different names came; more says that there may be more than that.
func (t *Tally) Names() (n int, more bool) { return len(t.counts), t.rest > 0 }

// Sum is how often any name came.
func (t *Tally) Sum() int {
	n := t.rest
	for _, c := range t.counts {
		n += c
	}
	return n
}

// Top is the n names that came most often, the most frequent first, and how often all others came together.
func (t *Tally) Top(n int) (top []Count, others int) {
	all := make([]Count, 0, len(t.counts))
	for name, c := range t.counts {
		all = append(all, Count{name, c})
	}
	slices.SortFunc(all, func(a, b Count) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Name, b.Name)) })
	others = t.rest
	for i := n; i < len(all); i++ {
		others += all[i].N
	}
	return all[:min(n, len(all))], others
}
