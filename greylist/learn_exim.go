package greylist

import (
	"net/netip"
	"strings"
	"time"

	"gatepost/policy"
)

// eximLog follows a main log of Exim. A mail is told of by a line for its arrival and one for each delivery:
//
//	2026-11-21 10:02:11 1wXyZ0-0001Ab-2C <= a@shop.example H=mail.shop.example (helo) [203.0.113.9]:41234 P=esmtps S=812 ...
//	2026-11-21 10:02:12 1wXyZ0-0001Ab-2C => amy <amy@example.com> R=local T=lmtp ...
//	2026-11-21 10:02:12 1wXyZ0-0001Ab-2C -> bob@example.com R=local T=lmtp ...
//	2026-11-21 10:02:12 1wXyZ0-0001Ab-2C Completed
//
// The time may have parts of a second and an offset behind it (log_selector +millisec, log_timezone), and a process id after it.
type eximLog struct {
	now   time.Time
	mails *pending[eximMail]
}

type eximMail struct {
	client netip.Addr
	sender policy.Mailbox
}

func newEximLog(now time.Time) *eximLog { return &eximLog{now, newPending[eximMail]()} }

func (x *eximLog) name() string { return "Exim" }

// line takes in a line.
func (x *eximLog) line(s string) (d delivery, ok bool) {
	at, s, ok := x.time(s)
	if !ok {
		return d, false
	}
	if strings.HasPrefix(s, "[") { // log_selector +pid
		_, s, _ = strings.Cut(s, "] ")
	}
	id, rest, _ := strings.Cut(s, " ")
	if n := strings.Count(id, "-"); n != 2 || len(id) < 16 || len(id) > 32 {
		return d, false
	}
	word, rest, _ := strings.Cut(rest, " ")
	m := x.mails.byID[id]
	switch {
	case word == "<=":
		x.arrived(id, rest)
	case m == nil:
	case word == "=>" || word == "->":
		d = delivery{at: at, client: m.client, sender: m.sender}
		d.rcpt, ok = eximRecipient(rest)
		return d, ok
	case word == "Completed":
		delete(x.mails.byID, id)
	}
	return d, false
}

// arrived notes a mail that came over SMTP. One of this machine has no H=.
func (x *eximLog) arrived(id, rest string) {
	from, rest, _ := strings.Cut(rest, " ")
	_, host, ok := strings.Cut(" "+rest, " H=")
	if !ok {
		return
	}
	host, _, _ = strings.Cut(host, " P=")
	i := strings.LastIndexByte(host, '[')
	if i < 0 {
		return
	}
	client := clientOf(host[i:])
	sender, ok := mailbox(from)
	if !client.IsValid() || client.IsLoopback() || !ok && from != "<>" {
		return
	}
	*x.mails.begin(id) = eximMail{client, sender}
}

// eximRecipient is the address as the sender wrote it: the one in "<>" where the final one differs.
func eximRecipient(rest string) (policy.Mailbox, bool) {
	head, _, _ := strings.Cut(rest, " R=")
	if orig := angle(head, "<"); orig != "" {
		return mailbox(orig)
	}
	word, _, _ := strings.Cut(head, " ")
	return mailbox(word)
}

// time reads the time at the head of a line.
func (x *eximLog) time(s string) (t time.Time, rest string, ok bool) {
	date, s, _ := strings.Cut(s, " ")
	clock, s, ok := strings.Cut(s, " ")
	if !ok {
		return t, "", false
	}
	t, err := time.ParseInLocation("2006-01-02 15:04:05", date+" "+clock, x.now.Location()) // parts of a second are taken as well
	if err != nil {
		return t, "", false
	}
	if zone, after, _ := strings.Cut(s, " "); len(zone) == 5 && (zone[0] == '+' || zone[0] == '-') {
		if z, err := time.Parse("2006-01-02 15:04:05 -0700", date+" "+clock+" "+zone); err == nil {
			t, s = z, after
		}
	}
	return notAhead(t, x.now), s, true
}
