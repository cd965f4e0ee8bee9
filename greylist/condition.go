package greylist

import (
	"fmt"
	"strings"

	"gatepost/policy"
)

// Condition is one of only_if: an outcome of another check, written "spf:none", or any but one, written "spf:!pass".
type Condition struct {
	Check   string
	Outcome policy.Outcome
	Not     bool
}

// UnmarshalText reads a condition. Whether there is such a check, and such an outcome, is not known here; see Settings.Conditions.
func (c *Condition) UnmarshalText(b []byte) error {
	check, outcome, ok := strings.Cut(string(b), ":")
	outcome, not := strings.CutPrefix(outcome, "!")
	if !ok || !isWord(check) || !isWord(outcome) {
		return fmt.Errorf("%.40q is no condition: write the check and its outcome, as \"spf:none\", or \"spf:!pass\" for any other", b)
	}
	*c = Condition{check, policy.Outcome(outcome), not}
	return nil
}

// String is the condition as it is written.
func (c Condition) String() string {
	if c.Not {
		return c.Check + ":!" + string(c.Outcome)
	}
	return c.Check + ":" + string(c.Outcome)
}

// holds says whether an outcome fulfils the condition. A temperror does so only by name: it says nothing about the sender.
func (c Condition) holds(o policy.Outcome) bool {
	if c.Not {
		return o != c.Outcome && o != policy.TempError
	}
	return o == c.Outcome
}

// Conditions tells of each outcome of another check that the settings go by, with the key at which it stands, to who knows the checks.
func (s *Settings) Conditions(tell func(key, check string, outcome policy.Outcome)) {
	for i, c := range s.OnlyIf {
		tell(fmt.Sprintf("only_if[%d]", i), c.Check, c.Outcome)
	}
}

func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}
