// Package pregreet is the check of clients that talk before the banner.
//
// A mail client waits for the greeting of the server (RFC 5321 section 3.1). Many bots do not: they write their whole dialogue
// at once. The banner is held back for a moment to see them.
//
//	[check.pregreet]
//	wait = "1s"                # how long the banner is held; "0s": only what has come by then is seen
//	on   = { fail = "reject" } # the default
//
// Outcomes: pass; fail (the client talked first). A refusal is told at once, as 554 5.5.0, and ends the session.
package pregreet

import (
	"context"
	"time"

	"gatepost/policy"
)

// Settings are those of [check.pregreet].
type Settings struct {
	Wait time.Duration `toml:"wait"` // 0 to 30 s
}

// Validate tells what is wrong with the settings.
func (s *Settings) Validate(problem func(key, message string)) {
	if s.Wait < 0 || s.Wait > 30*time.Second {
		problem("wait", "is not from 0s to 30s: senders give up on a banner that comes later")
	}
}

// Kind describes the check.
func Kind() policy.Kind {
	return policy.Kind{
		Name:     "pregreet",
		Outcomes: map[policy.Outcome]policy.Action{policy.Pass: policy.None, policy.Fail: policy.Reject},
		Settings: func() any { return &Settings{Wait: time.Second} },
	}
}

// Check is the check; what it reads is in the View.
type Check struct{}

// Name is "pregreet".
func (Check) Name() string { return "pregreet" }

// Stage is connect.
func (Check) Stage() policy.Stage { return policy.StageConnect }

// Run reports whether the client talked first.
func (Check) Run(_ context.Context, v policy.View) policy.Finding {
	if !v.EarlyTalk {
		return policy.Finding{Outcome: policy.Pass}
	}
	return policy.Finding{Outcome: policy.Fail, Status: policy.Status{Subject: 5, Detail: 0}, Code: 554,
		Text: "Your server talked before it was greeted"}
}
