package rejudge

import (
	"cmp"
	"slices"
	"strings"

	"gatepost/policy"
)

// Group is the recipients that change in one way for one check.
type Group struct {
	Was, Is     policy.Verdict
	Undecidable bool   // Is is not known
	Check       string // what makes the difference; of an undecidable group, what did decide
	Missing     string // of an undecidable group: the checks that were never asked
	N           int
	Senders     Tally // by sender domain; "<>" for the null reverse-path
	Lists       Tally // by mailing list
}

// Summary adds outcomes up. Memory does not grow with them. The zero Summary is empty.
type Summary struct {
	Total                      int // recipients that had a verdict
	Same, Changed, Undecidable int // of these
	LeftOut                    int // recipients without a verdict
	groups                     map[groupKey]*Group
}

type groupKey struct {
	kind           Kind
	was, is        policy.Verdict
	check, missing string
}

// Add counts what became of one recipient of a record.
func (s *Summary) Add(r *policy.Record, o Outcome) {
	switch o.Kind {
	case LeftOut:
		s.LeftOut++
		return
	case Same:
		s.Same++
	case Changed:
		s.Changed++
	case Undecidable:
		s.Undecidable++
	}
	s.Total++
	if o.Kind == Same {
		return
	}
	g := s.group(o)
	g.N++
	g.Senders.Add(SenderDomain(r))
	g.Lists.Add(List(r))
}

func (s *Summary) group(o Outcome) *Group {
	k := groupKey{o.Kind, o.Was, o.Is, o.By, strings.Join(o.Missing, ", ")}
	if o.Kind == Undecidable {
		k.is = policy.Undecided
	}
	if s.groups == nil {
		s.groups = map[groupKey]*Group{}
	}
	g := s.groups[k]
	if g == nil {
		g = &Group{Was: k.was, Is: k.is, Undecidable: o.Kind == Undecidable, Check: k.check, Missing: k.missing}
		s.groups[k] = g
	}
	return g
}

// Groups are the groups: what changes, then what cannot be decided, each by size.
func (s *Summary) Groups() []*Group {
	var gs []*Group
	for _, g := range s.groups {
		gs = append(gs, g)
	}
	undecidable := func(g *Group) int {
		if g.Undecidable {
			return 1
		}
		return 0
	}
	slices.SortFunc(gs, func(a, b *Group) int {
		return cmp.Or(undecidable(a)-undecidable(b), cmp.Compare(b.N, a.N), cmp.Compare(b.Is, a.Is), cmp.Compare(b.Was, a.Was),
			cmp.Compare(a.Check, b.Check), cmp.Compare(a.Missing, b.Missing))
	})
	return gs
}

// SenderDomain is the domain of a record's reverse-path: "<>" for the null one, "" where there was none.
func SenderDomain(r *policy.Record) string {
	if r.Sender == nil {
		return ""
	}
	if *r.Sender == "" {
		return "<>"
	}
	return mailbox(*r.Sender).Domain
}

// List is the identifier of the mailing list that a record's message came through (RFC 2919 section 2); "" for none.
func List(r *policy.Record) string {
	id := r.ListID
	if i := strings.LastIndexByte(id, '<'); i >= 0 {
		id, _, _ = strings.Cut(id[i+1:], ">")
	}
	return strings.ToLower(strings.TrimSpace(id))
}
