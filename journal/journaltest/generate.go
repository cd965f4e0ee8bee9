// Package journaltest makes records for tests: a mix of mail as a server at the edge sees it.
package journaltest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"gatepost/policy"
)

// Mix makes records: about half of what comes is refused for a listed client, a tenth is greylisted, a tenth asks for unknown
// users, and the rest is taken. The same seed gives the same records. It is for one goroutine.
type Mix struct {
	rand  *rand.Rand
	now   time.Time
	every time.Duration
}

// NewMix makes a mix that begins at a time, with a record every so often, more or less.
func NewMix(seed uint64, start time.Time, every time.Duration) *Mix {
	return &Mix{rand.New(rand.NewPCG(seed, 1)), start.UTC(), every}
}

// Next is the next record.
func (m *Mix) Next() *policy.Record {
	m.now = m.now.Add(time.Duration(m.rand.Float64() * 2 * float64(m.every)))
	switch n := m.rand.IntN(100); {
	case n < 8:
		return m.turnedAway()
	case n < 50:
		return m.listed()
	case n < 60:
		return m.greylisted()
	case n < 70:
		return m.unknownUser()
	case n < 75:
		return m.forged()
	}
	return m.accepted()
}

func (m *Mix) begin() *policy.Record {
	r := &policy.Record{Time: m.now, Ref: m.ref(), Session: m.ref(), Listener: "smtp", Client: m.client(), Proto: "ESMTPS",
		TLS: "TLS 1.3 TLS_AES_128_GCM_SHA256", Policy: "2gq8k1x0a9zd", Took: time.Duration(m.rand.IntN(900)+40) * time.Millisecond}
	r.Took += time.Duration(m.rand.IntN(1e6))
	return r
}

func (m *Mix) ref() string {
	b := make([]byte, 10)
	for i := range b {
		b[i] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[m.rand.IntN(32)]
	}
	return string(b)
}

// client is one of about 60,000 addresses, some more often than others.
func (m *Mix) client() netip.Addr {
	n := min(m.rand.IntN(60000), m.rand.IntN(60000))
	if n%10 == 0 {
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(n >> 8), byte(n), 0, 0, 15: byte(n)})
	}
	return netip.AddrFrom4([4]byte{[...]byte{203, 198, 192, 45, 91}[n%5], byte(n >> 8), byte(n), byte(n * 7)})
}

func (m *Mix) word() string {
	parts := [...]string{"ma", "ri", "ko", "ten", "sol", "ver", "lin", "da", "fos", "gre", "hal", "ni", "pur", "que", "sta", "wil"}
	s := ""
	for range 2 + m.rand.IntN(2) {
		s += parts[m.rand.IntN(len(parts))]
	}
	return s
}

// domain is one of some thousand, the low ones much more often.
func (m *Mix) domain() string {
	if m.rand.IntN(2) == 0 {
		return [...]string{"mail.example", "shop.example", "bank.example", "news.example", "cloud.example"}[m.rand.IntN(5)]
	}
	return m.word() + [...]string{".example", ".test", ".example.net", ".invalid"}[m.rand.IntN(4)]
}

func (m *Mix) rcpt() string {
	names := [...]string{"amy", "bob", "carol", "dan", "erin", "frank", "grace", "heidi", "info", "office", "sales", "postmaster"}
	if n := m.rand.IntN(300); n < len(names) {
		return names[n] + "@example.com"
	} else {
		return fmt.Sprintf("user%d@example.com", n)
	}
}

// envelope gives a sender, a HELO and the findings of the client.
func (m *Mix) envelope(r *policy.Record) string {
	domain := m.domain()
	sender := m.word() + "@" + domain
	if m.rand.IntN(5) == 0 {
		sender = fmt.Sprintf("bounce-%d-%s@bounces.%s", m.rand.IntN(1e6), m.word(), domain)
	}
	r.Sender, r.Helo = &sender, "mail."+domain
	r.ClientName = r.Helo
	r.Findings = []policy.Finding{m.rate(), m.rdns(r)}
	return domain
}

func (m *Mix) took(most int) time.Duration { return time.Duration(m.rand.IntN(most * 1e6)) }

func (m *Mix) rate() policy.Finding {
	return policy.Finding{Check: "ratelimit", Stage: policy.StageConnect, Outcome: policy.Pass, Took: m.took(1),
		Facts: []policy.Fact{{Key: "connections", Value: fmt.Sprintf("%d of 60/1m0s", 1+m.rand.IntN(9))}}}
}

func (m *Mix) rdns(r *policy.Record) policy.Finding {
	return policy.Finding{Check: "rdns", Stage: policy.StageConnect, Outcome: policy.Pass, Status: policy.Status{Subject: 7, Detail: 25}, Took: m.took(60),
		Facts: []policy.Fact{{Key: "name", Value: r.ClientName}},
		Auth:  []policy.AuthResult{{Method: "iprev", Result: "pass", Props: []policy.Fact{{Key: "policy.iprev", Value: r.Client.String()}}}}}
}

