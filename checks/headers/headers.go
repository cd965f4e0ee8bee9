// Package headers is the check of the form of a message's header (RFC 5322 section 3.6).
//
//	[check.headers]
//	received = 100   # Received fields, above which the mail is taken to go in a circle; 1 to 1000
//	on = { from = "reject", loop = "reject", author = "tag", malformed = "tag" } # the default
//
// Outcomes, the gravest first; a message with several faults gets the first of them. With each the action by default:
//
//	from        reject  no From field, more than one, a group, or authors of more than 5 domains: nobody can tell whose message it is, and
//	                    every reader tells another story. 550 5.6.0. Honest software does not write such mail, and the large receivers
//	                    refuse it too.
//	loop        reject  too many Received fields. 554 5.4.6.
//	author      tag     From is there, but is malformed or ambiguous, or has several authors and no Sender. Newsletters with
//	                    an unquoted comma in the name are among these, so it is not refused.
//	malformed   tag     lines that are no field. Some servers end the header there, so what follows means one thing to one and
//	                    another to the next; but old scripts leave such lines too. The line "From ..." of a mailbox file at the
//	                    very top is let pass.
//	date        none    no Date field, more than one, or one that is no date: common in mail that machines send
//	message-id  none    no Message-ID field, more than one, or one without its form: likewise
//	charset     none    octets in the header that are no UTF-8 (RFC 6532): spam, but also old software that sends them raw
//	pass        none
//
// Evidence: fault (one for each, as "date: there is no Date field"), received (how many).
package headers

import (
	"context"
	"strconv"

	"gatepost/policy"
)

// The outcomes that are not of the core.
const (
	from      policy.Outcome = "from"
	loop      policy.Outcome = "loop"
	author    policy.Outcome = "author"
	malformed policy.Outcome = "malformed"
	date      policy.Outcome = "date"
	messageID policy.Outcome = "message-id"
	charset   policy.Outcome = "charset"
)

// Settings are those of [check.headers].
type Settings struct {
	Received int `toml:"received"` // fields, 1 to 1000
}

// Validate tells what is wrong with the settings.
func (s *Settings) Validate(problem func(key, message string)) {
	if s.Received < 1 || s.Received > 1000 {
		problem("received", "is not from 1 to 1000")
	}
}

// Kind describes the check.
func Kind() policy.Kind {
	return policy.Kind{
		Name: "headers",
		Outcomes: map[policy.Outcome]policy.Action{
			policy.Pass: policy.None, from: policy.Reject, loop: policy.Reject, author: policy.Tag, malformed: policy.Tag,
			date: policy.None, messageID: policy.None, charset: policy.None,
		},
		Settings: func() any { return &Settings{Received: 100} }, // RFC 5321 section 6.3: at least 100
	}
}

// Check is the check.
type Check struct{ received int }

// New makes the check.
func New(s *Settings) policy.Check { return &Check{s.Received} }

// Name is "headers".
func (*Check) Name() string { return "headers" }

// Stage is data.
func (*Check) Stage() policy.Stage { return policy.StageData }

// Run looks for faults.
func (c *Check) Run(_ context.Context, v policy.View) policy.Finding {
	h := read(v.Message)
	f := policy.Finding{Outcome: policy.Pass, Text: "The header is well formed", Status: policy.Status{Subject: 6, Detail: 0}}
	for i, x := range h.faults(c.received) {
		f.Facts = append(f.Facts, policy.Fact{Key: "fault", Value: string(x.outcome) + ": " + x.what})
		if i == 0 {
			f.Outcome, f.Text = x.outcome, "The header of the message has a fault: "+x.what
		}
	}
	if f.Outcome == loop { // RFC 5321 section 6.3, RFC 3463 section 3.5
		f.Code, f.Status = 554, policy.Status{Subject: 4, Detail: 6}
	}
	f.Facts = append(f.Facts, policy.Fact{Key: "received", Value: strconv.Itoa(h.received)})
	return f
}
