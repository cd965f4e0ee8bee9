package proxy_test

import (
	"strings"
	"testing"
	"time"

	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy"
)

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