func (m *Mix) dnsbl(r *policy.Record, listed bool) policy.Finding {
	f := policy.Finding{Check: "dnsbl", Stage: policy.StageConnect, Outcome: policy.Pass, Status: policy.Status{Subject: 7, Detail: 1}, Took: m.took(80),
		Facts: []policy.Fact{{Key: "clear", Value: "zen.spamhaus.org,list.dnswl.org"}, {Key: "score", Value: "0 of 5"}}}
	if listed {
		f.Outcome, f.Text = "listed", r.Client.String()+" is listed at zen.spamhaus.org"
		f.Facts = []policy.Fact{{Key: "zone", Value: fmt.Sprintf("zen.spamhaus.org 127.0.0.%d weight 5", 2+m.rand.IntN(10))},
			{Key: "clear", Value: "list.dnswl.org"}, {Key: "score", Value: "5 of 5"}}
	}
	return f
}

func (m *Mix) spf(r *policy.Record, domain string, o policy.Outcome) policy.Finding {
	text := "SPF: " + r.Client.String() + " may send for " + domain
	if o != policy.Pass {
		text = "SPF: " + r.Client.String() + " is not allowed to send for " + domain
	}
	return policy.Finding{Check: "spf", Stage: policy.StageMail, Outcome: o, Status: policy.Status{Subject: 7, Detail: 23}, Text: text, Took: m.took(90),
		Facts: []policy.Fact{{Key: "identity", Value: "mailfrom"}, {Key: "domain", Value: domain}, {Key: "client", Value: r.Client.String()},
			{Key: "record", Value: "v=spf1 ip4:" + r.Client.String() + " include:_spf." + domain + " -all"},
			{Key: "matched", Value: "ip4:" + r.Client.String()}, {Key: "lookups", Value: fmt.Sprint(1 + m.rand.IntN(6))}},
		Auth: []policy.AuthResult{{Method: "spf", Result: string(o), Props: []policy.Fact{{Key: "smtp.mailfrom", Value: domain}}}}}
}

func (m *Mix) greylist(r *policy.Record, rcpt string, o policy.Outcome) policy.Finding {
	return policy.Finding{Check: "greylist", Stage: policy.StageRcpt, Outcome: o, Status: policy.Status{Subject: 7, Detail: 1}, Code: 451,
		Text: "Greylisted: please try again in 5 minutes", Took: m.took(1), Facts: []policy.Fact{
			{Key: "client", Value: r.Client.String()}, {Key: "sender", Value: *r.Sender}, {Key: "recipient", Value: rcpt},
			{Key: "because", Value: "spf:none"}, {Key: "waited", Value: "0s"}, {Key: "wait", Value: "5m0s"}}}
}

// refused is a recipient whom a check refuses, and the end that follows.
func refused(r *policy.Record, rcpt string, f policy.Finding, v policy.Verdict, line int) {
	a, contact := policy.Defer, ""
	if v == policy.Rejected {
		a, contact = policy.Reject, "; see postmaster@example.com"
	}
	r.Recipients = []policy.RecipientRecord{{Address: rcpt, Verdict: v, By: f.Check, Mode: policy.Enforce, Where: fmt.Sprintf("gatepost.toml:%d", line),
		Reply: policy.ReplyFor(a, f.Status, f.Text+contact), Would: a, WouldBy: f.Check}}
	r.End = policy.EndRefused
}

func (m *Mix) turnedAway() *policy.Record {
	r := m.begin()
	r.Proto, r.TLS, r.End, r.Recipients = "", "", policy.EndNone, []policy.RecipientRecord{}
	r.Faults, r.By = []string{"pregreet"}, "protocol"
	r.Reply = policy.Reply{Code: 554, Text: "5.5.0 You talk before you are greeted"}
	return r
}

func (m *Mix) listed() *policy.Record {
	r := m.begin()
	domain := m.envelope(r)
	f := m.dnsbl(r, true)
	r.Findings = append(r.Findings, f, m.spf(r, domain, policy.Fail))
	refused(r, m.rcpt(), f, policy.Rejected, 58)
	return r
}

func (m *Mix) greylisted() *policy.Record {
	r := m.begin()
	domain := m.envelope(r)
	rcpt := m.rcpt()
	f := m.greylist(r, rcpt, "first")
	r.Findings = append(r.Findings, m.dnsbl(r, false), m.spf(r, domain, policy.NoneFound))
	refused(r, rcpt, f, policy.Deferred, 71)
	r.Recipients[0].Findings = []policy.Finding{f}
	return r
}

