// Package size is the check of large messages.
//
// limits.message_size bounds every message and is announced in answer to EHLO. This check is for less than that, for some
// recipients: it is "off" until `max` is set, and may be off for a domain by [domain."example.net"] check.size.mode = "off".
//
//	[check.size]
//	max = "0B"                  # the largest message, content as it came in; "0B": any
//	on  = { large = "reject" }  # the default
//
// Outcomes: pass (none); large (reject, 552 5.3.4).
//
// Evidence: size and max, octets.
//
// Source: RFC 1870 section 6.3, RFC 3463 section 3.4.
package size

import (
	"context"
	"fmt"
	"strconv"

	"gatepost/policy"
)

const large policy.Outcome = "large"

// Settings are those of [check.size].
type Settings struct {
	Max int64 `toml:"max" unit:"size"` // octets; 0: no limit
}

// Validate tells what is wrong with the settings.
func (s *Settings) Validate(problem func(key, message string)) {
	if s.Max < 0 {
		problem("max", "is less than nothing")
	}
}

// Kind describes the check.
func Kind() policy.Kind {
	return policy.Kind{
		Name:     "size",
		Outcomes: map[policy.Outcome]policy.Action{policy.Pass: policy.None, large: policy.Reject},
		Settings: func() any { return &Settings{} },
	}
}

// Check is the check.
type Check struct{ max int64 }

// New makes the check.
func New(s *Settings) policy.Check { return &Check{s.Max} }

// Name is "size".
func (*Check) Name() string { return "size" }

// Stage is data: what SIZE announced is no more than a promise.
func (*Check) Stage() policy.Stage { return policy.StageData }

// WantsWhole marks a check that looks at the size.
func (*Check) WantsWhole() {}

// Run compares the size of the message with the limit.
func (c *Check) Run(_ context.Context, v policy.View) policy.Finding {
	size := v.Message.Size
	f := policy.Finding{Outcome: policy.Pass, Status: policy.Status{Subject: 3, Detail: 4}, Code: 552,
		Text:  "The message is small enough",
		Facts: []policy.Fact{{Key: "size", Value: strconv.FormatInt(size, 10)}}}
	if c.max == 0 {
		return f
	}
	f.Facts = append(f.Facts, policy.Fact{Key: "max", Value: strconv.FormatInt(c.max, 10)})
	if size > c.max {
		f.Outcome = large
		f.Text = fmt.Sprintf("The message has %d octets, and %d are the most that its recipients take", size, c.max)
	}
	return f
}
