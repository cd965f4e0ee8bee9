package policy

import (
	"cmp"
	"slices"
)

// Rejudger is a Check whose outcome depends on its settings, and whose facts are enough to say what it would be under others.
type Rejudger interface {
	Check
	// Again is the finding that this check would have made of what an earlier one, under other settings, saw; false where the facts
	// do not tell.
	Again(f Finding) (Finding, bool)
}

// Looser is a Rejudger that can say which change of its settings would have kept it from refusing.
type Looser interface {
	Rejudger
	// Looser names the smallest such change, as "threshold = 6", and gives the check as it would be then; false where there is none.
	Looser(f Finding) (setting string, c Rejudger, ok bool)
}

// Replayed is the judgement of a recipient from what was found earlier.
type Replayed struct {
	Decision
	Missing []string // the checks that could have changed it, and of which there is no finding; in the order of the policy
}

// Replay judges a recipient by what was found in an earlier session, stage after stage as a Run does: what is known at RCPT
// first, and only where that refuses nothing, the content. The findings may be of another policy. It is pure.
func (p *Policy) Replay(c Case) Replayed {
	c.Findings = p.again(c.Findings)
	d, before := p.replayRcpt(c)
	if d.Done >= Defer {
		return Replayed{d, p.missing(&before, &d, func(s *Slot) bool { return s.Check.Stage() <= StageRcpt && !lastResort(s) })}
	}
	after := c
	after.Findings = filter(c.Findings, func(f Finding) bool { return f.Stage != StageRcpt })
	d = d.then(p.Judge(after))
	return Replayed{d, p.missing(&c, &d, all)}
}

// replayRcpt is the judgement at RCPT, and the case as it was known then. As in Run.Rcpt, a LastResort check has a say only where no other refuses.
func (p *Policy) replayRcpt(c Case) (Decision, Case) {
	c.FromDomain = ""
	c.Findings = filter(c.Findings, func(f Finding) bool { return f.Stage <= StageRcpt })
	bare := c
	bare.Findings = filter(c.Findings, func(f Finding) bool { return !p.isLastResort(f.Check) })
	d := p.Judge(bare)
	if d.Done >= Defer || len(bare.Findings) == len(c.Findings) {
		return d, bare
	}
	return p.Judge(c), c
}

// again brings findings up to the settings of this policy. One whose facts do not suffice for that is left out.
func (p *Policy) again(fs []Finding) []Finding {
	out := make([]Finding, 0, len(fs))
	for _, f := range fs {
		if r, ok := p.check(f.Check).(Rejudger); ok {
			g, ok := r.Again(f)
			if !ok {
				continue
			}
			g.Check, g.Stage, g.Took = f.Check, f.Stage, f.Took
			f = g
		}
		out = append(out, f)
	}
	return out
}

// then is the decision on a message whose recipient had passed with decision d.
func (d Decision) then(e Decision) Decision {
	if d.Would > e.Would { // what RCPT brought stands, unless the content brings worse
		e.Would, e.ByWho, e.Intent = d.Would, d.ByWho, d.Intent
	}
	if d.Done > e.Done {
		e.Done, e.By, e.Where = d.Done, d.By, d.Where
	}
	e.Rule = cmp.Or(e.Rule, d.Rule)
	for _, s := range d.Steps {
		if s.Finding.Stage == StageRcpt {
			e.Steps = append(e.Steps, s)
		}
	}
	slices.SortStableFunc(e.Steps, func(a, b Step) int { return cmp.Compare(a.Finding.Stage, b.Finding.Stage) })
	return e
}

// missing names the checks that would have to be asked to be sure of a decision: those that could have done more than was done, and
// those that could have proved the name in a rule that spares the mail what was done.
func (p *Policy) missing(c *Case, d *Decision, wanted func(*Slot) bool) []string {
	scope, rule := p.scope(c.Recipient), p.rule(c)
	proofs := p.openProofs(c, d.By)
	var names []string
	for i := range p.Slots {
		s := &p.Slots[i]
		name := s.Check.Name()
		if !wanted(s) || hasFinding(c.Findings, name) {
			continue
		}
		mode := p.mode(s, scope)
		more := mode == Enforce && !rule.skips(name) && p.soften(s.strongest(scope)) > d.Done
		if more || mode != Off && d.Done >= Defer && slices.Contains(proofs, name) {
			names = append(names, name)
		}
	}
	return names
}

// openProofs names the checks by which a rule could have held that would have spared the mail the check that decided.
func (p *Policy) openProofs(c *Case, by string) []string {
	var names []string
	for _, r := range p.Rules {
		if r.holds(c) {
			return names
		}
		if !r.skips(by) || len(r.Proof) == 0 {
			continue
		}
		proofs := r.Proof
		if r.Proof = nil; r.holds(c) {
			for _, proof := range proofs {
				names = append(names, string(proof))
			}
		}
	}
	return names
}

// strongest is the most that a check can lead to.
func (s *Slot) strongest(scope *Scope) Action {
	most := None
	for o, a := range s.Actions {
		if scope != nil {
			if b, ok := scope.Actions[s.Check.Name()][o]; ok {
				a = b
			}
		}
		if o == TempError { // it never refuses for good
			a = min(a, Defer)
		}
		most = max(most, a)
	}
	return most
}

func (p *Policy) check(name string) Check {
	for i := range p.Slots {
		if p.Slots[i].Check.Name() == name {
			return p.Slots[i].Check
		}
	}
	return nil
}

func (p *Policy) isLastResort(name string) bool {
	_, ok := p.check(name).(LastResort)
	return ok
}

func hasFinding(fs []Finding, check string) bool {
	return slices.ContainsFunc(fs, func(f Finding) bool { return f.Check == check })
}

func filter(fs []Finding, keep func(Finding) bool) []Finding {
	out := make([]Finding, 0, len(fs))
	for _, f := range fs {
		if keep(f) {
			out = append(out, f)
		}
	}
	return out
}
