// Package checks is the one table of the checks that exist.
package checks

import (
	"gatepost/checks/pregreet"
	"gatepost/policy"
)

// Entry is a check that can be set up.
type Entry struct {
	policy.Kind
	New   func(settings any) policy.Check // settings as Kind.Settings returned them, filled
	Early bool                            // its refusal is told before the banner
}

// Table lists the checks in the order in which a policy runs them unless it says otherwise.
func Table() []Entry {
	return []Entry{
		{Kind: pregreet.Kind(), New: func(any) policy.Check { return pregreet.Check{} }, Early: true},
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
