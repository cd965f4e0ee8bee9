// Package checks is the one table of the checks that exist.
package checks

import (
	"log/slog"

	"gatepost/checks/pregreet"
	"gatepost/policy"
	"gatepost/resolver"
)

// Deps are what a check may need beside its settings.
type Deps struct {
	Resolver *resolver.Resolver
	Log      *slog.Logger // for alarms
}

// Entry is a check that can be set up. New gets the settings as Kind.Settings returned them, filled. A check that holds something is an
// io.Closer; one that has work in the background has Watch(context.Context).
type Entry struct {
	policy.Kind
	New   func(settings any, d Deps) (policy.Check, error)
	Early bool // its refusal is told before the banner
}

// Table lists the checks in the order in which a policy runs them unless it says otherwise.
func Table() []Entry {
	return []Entry{
		{Kind: pregreet.Kind(), New: func(any, Deps) (policy.Check, error) { return pregreet.Check{}, nil }, Early: true},
	}
}

// Kinds are the kinds of the table, in its order.
func Kinds() []policy.Kind {
	var ks []policy.Kind
	for _, e := range Table() {
		ks = append(ks, e.Kind)
	}
	return ks
}
