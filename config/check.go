package config

import (
	"maps"
	"slices"

	"gatepost/policy"
)

// kind is the kind of that name.
func (r *reader) kind(name string) (policy.Kind, bool) {
	i := slices.IndexFunc(r.kinds, func(k policy.Kind) bool { return k.Name == name })
	if i < 0 {
		return policy.Kind{}, false
	}
	return r.kinds[i], true
}

func (r *reader) kindNames() []string {
	names := make([]string, len(r.kinds))
	for i, k := range r.kinds {
		names[i] = k.Name
	}
	return names
}

// checks sets up every check that runs. A table of one that does not is looked at all the same, so that all that is wrong is told at once.
func (r *reader) checks(tables map[string]any) {
	bound := map[string]Check{}
	for _, name := range r.ordered("check", tables) {
		path := Path("check", name)
		if !r.isKind(path, name) {
			continue
		}
		r.runs(path, name)
		if table, ok := r.isTable(path, tables[name]); ok {
			k, _ := r.kind(name)
			bound[name] = r.check(k, table)
		}
	}
	for _, name := range r.config.Policy.Checks {
		k, ok := r.kind(name)
		if !ok {
			continue
		}
		c, ok := bound[name]
		if !ok {
			c = r.check(k, nil)
		}
		r.config.Checks = append(r.config.Checks, c)
	}
}

// isKind reports whether there is such a check; if not, that is told at the key.
func (r *reader) isKind(path, name string) bool {
	_, ok := r.kind(name)
	if !ok {
		r.atKey(path, "%v", NoWord(name, "check", r.kindNames()))
	}
	return ok
}

// runs wants the check in policy.checks; that it is not there is told at the key.
func (r *reader) runs(path, name string) {
	if !slices.Contains(r.config.Policy.Checks, name) && !r.blamed["policy.checks"] {
		r.atKey(path, "is not in policy.checks, so it never runs")
	}
}

// check binds one check's table, which may be absent.
func (r *reader) check(k policy.Kind, table map[string]any) Check {
	path := Path("check", k.Name)
	c := Check{Name: k.Name, Mode: policy.Enforce}
	into := []any{&c}
	if k.Settings != nil {
		c.Settings = k.Settings()
		into = append(into, c.Settings)
	}
	r.table(path, table, into...)
	r.outcomes(path+".on", k, c.On)
	if v, ok := c.Settings.(interface {
		Validate(problem func(key, message string))
	}); ok {
		v.Validate(func(key, message string) { r.settingProblem(path, key, message) })
	}
	if v, ok := c.Settings.(interface {
		Conditions(tell func(key, check string, outcome policy.Outcome))
	}); ok {
		v.Conditions(func(key, check string, outcome policy.Outcome) { r.condition(path+"."+key, check, outcome) })
	}
	return c
}

// condition refuses a check that there is not, and an outcome that it never reports.
func (r *reader) condition(path, check string, outcome policy.Outcome) {
	k, ok := r.kind(check)
	if !ok {
		r.at(path, "%v", NoWord(check, "check", r.kindNames()))
		return
	}
	if _, ok := k.Outcomes[outcome]; !ok {
		r.at(path, "%v", noOutcome(outcome, k))
	}
}

// settingProblem is a problem that a check found in its own settings; key is relative to its table, or empty.
func (r *reader) settingProblem(path, key, message string) {
	if key != "" {
		path += "." + key
	}
	r.at(path, "%s", message)
}

// outcomes refuses outcomes that the check never reports.
func (r *reader) outcomes(path string, k policy.Kind, on map[policy.Outcome]policy.Action) {
	for _, o := range slices.Sorted(maps.Keys(on)) {
		if _, ok := k.Outcomes[o]; !ok {
			r.atKey(under(path, string(o)), "%v", noOutcome(o, k))
		}
	}
}

// noOutcome says that the check never reports the outcome.
func noOutcome(o policy.Outcome, k policy.Kind) error {
	var known []string
	for _, o := range slices.Sorted(maps.Keys(k.Outcomes)) {
		known = append(known, string(o))
	}
	return NoWord(string(o), "outcome of "+k.Name, known)
}
