package rejudge

import (
	"gatepost/policy"
)

// Kind is what judging again came to.
type Kind uint8

// The kinds.
const (
	Same        Kind = iota // the same verdict
	Changed                 // another verdict
	Undecidable             // it hangs on a finding that was never made
	LeftOut                 // there was no verdict: the sender gave up before
)

// Outcome is what became of a recipient, and what would become of it now.
type Outcome struct {
	Kind    Kind
	Was, Is policy.Verdict
	By      string   // the check that makes the difference: what refuses now, or what did and does not any more
	Missing []string // the checks that were never asked; of Undecidable
	Now     policy.Decision
}

// Judge judges one recipient of a record by a policy. Relay control, the limits of the protocol and the answers of the backend are
// taken as they were; a recipient that is refused no more is taken for one that the backend takes.
func Judge(p *policy.Policy, r *policy.Record, rc *policy.RecipientRecord) Outcome {
	o := Outcome{Was: rc.Verdict, Is: rc.Verdict, By: rc.By}
	switch {
	case rc.Verdict == policy.Undecided:
		o.Kind = LeftOut
		return o
	case rc.By == "relay" || rc.By == "proxy": // refused before any check was asked
		return o
	}
	now := p.Replay(Case(r, rc))
	o.Now = now.Decision
	if v := now.Verdict(); v >= policy.Deferred || byPolicy(rc) {
		o.Is = v
	}
	if len(now.Missing) > 0 && !(rc.Verdict == policy.Rejected && !byPolicy(rc)) {
		o.Kind, o.Missing = Undecidable, now.Missing
		return o
	}
	if o.Is == o.Was {
		return o
	}
	o.Kind = Changed
	if now.By != "" && o.Is > o.Was || o.By == "" {
		o.By = now.By
	}
	return o
}

// byPolicy says whether it was the policy that came to a recipient's verdict.
func byPolicy(rc *policy.RecipientRecord) bool {
	return rc.Verdict <= policy.Tagged || rc.By != "backend" && rc.By != "protocol"
}
