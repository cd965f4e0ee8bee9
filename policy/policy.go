// Package policy holds the words of judgement (stages, findings, actions, modes, verdicts), the judge (a pure function
// from findings and settings to a decision), and the run that gathers the findings of a session. It knows nothing of SMTP's
// wire, of DNS or of TOML.
package policy

import (
	"strings"
	"time"
)

// Policy is a whole policy, ready to run. It is not changed once it is in use.
type Policy struct {
	Mode    Mode             // a ceiling over every check; Enforce where nothing is held back
	Soft    bool             // each Reject is carried out as a Defer
	Contact string           // an address that refusals name; "" for none
	Slots   []Slot           // the checks, in the order of the fold
	Scopes  map[string]Scope // overrides by recipient: "user@domain", or "domain" with all below it; lower case, A-labels
	Budget  time.Duration    // the longest that the checks of one stage may take together; 0: 60 s
	Hash    string           // tells one policy from another in a record
}

// Slot is a check in its place in a policy.
type Slot struct {
	Check   Check
	Mode    Mode
	Actions map[Outcome]Action // what each outcome leads to; one that is missing leads to None
	Early   bool               // a refusal by it is told before the banner, not at RCPT
	Where   string             // where it is set up, as "gatepost.toml:58"
	WhereOn map[Outcome]string // where the action of an outcome is set, if it is apart from Where
}

// Scope is what is different for some recipients, by name of the check.
type Scope struct {
	Modes   map[string]Mode
	Actions map[string]map[Outcome]Action
	Where   map[string]string // where the override of a check is set
}

// Step is the judgement of one finding.
type Step struct {
	Finding Finding
	Mode    Mode
	Asked   Action // what the outcome leads to, as if enforced
	Done    Action // what it led to
	Where   string // the place in the config that says so
}

// Decision is the judgement of one recipient.
type Decision struct {
	Done   Action // what is done
	Would  Action // what would have been done, had every check been enforced
	By     string // the check that decided Done; "" where nothing did
	ByWho  string // the check that decided Would
	Where  string // the place in the config that decided Done
	Reply  Reply  // for Defer and Reject
	Intent Reply  // the same for Would, where it differs from Done
	Steps  []Step
}

// Verdict is the verdict that the decision comes to, once the backend agrees.
func (d Decision) Verdict() Verdict {
	return [...]Verdict{None: Accepted, Tag: Tagged, Defer: Deferred, Reject: Rejected}[d.Done]
}

// Judge folds findings, in the order of the policy's slots, into the decision for one recipient: the strongest action
// wins, and of equals the first. It is pure.
func (p *Policy) Judge(rcpt Mailbox, findings []Finding) Decision {
	scope := p.scope(rcpt)
	var d Decision
	for i := range p.Slots {
		s := &p.Slots[i]
		mode := p.mode(s, scope)
		if mode == Off {
			continue
		}
		for _, f := range findings {
			if f.Check == s.Check.Name() {
				d.fold(p, s.step(f, mode, scope))
			}
		}
	}
	return d
}

// step judges one finding.
func (s *Slot) step(f Finding, mode Mode, scope *Scope) Step {
	st := Step{Finding: f, Mode: mode, Asked: s.Actions[f.Outcome], Where: s.Where}
	if w, ok := s.WhereOn[f.Outcome]; ok {
		st.Where = w
	}
	if scope != nil {
		if a, ok := scope.Actions[f.Check][f.Outcome]; ok {
			st.Asked, st.Where = a, scope.Where[f.Check]
		}
	}
	if mode == Enforce {
		st.Done = st.Asked
	}
	return st
}

// fold takes a step into the decision.
func (d *Decision) fold(p *Policy, s Step) {
	d.Steps = append(d.Steps, s)
	if s.Asked > d.Would {
		d.Would, d.ByWho, d.Intent = s.Asked, s.Finding.Check, s.Finding.reply(s.Asked)
	}
	done := s.Done
	if p.Soft && done == Reject {
		done = Defer
		d.Steps[len(d.Steps)-1].Done = Defer
	}
	if done > d.Done {
		d.Done, d.By, d.Where, d.Reply = done, s.Finding.Check, s.Where, s.Finding.reply(done)
	}
}

// mode is the mode of a slot for a scope: the lowest of the three.
func (p *Policy) mode(s *Slot, scope *Scope) Mode {
	m := min(p.Mode, s.Mode)
	if scope != nil {
		if o, ok := scope.Modes[s.Check.Name()]; ok {
			m = min(m, o)
		}
	}
	return m
}

// scope is the override for a recipient: by address, then domain, then the nearest parent domain; nil where there is none.
func (p *Policy) scope(rcpt Mailbox) *Scope {
	if len(p.Scopes) == 0 {
		return nil
	}
	if sc, ok := p.Scopes[strings.ToLower(rcpt.Local)+"@"+rcpt.Domain]; ok {
		return &sc
	}
	for domain, more := rcpt.Domain, true; more; _, domain, more = strings.Cut(domain, ".") {
		if sc, ok := p.Scopes[domain]; ok {
			return &sc
		}
	}
	return nil
}

// SameData says whether two recipients have one data-stage policy, so that one message can be judged for both.
func (p *Policy) SameData(a, b Mailbox) bool {
	if len(p.Scopes) == 0 {
		return true
	}
	sa, sb := p.scope(a), p.scope(b)
	for i := range p.Slots {
		s := &p.Slots[i]
		if s.Check.Stage() != StageData {
			continue
		}
		if p.mode(s, sa) != p.mode(s, sb) || !s.sameActions(sa, sb) {
			return false
		}
	}
	return true
}

// sameActions says whether two scopes lead every outcome of the check to the same action.
func (s *Slot) sameActions(a, b *Scope) bool {
	name := s.Check.Name()
	outcomes := map[Outcome]bool{}
	for _, sc := range []*Scope{a, b} {
		if sc != nil {
			for o := range sc.Actions[name] {
				outcomes[o] = true
			}
		}
	}
	for o := range outcomes {
		f := Finding{Check: name, Outcome: o}
		if s.step(f, Enforce, a).Asked != s.step(f, Enforce, b).Asked {
			return false
		}
	}
	return true
}
