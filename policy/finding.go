package policy

import (
	"fmt"
	"time"
)

// Status is the subject and the detail of an enhanced status code (RFC 3463 section 2); the class comes from the
// action, so a reply whose code and status disagree cannot be written.
type Status struct {
	Subject uint16 `json:"s"`
	Detail  uint16 `json:"d"`
}

// Fact is one piece of a finding's evidence.
type Fact struct {
	Key   string `json:"k"`
	Value string `json:"v"`
}

// Finding is what one check saw, and the words for a refusal that follows from it.
type Finding struct {
	Check   string        `json:"check"`
	Stage   Stage         `json:"stage"`
	Outcome Outcome       `json:"outcome"`
	Status  Status        `json:"status,omitzero"` // what a refusal by it carries
	Code    int           `json:"code,omitempty"`  // the reply code of a refusal where it is not 451 or 550; it counts where its class is the action's
	Text    string        `json:"text,omitempty"`  // for the sender: one sentence without a full stop
	Facts   []Fact        `json:"facts,omitempty"` // ordered, enough to judge again later
	Auth    []AuthResult  `json:"auth,omitempty"`  // for Authentication-Results
	Took    time.Duration `json:"took_ns"`
}

// AuthResult is one method's result in Authentication-Results (RFC 8601 section 2.2).
type AuthResult struct {
	Method  string `json:"method"` // spf, dkim, dmarc, iprev
	Result  string `json:"result"` // a word that RFC 8601 section 2.7 has for the method
	Comment string `json:"comment,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Props   []Fact `json:"props,omitempty"` // keys are ptype.property, such as smtp.mailfrom
}

// Fact is the value of the first fact with this key, "" where there is none.
func (f Finding) Fact(key string) string {
	for _, x := range f.Facts {
		if x.Key == key {
			return x.Value
		}
	}
	return ""
}

// Reply is an SMTP reply; lines of the text are parted by "\n", an enhanced status code stands at its start. The zero
// Reply is none.
type Reply struct {
	Code int    `json:"code"`
	Text string `json:"text"`
}

// ReplyFor builds the reply that carries out an action: 550 5.x.y for Reject, 451 4.x.y for Defer, none for the
// milder ones (RFC 5321 section 4.2.1, RFC 3463 section 2).
func ReplyFor(a Action, s Status, text string) Reply {
	class, code := 0, 0
	switch a {
	case Defer:
		class, code = 4, 451
	case Reject:
		class, code = 5, 550
	default:
		return Reply{}
	}
	return Reply{code, fmt.Sprintf("%d.%d.%d %s", class, s.Subject, s.Detail, text)}
}

// reply is the reply for a finding that leads to an action. A code of the finding's own is kept where its class fits. A refusal
// for good says whom to ask.
func (f Finding) reply(a Action, contact string) Reply {
	text := f.Text
	if a == Reject && contact != "" {
		text += "; see " + contact
	}
	r := ReplyFor(a, f.Status, text)
	if f.Code/100 == r.Code/100 && r.Code != 0 {
		r.Code = f.Code
	}
	return r
}
