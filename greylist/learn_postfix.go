package greylist

import (
	"net/netip"
	"strings"
	"time"

	"gatepost/policy"
)

// postfixLog follows a log of Postfix. A mail is told of in three lines or more, which share its queue id:
//
//	Nov 21 10:02:11 mx postfix/smtpd[812]: 4C3F: client=mail.shop.example[203.0.113.9]
//	Nov 21 10:02:11 mx postfix/qmgr[80]: 4C3F: from=<a@shop.example>, size=812, nrcpt=1 (queue active)
//	Nov 21 10:02:12 mx postfix/lmtp[814]: 4C3F: to=<amy@example.com>, orig_to=<info@example.com>, relay=..., status=sent (...)
//	Nov 21 10:02:12 mx postfix/qmgr[80]: 4C3F: removed
//
// The time is that of syslog, or RFC 3339.
type postfixLog struct {
	now   time.Time
	mails *pending[postfixMail]
}

type postfixMail struct {
	client netip.Addr
	sender policy.Mailbox
	from   bool // sender is known; the null sender is zero
}

func newPostfixLog(now time.Time) *postfixLog {
	return &postfixLog{now, newPending[postfixMail]()}
}

func (p *postfixLog) name() string { return "Postfix" }

// line takes in a line.
func (p *postfixLog) line(s string) (d delivery, ok bool) {
	head, rest, ok := strings.Cut(s, " postfix")
	if !ok {
		return d, false
	}
	_, rest, ok = strings.Cut(rest, "]: ")
	id, rest, ok2 := strings.Cut(rest, ": ")
	if !ok || !ok2 || !isQueueID(id) {
		return d, false
	}
	switch m := p.mails.byID[id]; {
	case strings.HasPrefix(rest, "client="):
		p.mails.begin(id).client = clientOf(rest)
	case m == nil:
	case strings.HasPrefix(rest, "from=<"):
		m.sender, _ = mailbox(angle(rest, "from=<"))
		m.from = true
	case strings.HasPrefix(rest, "to=<") && strings.Contains(rest, ", status=sent "):
		return p.delivered(m, head, rest)
	case rest == "removed":
		delete(p.mails.byID, id)
	}
	return d, false
}

// delivered is a delivery. The recipient is the one that the sender wrote.
func (p *postfixLog) delivered(m *postfixMail, head, rest string) (d delivery, ok bool) {
	to := angle(rest, "to=<")
	if orig := angle(rest, " orig_to=<"); orig != "" {
		to = orig
	}
	d.rcpt, ok = mailbox(to)
	at, dated := syslogTime(head, p.now)
	if !ok || !dated || !m.from || !m.client.IsValid() || m.client.IsLoopback() {
		return d, false
	}
	d.at, d.client, d.sender = at, m.client, m.sender
	return d, true
}

// clientOf is the address in "client=name[203.0.113.9]", zero where there is none.
func clientOf(s string) netip.Addr {
	_, s, _ = strings.Cut(s, "[")
	s, _, _ = strings.Cut(s, "]")
	a, _ := netip.ParseAddr(strings.TrimPrefix(s, "IPv6:"))
	return a.Unmap()
}

// angle is what stands behind a word that ends in "<", up to its ">".
func angle(s, word string) string {
	_, s, ok := strings.Cut(s, word)
	s, _, ok2 := strings.Cut(s, ">")
	if !ok || !ok2 {
		return ""
	}
	return s
}

// isQueueID says whether a word is the name of a mail in the queue, and not NOQUEUE, warning and so on.
func isQueueID(s string) bool {
	return len(s) >= 5 && len(s) <= 32 && s != "NOQUEUE" && strings.Trim(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == "" &&
		strings.ContainsAny(s, "0123456789")
}

// syslogTime reads the time at the head of a line: "2026-11-21T10:02:11.123+01:00 mx", or "Nov 21 10:02:11 mx", whose year is such that it does
// not lie ahead.
func syslogTime(head string, now time.Time) (time.Time, bool) {
	word, _, _ := strings.Cut(head, " ")
	if t, err := time.Parse(time.RFC3339, word); err == nil {
		return notAhead(t, now), true
	}
	if len(head) < len(time.Stamp) {
		return time.Time{}, false
	}
	t, err := time.ParseInLocation("2006 "+time.Stamp, "2000 "+head[:len(time.Stamp)], now.Location()) // a leap year: 29 February
	if err != nil {
		return time.Time{}, false
	}
	t = t.AddDate(now.Year()-t.Year(), 0, 0)
	if t.After(now.Add(day)) {
		t = t.AddDate(-1, 0, 0)
	}
	return notAhead(t, now), true
}

// notAhead is a time, or now where a clock was ahead.
func notAhead(t, now time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}
