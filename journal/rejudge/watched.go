package rejudge

import (
	"slices"

	"gatepost/policy"
)

// Watched is what a monitored check would have done to mail that was accepted.
type Watched struct {
	Check   string
	Would   int // recipients whom it would have refused, for now or for good
	Forever int // of these, those whom it would have refused for good
	Only    int // of these, those whom it alone would have refused
	Proved  int // of these, those whose sender is proved
	Listed  int // of these, those that came through a mailing list
	Senders Tally
	Lists   Tally
	Through Tally            // of dmarc: domains that SPF proves and whose mail came through a list, so that they may be forwarders
	Days    map[string]int   // by UTC day, "2026-11-21"
	spares  map[string]Spare // by sender domain, bounded as the tally of senders
}

// Spare is a rule that would keep a check from refusing one sender.
type Spare struct {
	Rule policy.Rule
	N    int // recipients that it would have let in
}

// Watch adds up what the monitored checks of a policy would have done. Memory does not grow with the records.
type Watch struct {
	Accepted int // recipients whose mail was accepted
	policy   *policy.Policy
	checks   map[string]*Watched
	order    []string
}

// NewWatch makes a Watch of the checks that the policy monitors: for all recipients, or for some.
func NewWatch(p *policy.Policy) *Watch {
	w := &Watch{policy: p, checks: map[string]*Watched{}}
	for _, s := range p.Slots {
		name := s.Check.Name()
		if s.Mode == policy.Off || s.Mode == policy.Enforce && p.Mode == policy.Enforce && !lowered(p, name) {
			continue
		}
		w.order = append(w.order, name)
		w.checks[name] = &Watched{Check: name, Days: map[string]int{}, spares: map[string]Spare{}}
	}
	return w
}

func lowered(p *policy.Policy, check string) bool {
	for _, sc := range p.Scopes {
		if m, ok := sc.Modes[check]; ok && m == policy.Monitor {
			return true
		}
	}
	return false
}

// Add counts one recipient of a record.
func (w *Watch) Add(r *policy.Record, rc *policy.RecipientRecord) {
	if rc.Verdict != policy.Accepted && rc.Verdict != policy.Tagged {
		return
	}
	w.Accepted++
	c := Case(r, rc)
	var refusing []string
	forever := map[string]bool{}
	for _, st := range w.policy.Replay(c).Steps {
		if st.Asked >= policy.Defer && w.checks[st.Finding.Check] != nil && st.Mode == policy.Monitor && !slices.Contains(refusing, st.Finding.Check) {
			refusing = append(refusing, st.Finding.Check)
			forever[st.Finding.Check] = st.Asked == policy.Reject
		}
	}
	for _, name := range refusing {
		w.checks[name].add(w.policy, r, c, len(refusing) == 1, forever[name])
	}
}

// add counts a recipient whom the check would have refused.
func (x *Watched) add(p *policy.Policy, r *policy.Record, c policy.Case, alone, forever bool) {
	x.Would++
	if forever {
		x.Forever++
	}
	if alone {
		x.Only++
	}
	if Proved(x.Check, c) {
		x.Proved++
	}
	if List(r) != "" {
		x.Listed++
	}
	domain := SenderDomain(r)
	x.Senders.Add(domain)
	x.Lists.Add(List(r))
	if x.Check == "dmarc" && List(r) != "" && passed(c, "spf") {
		x.Through.Add(domain)
	}
	x.Days[r.Time.UTC().Format("2006-01-02")]++
	x.spare(p, c, domain)
}

// spare notes the rule that would spare a sender the check, were it enforced. Only senders who are proved get one.
func (x *Watched) spare(p *policy.Policy, c policy.Case, domain string) {
	s, known := x.spares[domain]
	if known {
		if With(enforced(p, x.Check), s.Rule).Replay(c).Done < policy.Defer {
			s.N++
			x.spares[domain] = s
		}
		return
	}
	if !Proved(x.Check, c) || len(x.spares) >= tallyNames {
		return
	}
	if rule, ok := Propose(enforced(p, x.Check), c); ok && len(rule.Proof) > 0 {
		x.spares[domain] = Spare{rule, 1}
	}
}

// enforced is the policy with only this check, and that one enforced.
func enforced(p *policy.Policy, check string) *policy.Policy {
	q := *p
	q.Mode, q.Scopes, q.Slots = policy.Enforce, nil, slices.Clone(p.Slots)
	for i := range q.Slots {
		q.Slots[i].Mode = policy.Monitor
		if q.Slots[i].Check.Name() == check {
			q.Slots[i].Mode = policy.Enforce
		}
	}
	return &q
}

// Checks are the monitored checks, in the order of the policy.
func (w *Watch) Checks() []*Watched {
	var xs []*Watched
	for _, name := range w.order {
		xs = append(xs, w.checks[name])
	}
	return xs
}

// Spares are the rules for the proved senders, those that let most in first, n at most.
func (x *Watched) Spares(n int) []Spare {
	var all []Spare
	for _, s := range x.spares {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Spare) int {
		if a.N != b.N {
			return b.N - a.N
		}
		if a.Rule.Name < b.Rule.Name {
			return -1
		}
		return 1
	})
	return all[:min(n, len(all))]
}
