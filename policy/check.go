package policy

import (
	"context"
	"io"
	"net/netip"
	"strings"
	"time"
)

// Check looks at one thing at one stage and reports what it saw; it never decides. It is safe for concurrent use, keeps
// nothing of a session but in the View's Marks, and returns soon after its context ends.
type Check interface {
	Name() string // its Kind's name
	Stage() Stage // the earliest stage at which it has all it reads
	Run(ctx context.Context, v View) Finding
}

// Follower is a Check that reads the findings of others, of its stage or an earlier one. It starts beside those of its stage, and waits for
// a finding where it calls View.Finding.
type Follower interface {
	Check
	Follows() []string // names of checks; one that is not set up is passed over
}

// Reader is a Check of StageData that reads the content. It runs while the content comes in; View.Content gives it from the first
// octet on, and fails where the content does not come whole.
type Reader interface {
	Check
	ReadsContent()
}

// Whole is a Check of StageData that looks at what only the end of the content tells, which is Message.Size. The others run as soon as
// the header is whole, and their time is not up before the end of the content.
type Whole interface {
	Check
	WantsWhole()
}

// LastResort is a Check of StageRcpt that runs only for a recipient whom nothing else refuses, as greylisting does.
type LastResort interface {
	Check
	LastResort()
}

// Observer is a Check that wants to know how each recipient was answered in the end, by the backend too.
type Observer interface {
	Check
	Observe(v View, r Reply)
}

// Mailbox is an address as a policy sees it.
type Mailbox struct {
	Local  string // without quoting
	Domain string // lower case, A-labels; "" for the null reverse-path and for <postmaster>
}

// String is local@domain, for people; "" for the null reverse-path.
func (m Mailbox) String() string {
	if m.Domain == "" {
		return m.Local
	}
	return m.Local + "@" + m.Domain
}

// Unquoted is a local part without its quoting (RFC 5321 section 4.1.2).
func Unquoted(local string) string {
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local
	}
	var b strings.Builder
	for quoted := local[1 : len(local)-1]; quoted != ""; quoted = quoted[1:] {
		if quoted[0] == '\\' && len(quoted) > 1 {
			quoted = quoted[1:]
		}
		b.WriteByte(quoted[0])
	}
	return b.String()
}

// View is what is known of a session when a check runs. What a stage has not brought yet is zero.
type View struct {
	Time        time.Time  // when the stage was reached
	Client      netip.Addr // the sender's address, never an IPv4-mapped one
	EarlyTalk   bool       // it sent bytes before the banner
	Hostname    string     // our own name
	Helo        string     // its HELO or EHLO name, as sent
	TLS         bool
	Sender      Mailbox // the reverse-path
	NullPath    bool    // the reverse-path is <>
	Recipient   Mailbox // at StageRcpt
	Message     *Message
	Content     io.Reader // for a Reader
	Session     *Marks    // what checks noted of the session
	Transaction *Marks    // what they noted since MAIL

	findings func(check string) (Finding, bool)
}

// Finding is the finding of a check that a Follower follows, once it is there; false where that check did not run.
func (v View) Finding(check string) (Finding, bool) {
	if v.findings == nil {
		return Finding{}, false
	}
	return v.findings(check)
}

// With is the view with findings for a Follower, for tests of checks.
func (v View) With(findings ...Finding) View {
	v.findings = func(check string) (Finding, bool) {
		for _, f := range findings {
			if f.Check == check {
				return f, true
			}
		}
		return Finding{}, false
	}
	return v
}
