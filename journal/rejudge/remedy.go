package rejudge

import (
	"fmt"
	"slices"
	"strings"

	"gatepost/policy"
)

// Remedy is a smallest change that lets a recipient in. Each was judged before it is given.
type Remedy struct {
	Changes []string     // what to change: a setting such as `check.spf.mode = "monitor"`, or a fact of the world such as "the listing goes"
	Rule    *policy.Rule // the rule to add; nil for another change
}

// Remedies are the changes of each kind that would have kept a refused case from being refused: that the finding were another, a setting of the
// check, the action of the outcome, the mode of the check, a rule. A kind that takes several checks names a change for each. Where the
// recipient has an override ([domain."x"]), action and mode are changed there if that is enough, for it holds for fewer recipients.
// It is empty for a case that is not refused.
func Remedies(p *policy.Policy, c policy.Case) []Remedy {
	if p.Replay(c).Done < policy.Defer {
		return nil
	}
	var rs []Remedy
	for _, kind := range [][]step{{otherFinding}, {otherSetting}, {ownAction, otherAction}, {ownMode, otherMode}} {
		for _, step := range kind {
			if changes := repeat(p, c, step); changes != nil {
				rs = append(rs, Remedy{Changes: changes})
				break
			}
		}
	}
	if r, ok := Propose(p, c); ok {
		rs = append(rs, Remedy{Rule: &r})
	}
	return rs
}

// step takes away what decides, if it can; it changes copies alone.
type step func(p policy.Policy, c policy.Case, d policy.Decision) (change string, q policy.Policy, e policy.Case, ok bool)

// repeat takes steps until the case is not refused, and gives the changes made; nil where it stays refused.
func repeat(p *policy.Policy, c policy.Case, next step) []string {
	var changes []string
	q := *p
	for range len(p.Slots) + len(p.Rules) + 1 {
		d := q.Replay(c)
		if d.Done < policy.Defer {
			return changes
		}
		change, r, e, ok := next(q, c, d.Decision)
		if !ok || slices.Contains(changes, change) {
			return nil
		}
		changes, q, c = append(changes, change), r, e
	}
	return nil
}

// otherFinding is that the check that decides finds nothing.
func otherFinding(p policy.Policy, c policy.Case, d policy.Decision) (string, policy.Policy, policy.Case, bool) {
	f, i := deciding(p, d)
	if i < 0 {
		return "", p, c, false
	}
	s := p.Slots[i]
	change := wish(f)
	if change == "" {
		return "", p, c, false
	}
	c.Findings = slices.Clone(c.Findings)
	for j := range c.Findings {
		if c.Findings[j].Check == d.By {
			c.Findings[j].Outcome = policy.Pass
		}
	}
	p.Slots = slices.Clone(p.Slots)
	p.Slots[i].Check = supposed{s.Check}
	return change, p, c, true
}

// wish is what the sender or the world could do about a finding; "" where that is plain, as for a message that is too large.
func wish(f policy.Finding) string {
	switch {
	case f.Outcome == "listed":
		return "the listing goes"
	case f.Check == "greylist":
		return "it is tried again in time"
	case f.Check == "spf":
		return "SPF passes"
	case f.Check == "dmarc":
		return "SPF or DKIM proves the author's domain"
	case f.Check == "rdns":
		return "the client's name is confirmed"
	}
	return ""
}

// supposed is a check whose findings are taken as they are: its methods beside those of policy.Check do not show.
type supposed struct{ policy.Check }

// otherSetting is another setting of the check that decides.
func otherSetting(p policy.Policy, c policy.Case, d policy.Decision) (string, policy.Policy, policy.Case, bool) {
	f, i := deciding(p, d)
	if i < 0 {
		return "", p, c, false
	}
	l, ok := p.Slots[i].Check.(policy.Looser)
	if !ok {
		return "", p, c, false
	}
	setting, looser, ok := l.Looser(f)
	if !ok {
		return "", p, c, false
	}
	p.Slots = slices.Clone(p.Slots)
	p.Slots[i].Check = looser
	return "check." + d.By + "." + setting, p, c, true
}

// otherAction is another action for the outcome that decides.
func otherAction(p policy.Policy, c policy.Case, d policy.Decision) (string, policy.Policy, policy.Case, bool) {
	f, i := deciding(p, d)
	if i < 0 || p.Slots[i].Actions[f.Outcome] < policy.Defer {
		return "", p, c, false
	}
	p.Slots = slices.Clone(p.Slots)
	p.Slots[i].Actions = plus(p.Slots[i].Actions, f.Outcome, policy.Tag)
	return fmt.Sprintf("check.%s.on.%s = %q", d.By, f.Outcome, policy.Tag), p, c, true
}

// ownAction is another action for the outcome that decides, in the recipient's override.
func ownAction(p policy.Policy, c policy.Case, d policy.Decision) (string, policy.Policy, policy.Case, bool) {
	f, i := deciding(p, d)
	name, ok := p.ScopeOf(c.Recipient)
	if i < 0 || !ok {
		return "", p, c, false
	}
	sc := p.Scopes[name]
	sc.Actions = plus(sc.Actions, d.By, plus(sc.Actions[d.By], f.Outcome, policy.Tag))
	p.Scopes = plus(p.Scopes, name, sc)
	return fmt.Sprintf("domain.%q.check.%s.on.%s = %q", name, d.By, f.Outcome, policy.Tag), p, c, true
}

// otherMode is that the check that decides is only monitored, or that the rule that decides is gone.
func otherMode(p policy.Policy, c policy.Case, d policy.Decision) (string, policy.Policy, policy.Case, bool) {
	if name, ok := strings.CutPrefix(d.By, "rule."); ok {
		p.Rules = slices.DeleteFunc(slices.Clone(p.Rules), func(r policy.Rule) bool { return r.Name == name })
		return d.By + " goes", p, c, true
	}
	_, i := deciding(p, d)
	if i < 0 {
		return "", p, c, false
	}
	p.Slots = slices.Clone(p.Slots)
	p.Slots[i].Mode = policy.Monitor
	return fmt.Sprintf("check.%s.mode = %q", d.By, policy.Monitor), p, c, true
}

// ownMode is that the check that decides is only monitored for the recipient's override. A rule that decides is in none.
func ownMode(p policy.Policy, c policy.Case, d policy.Decision) (string, policy.Policy, policy.Case, bool) {
	if strings.HasPrefix(d.By, "rule.") {
		return otherMode(p, c, d)
	}
	_, i := deciding(p, d)
	name, ok := p.ScopeOf(c.Recipient)
	if i < 0 || !ok {
		return "", p, c, false
	}
	sc := p.Scopes[name]
	sc.Modes = plus(sc.Modes, d.By, policy.Monitor)
	p.Scopes = plus(p.Scopes, name, sc)
	return fmt.Sprintf("domain.%q.check.%s.mode = %q", name, d.By, policy.Monitor), p, c, true
}

// plus is a copy of a map with an entry.
func plus[K comparable, V any](m map[K]V, key K, v V) map[K]V {
	to := map[K]V{key: v}
	for k, v := range m {
		if k != key {
			to[k] = v
		}
	}
	return to
}

// deciding is the finding that decided, and the place of its check in the policy; -1 where it was no check.
func deciding(p policy.Policy, d policy.Decision) (policy.Finding, int) {
	i := slices.IndexFunc(p.Slots, func(s policy.Slot) bool { return s.Check.Name() == d.By })
	for _, st := range d.Steps {
		if st.Finding.Check == d.By && st.Done == d.Done {
			return st.Finding, i
		}
	}
	return policy.Finding{}, -1
}
