package policy

import "fmt"

// Stage is where in the dialogue something can be known.
type Stage uint8

// The stages, in the order of a session.
const (
	StageConnect Stage = iota
	StageHelo
	StageMail
	StageRcpt
	StageData
)

// Action is what the policy does about an outcome. It is ordered: the strongest wins a fold.
type Action uint8

// The actions, from the mildest.
const (
	None   Action = iota
	Tag           // accepted, with a header that says why
	Defer         // refused for now: 4xx
	Reject        // refused for good: 5xx
)

// Mode says whether a check's findings act. It is ordered: where several apply, the lowest counts.
type Mode uint8

// The modes.
const (
	Off     Mode = iota // the check does not run
	Monitor             // it runs and is recorded, and never acts
	Enforce             // it acts
)

// Verdict is what happened to one recipient.
type Verdict uint8

// The verdicts.
const (
	Undecided Verdict = iota // the sender gave the transaction up before it came to a verdict
	Accepted
	Tagged
	Deferred
	Rejected
)

var (
	stageWords   = []string{"connect", "helo", "mail", "rcpt", "data"}
	actionWords  = []string{"none", "tag", "defer", "reject"}
	modeWords    = []string{"off", "monitor", "enforce"}
	verdictWords = []string{"none", "accepted", "tagged", "deferred", "rejected"}
)

// String is the word for the stage.
func (s Stage) String() string { return word(stageWords, uint8(s)) }

// String is the word for the action.
func (a Action) String() string { return word(actionWords, uint8(a)) }

// String is the word for the mode.
func (m Mode) String() string { return word(modeWords, uint8(m)) }

// String is the word for the verdict.
func (v Verdict) String() string { return word(verdictWords, uint8(v)) }

// MarshalText is the word for the stage.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalText is the word for the action.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// MarshalText is the word for the mode.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// MarshalText is the word for the verdict.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads the word for a stage.
func (s *Stage) UnmarshalText(b []byte) error { return parse(s, stageWords, "stage", b) }

// UnmarshalText reads the word for an action.
func (a *Action) UnmarshalText(b []byte) error { return parse(a, actionWords, "action", b) }

// UnmarshalText reads the word for a mode.
func (m *Mode) UnmarshalText(b []byte) error { return parse(m, modeWords, "mode", b) }

// UnmarshalText reads the word for a verdict.
func (v *Verdict) UnmarshalText(b []byte) error { return parse(v, verdictWords, "verdict", b) }

func word(words []string, i uint8) string {
	if int(i) < len(words) {
		return words[i]
	}
	return fmt.Sprint("unknown ", i)
}

func parse[T ~uint8](to *T, words []string, kind string, b []byte) error {
	for i, w := range words {
		if w == string(b) {
			*to = T(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no %s: it is one of %q", b, kind, words)
}

// Outcome is a check's result word, such as "pass" or "softfail". Each check names its own.
type Outcome string

// The outcomes that the core itself gives.
const (
	Pass      Outcome = "pass"
	Fail      Outcome = "fail"
	NoneFound Outcome = "none"
	TempError Outcome = "temperror"
	PermError Outcome = "permerror"
)