func (m *Mix) unknownUser() *policy.Record {
	r := m.begin()
	domain := m.envelope(r)
	r.Findings = append(r.Findings, m.dnsbl(r, false), m.spf(r, domain, policy.Pass))
	rcpt := m.word() + "@example.com"
	reply := policy.Reply{Code: 550, Text: "5.1.1 <" + rcpt + ">: Recipient address rejected: User unknown in local recipient table"}
	r.Recipients = []policy.RecipientRecord{{Address: rcpt, Verdict: policy.Rejected, By: "backend", Reply: reply, Backend: "main", BackendReply: reply}}
	r.End = policy.EndRefused
	return r
}

// content gives a record what the header of a message says.
func (m *Mix) content(r *policy.Record, domain string) {
	r.Size = int64(2000 + m.rand.IntN(80000))
	r.MessageID = fmt.Sprintf("<%d.%s@%s>", m.rand.IntN(1e12), m.ref(), domain)
	r.FromDomain = domain
	if m.rand.IntN(6) == 0 {
		r.ListID = "News of " + domain + " <news." + domain + ">"
	}
	r.Findings = append(r.Findings, policy.Finding{Check: "size", Stage: policy.StageData, Outcome: policy.Pass, Took: m.took(1),
		Status: policy.Status{Subject: 3, Detail: 4}, Facts: []policy.Fact{{Key: "size", Value: fmt.Sprint(r.Size)}}})
}

func (m *Mix) dkim(domain string, o policy.Outcome) policy.Finding {
	return policy.Finding{Check: "dkim", Stage: policy.StageData, Outcome: o, Status: policy.Status{Subject: 7, Detail: 20},
		Text: "DKIM: the signature of " + domain + " is good", Took: m.took(40), Facts: []policy.Fact{
			{Key: "signature", Value: string(o) + " d=" + domain + " s=mail a=rsa-sha256"}, {Key: "signatures", Value: "1 of 1"}},
		Auth: []policy.AuthResult{{Method: "dkim", Result: string(o), Props: []policy.Fact{{Key: "header.d", Value: domain}, {Key: "header.s", Value: "mail"},
			{Key: "header.a", Value: "rsa-sha256"}, {Key: "header.b", Value: m.ref()[:8]}}}}}
}

func (m *Mix) dmarc(domain string, o policy.Outcome) policy.Finding {
	return policy.Finding{Check: "dmarc", Stage: policy.StageData, Outcome: o, Status: policy.Status{Subject: 7, Detail: 1}, Took: m.took(30),
		Text:  "Neither SPF nor DKIM proves that this message is from " + domain + ", whose DMARC policy is reject",
		Facts: []policy.Fact{{Key: "author", Value: domain}, {Key: "policy", Value: "reject"}, {Key: "record", Value: "v=DMARC1; p=reject; rua=mailto:dmarc@" + domain}},
		Auth:  []policy.AuthResult{{Method: "dmarc", Result: "pass", Props: []policy.Fact{{Key: "header.from", Value: domain}, {Key: "policy.dmarc", Value: "reject"}}}}}
}

// forged is mail that a monitored check would have refused.
func (m *Mix) forged() *policy.Record {
	r := m.begin()
	domain := m.envelope(r)
	r.Findings = append(r.Findings, m.dnsbl(r, false), m.spf(r, domain, "softfail"))
	m.content(r, "bank.example")
	f := m.dmarc("bank.example", "fail-reject")
	r.Findings = append(r.Findings, m.dkim(domain, policy.Fail), f)
	m.deliver(r)
	for i := range r.Recipients {
		rc := &r.Recipients[i]
		rc.Would, rc.WouldBy, rc.Mode, rc.Intended = policy.Reject, "dmarc", policy.Monitor, policy.ReplyFor(policy.Reject, f.Status, f.Text+"; see postmaster@example.com")
	}
	return r
}

func (m *Mix) accepted() *policy.Record {
	r := m.begin()
	domain := m.envelope(r)
	r.Findings = append(r.Findings, m.dnsbl(r, false), m.spf(r, domain, policy.Pass))
	m.content(r, domain)
	r.Findings = append(r.Findings, m.dkim(domain, policy.Pass), m.dmarc(domain, policy.Pass))
	m.deliver(r)
	return r
}

// deliver has the backend take the mail for one recipient, seldom for more.
func (m *Mix) deliver(r *policy.Record) {
	r.End = policy.EndDelivered
	reply := policy.Reply{Code: 250, Text: "2.0.0 Ok: queued as 4WxK" + m.ref()}
	for n := 0; n == 0 || n < 5 && m.rand.IntN(12) == 0; n++ {
		rcpt := m.rcpt()
		r.Recipients = append(r.Recipients, policy.RecipientRecord{Address: rcpt, Verdict: policy.Accepted, Reply: reply, Backend: "main", BackendReply: reply,
			Findings: []policy.Finding{m.greylist(r, rcpt, "known")}})
	}
}
