// Package policy holds the words of judgement (stages, findings, actions, modes, verdicts), the judge (a pure function
// from findings and settings to a decision), and the run that gathers the findings of a session. It knows nothing of SMTP's
// wire, of DNS or of TOML.
package policy

import (
	"context"
	"net/netip"
	"strings"
	"time"
)

// Policy is a whole policy, ready to run. It is not changed once it is in use.
type Policy struct {
	Mode    Mode             // a ceiling over every check; Enforce where nothing is held back
	Soft    bool             // each Reject is carried out as a Defer
	Contact string           // an address that refusals name; "" for none
	Slots   []Slot           // the checks, in the order of the fold
	Rules   []Rule           // exceptions, in the order of the config
	Scopes  map[string]Scope // overrides by recipient: "user@domain", or "domain" with all below it; lower case, A-labels
	Budget  time.Duration    // the longest that the checks of one stage may take together; 0: 60 s
	Hash    string           // tells one policy from another in a record

	// ForClient makes the context of a session's checks from the server's, so that what they do together can be bounded for one client; nil
	// leaves it as it is.
	ForClient func(ctx context.Context, client netip.Addr) context.Context
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
	Skipped string // the rule that spared the mail this check; Asked and Done are None then
	Where   string // the place in the config that says so
}

// Decision is the judgement of one recipient.
type Decision struct {
	Done   Action // what is done
	Would  Action // what would have been done, had every check been enforced
	By     string // what decided Done: a check, or "rule.NAME"; "" where nothing did
	ByWho  string // what decided Would
	Where  string // the place in the config that decided Done
	Reply  Reply  // for Defer and Reject
	Intent Reply  // the same for Would, where it differs from Done
	Rule   string // the rule that held, if one did
	Steps  []Step
}

// Verdict is the verdict that the decision comes to, once the backend agrees.
func (d Decision) Verdict() Verdict {
	return [...]Verdict{None: Accepted, Tag: Tagged, Defer: Deferred, Reject: Rejected}[d.Done]
}

// Mode is the mode of the check that decided; where none did, of the one that would have.
func (d Decision) Mode() Mode {
	by := d.By
	if by == "" {
		by = d.ByWho
	}
	for i := range d.Steps {
		if d.Steps[i].Finding.Check == by {
			return d.Steps[i].Mode
		}
	}
	return Off
}

// Judge folds the findings of a case, in the order of the policy's slots, into the decision for its recipient: the strongest action
// wins, and of equals the first. A rule that holds comes before them all. It is pure.
func (p *Policy) Judge(c Case) Decision {
	d := Decision{Steps: make([]Step, 0, len(c.Findings))}
	rule, scope := p.rule(&c), p.scope(c.Recipient)
	if rule != nil {
		d.Rule = rule.Name
		if !rule.Allow {
			d.deny(p, rule)
		}
	}
	for i := range p.Slots {
		s := &p.Slots[i]
		mode := p.mode(s, scope)
		if mode == Off {
			continue
		}
		for _, f := range c.Findings {
			if f.Check == s.Check.Name() {
				d.fold(p, s.step(f, mode, scope, rule))
			}
		}
	}
	return d
}

// step judges one finding.
func (s *Slot) step(f Finding, mode Mode, scope *Scope, rule *Rule) Step {
	st := Step{Finding: f, Mode: mode, Asked: s.Actions[f.Outcome], Where: s.Where}
	if w, ok := s.WhereOn[f.Outcome]; ok {
		st.Where = w
	}
	if scope != nil {
		if a, ok := scope.Actions[f.Check][f.Outcome]; ok {
			st.Asked, st.Where = a, scope.Where[f.Check]
		}
	}
	if f.Outcome == TempError { // a fault of ours, or of the DNS, is no reason to refuse for good, whatever was asked
		st.Asked = min(st.Asked, Defer)
	}
	if rule.skips(f.Check) {
		st.Asked, st.Skipped, st.Where = None, rule.Name, rule.Where
	}
	if mode == Enforce {
		st.Done = st.Asked
	}
	return st
}

