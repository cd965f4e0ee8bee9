package proxy_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy"
	"gatepost/proxy/backend"
)

// TestTranscriptIsBounded: of a long session the record has the first lines, and of a long line its start.
func TestTranscriptIsBounded(t *testing.T) {
	s := behind(t, backend.Settings{})
	s.Transcript, s.Limits.IdleCommands = true, 1000
	p := newServer(s)
	c := p.pipe(t)
	c.want("220 ")
	c.say("NOOP "+strings.Repeat("x", 1000), "250 ")
	for range 300 {
		c.say("NOOP", "250 ")
	}
	c.quit()
	if script := p.record().Transcript; len(script) != 200 || len(script[1]) != len("C: ")+512 {
		t.Errorf("%d lines, the second of %d octets", len(script), len(script[1]))
	}
}

// TestGreetingIsForgotten: the name of a greeting that counts no more is in no record (RFC 3207 section 4.2; hazard 74).
func TestGreetingIsForgotten(t *testing.T) {
	s, _ := withTLS(t)
	p := start(t, s, &proxy.Listener{Name: "smtp", XClientFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	defer p.stop()
	for _, line := range []string{"STARTTLS", "XCLIENT ADDR=192.0.2.7"} {
		c := p.client(t)
		c.say("EHLO before.example", "250")
		c.say(line, "220 ")
		if line == "STARTTLS" {
			c = c.secure()
		}
		c.quit()
		if r := p.record(); r == nil || r.Helo != "" {
			t.Errorf("%s: the record says %+v", line, r)
		}
	}
}

// TestRefusalsAreOnRecord: each refusal that has a ref is found by it, with what was refused.
func TestRefusalsAreOnRecord(t *testing.T) {
	lost := func(e mailsink.Event) mailsink.Action {
		if e.Stage == mailsink.StageRcpt && strings.Contains(e.Line, "bob@") {
			return mailsink.Action{Reply: "421 4.3.2 going", CloseAfter: true}
		}
		return mailsink.Action{}
	}
	const hello, mail, amy = "EHLO client.example", "MAIL FROM:<a@client.example>", "RCPT TO:<amy@example.com>"
	tests := []struct {
		name  string
		limit func(*proxy.Limits)
		lines []string // sent one by one; the reply to the last has the ref
		want  string   // that reply
		check func(r *policy.Record) bool
	}{
		{"a name that is none", nil, []string{"EHLO MAIL SRV"}, "501 5.5.2", func(r *policy.Record) bool {
			return r.By == "protocol" && r.Reply.Code == 501 && r.Note == "MAIL SRV" && r.Sender == nil
		}},
		{"a sender that is none", nil, []string{hello, "MAIL FROM:news@client.example SIZE=1"}, "501 5.5.4", func(r *policy.Record) bool {
			return r.By == "protocol" && r.Reply.Code == 501 && *r.Sender == "news@client.example" && r.End == policy.EndRefused
		}},
		{"a parameter that is none", nil, []string{hello, mail + " FOO=1"}, "555 5.5.4", func(r *policy.Record) bool {
			return r.Reply.Code == 555 && *r.Sender == "a@client.example"
		}},
		{"a recipient that is none", nil, []string{hello, mail, "RCPT TO:<u@@example.com>"}, "501 5.1.3", func(r *policy.Record) bool {
			return len(r.Recipients) == 1 && r.Recipients[0].Address == "u@@example.com" && r.Recipients[0].By == "protocol" &&
				r.Recipients[0].Verdict == policy.Rejected && r.End == policy.EndRefused
		}},
		{"one recipient too many", func(l *proxy.Limits) { l.Recipients = 1 }, []string{hello, mail, amy, amy}, "452 4.5.3", func(r *policy.Record) bool {
			return len(r.Recipients) == 2 && r.Recipients[1].Reply.Code == 452 && r.Recipients[1].Verdict == policy.Deferred
		}},
		{"DATA, as the backend has gone", nil, []string{hello, mail, amy, "RCPT TO:<bob@example.com>", "DATA"}, "451 4.4.2", func(r *policy.Record) bool {
			return r.End == policy.EndRefused && r.Recipients[0].Reply.Code == 451 && r.Recipients[0].By == "backend" && r.Recipients[0].Verdict == policy.Deferred
		}},
		{"content that stopped", func(l *proxy.Limits) { l.BlockTimeout = 100 * time.Millisecond }, []string{hello, mail, amy, "DATA", "Subject: x"}, "421 4.4.2",
			func(r *policy.Record) bool {
				return r.End == policy.EndLost && r.Reply.Code == 421 && r.By == "protocol"
			}},
		{"one error too many, behind a mail", func(l *proxy.Limits) { l.Errors = 1 }, []string{hello, mail, amy, "DATA", "Subject: x\r\n\r\n.", "FROB"}, "500 5.5.2",
			func(r *policy.Record) bool { return r.By == "protocol" && r.Reply.Code == 421 && r.Sender == nil }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := withSink(t, &mailsink.Server{Extensions: mailsink.DefaultExtensions(), Fault: lost})
			if test.limit != nil {
				test.limit(&s.Limits)
			}
			p := start(t, s, listenerPlain())
			c := p.client(t)
			var got string
			for _, line := range test.lines {
				c.send(line + "\r\n")
				got = c.reply()
			}
			c.conn.Close()
			eventually(t, "a record", func() bool { return len(p.records) > 0 })
			p.stop()
			if !strings.HasPrefix(got, test.want+" ") {
				t.Errorf("reply %q, want %s", got, test.want)
			}
			ref := strings.TrimSuffix(got[strings.LastIndexByte(got, '[')+1:], "]")
			for _, r := range p.all() {
				if r.Ref == ref {
					if !test.check(r) {
						t.Errorf("record %+v, sender %v", r, r.Sender)
					}
					return
				}
			}
			t.Errorf("no record has the ref of %q", got)
		})
	}
}