// fold takes a step into the decision.
func (d *Decision) fold(p *Policy, s Step) {
	s.Done = p.soften(s.Done)
	d.Steps = append(d.Steps, s)
	if s.Asked > d.Would {
		d.Would, d.ByWho, d.Intent = s.Asked, s.Finding.Check, s.Finding.reply(s.Asked, p.Contact)
	}
	if s.Done > d.Done {
		d.Done, d.By, d.Where, d.Reply = s.Done, s.Finding.Check, s.Where, s.Finding.reply(s.Done, p.Contact)
	}
}

// deny is what a deny rule leads to. It holds in monitor mode only if the whole policy does: an admin who wrote it means it.
func (d *Decision) deny(p *Policy, r *Rule) {
	f := Finding{Status: Status{7, 1}, Text: "Refused by the policy of this server"}
	d.Would, d.ByWho, d.Intent = Reject, "rule."+r.Name, f.reply(Reject, p.Contact)
	if p.Mode == Enforce {
		d.Done, d.By, d.Where = p.soften(Reject), d.ByWho, r.Where
		d.Reply = f.reply(d.Done, p.Contact)
	}
}

// soften makes a Reject a Defer where the policy is soft.
func (p *Policy) soften(a Action) Action {
	if p.Soft && a == Reject {
		return Defer
	}
	return a
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

// scope is the override for a recipient; nil where there is none.
func (p *Policy) scope(rcpt Mailbox) *Scope {
	name, ok := p.ScopeOf(rcpt)
	if !ok {
		return nil
	}
	sc := p.Scopes[name]
	return &sc
}

// ScopeOf names the override for a recipient in Scopes: by address, then domain, then the nearest parent domain; false where there is none.
func (p *Policy) ScopeOf(rcpt Mailbox) (name string, ok bool) {
	if len(p.Scopes) == 0 {
		return "", false
	}
	address := strings.ToLower(rcpt.Local) + "@" + rcpt.Domain
	if _, ok := p.Scopes[address]; ok {
		return address, true
	}
	for domain, more := rcpt.Domain, true; more; _, domain, more = strings.Cut(domain, ".") {
		if _, ok := p.Scopes[domain]; ok {
			return domain, true
		}
	}
	return "", false
}

// SameData says whether two recipients have one data-stage policy, so that one message can be judged for both. A tag is carried out on
// the content, so what earlier stages tag belongs to it.
func (p *Policy) SameData(a, b Mailbox) bool {
	for i := range p.Rules {
		if r := &p.Rules[i]; len(r.Recipient) > 0 && r.forRecipient(a) != r.forRecipient(b) {
			return false
		}
	}
	if len(p.Scopes) == 0 {
		return true
	}
	sa, sb := p.scope(a), p.scope(b)
	for i := range p.Slots {
		s := &p.Slots[i]
		data := s.Check.Stage() == StageData
		if data && p.mode(s, sa) != p.mode(s, sb) || !p.sameActions(s, sa, sb, data) {
			return false
		}
	}
	return true
}

// sameActions says whether two scopes lead every outcome of the check to the same: to the same action asked for, or, short of the data
// stage, to a tag for both or for neither.
func (p *Policy) sameActions(s *Slot, a, b *Scope, data bool) bool {
	for o := range s.outcomes(a, b) {
		f := Finding{Check: s.Check.Name(), Outcome: o}
		sa, sb := s.step(f, p.mode(s, a), a, nil), s.step(f, p.mode(s, b), b, nil)
		if data && sa.Asked != sb.Asked || !data && (sa.Done == Tag) != (sb.Done == Tag) {
			return false
		}
	}
	return true
}

// outcomes are those of the check that anything is said about.
func (s *Slot) outcomes(scopes ...*Scope) map[Outcome]bool {
	all := map[Outcome]bool{}
	for o := range s.Actions {
		all[o] = true
	}
	for _, sc := range scopes {
		if sc != nil {
			for o := range sc.Actions[s.Check.Name()] {
				all[o] = true
			}
		}
	}
	return all
}
