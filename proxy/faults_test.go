package proxy_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy/backend"
)

// TestEarlyYes: a 2xx before the content was whole commits nothing, and is no 250 for the sender.
func TestEarlyYes(t *testing.T) {
	for _, reply := range []string{"250 2.0.0 taken", "354 more"} {
		sink := &mailsink.Server{Extensions: []string{"PIPELINING"}, Fault: func(e mailsink.Event) mailsink.Action {
			if e.Stage == mailsink.StageBody && e.Octets < 1000 {
				return mailsink.Action{Reply: reply, CloseAfter: true}
			}
			return mailsink.Action{}
		}}
		back, stopSink, err := mailsink.Listen(sink)
		if err != nil {
			t.Fatal(err)
		}
		p := start(t, behind(t, backend.Settings{Addresses: []string{back}}), listenerPlain())
		c := p.client(t)
		c.envelope()
		c.send("Subject: x\r\n\r\n" + strings.Repeat("a line of the body\r\n", 400_000) + ".\r\n")
		if got := c.reply(); !strings.HasPrefix(got, "451 4.") {
			t.Errorf("%s: the sender heard %q", reply, got)
		}
		c.quit()
		if n := sink.Committed(); n != 0 {
			t.Errorf("%s: %d messages committed", reply, n)
		}
		p.stop()
		p.atRest(t)
		stopSink()
	}
}

// TestUnreachable is about a backend where nobody listens.
func TestUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, behind(t, backend.Settings{Addresses: []string{ln.Addr().String()}}), listenerPlain())
	ln.Close() // not before: the proxy would get the same port, and be its own backend
	defer p.atRest(t)
	defer p.stop()
	c := p.client(t)
	c.say("EHLO client.example", "250")
	for i := range 3 {
		c.say(fmt.Sprintf("MAIL FROM:<%d@client.example>", i), "250 ")
		c.say("RCPT TO:<amy@example.com>", "451 4.4.1 ")
		c.say("RCPT TO:<bob@example.com>", "451 4.4.1 ")
		c.say("DATA", "554 5.5.1 ")
		c.say("RSET", "250 ")
	}
	c.quit()
	if n := len(p.all()); n != 3 {
		t.Errorf("%d records", n)
	}
}

// TestFallback: of two addresses the second serves while the first is dead.
func TestFallback(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
	back, stopSink, err := mailsink.Listen(sink)
	if err != nil {
		t.Fatal(err)
	}
	defer stopSink()
	p := start(t, behind(t, backend.Settings{Addresses: []string{dead.Addr().String(), back}}), listenerPlain())
	dead.Close()
	defer p.stop()
	c := p.client(t)
	c.envelope()
	c.say("x\r\n.", "250 ")
	c.quit()
	if n := sink.Committed(); n != 1 {
		t.Errorf("%d messages committed", n)
	}
}

// TestFallbackKeepsLess: where a kept connection closes at MAIL and the next address can't keep what the sender asked for, the mail is
// refused as if that address had been the first (hazards 30, 82).
func TestFallbackKeepsLess(t *testing.T) {
	cert := certificate(t)
	for _, test := range []struct{ mail, want string }{
		{"<a@client.example> BODY=BINARYMIME", "554 5.6.3 "},
		{"<b\u00fc@client.example> SMTPUTF8", "550 5.6.7 "},
		{"<a@client.example> REQUIRETLS", "550 5.7.30 "},
	} {
		t.Run(test.mail, func(t *testing.T) {
			mails := 0
			full := &mailsink.Server{TLS: cert, Extensions: append(mailsink.DefaultExtensions(), "BINARYMIME", "REQUIRETLS"), Fault: func(e mailsink.Event) mailsink.Action {
				if e.Stage == mailsink.StageMail {
					mails++
				}
				if e.Stage == mailsink.StageMail && mails == 2 || e.Stage == mailsink.StageBanner && mails > 0 {
					return mailsink.Action{Reply: "421 4.3.2 shutting down", CloseAfter: true}
				}
				return mailsink.Action{}
			}}
			plain := &mailsink.Server{TLS: cert, Extensions: []string{"PIPELINING"}}
			var backs []string
			for _, sink := range []*mailsink.Server{full, plain} {
				back, stop, err := mailsink.Listen(sink)
				if err != nil {
					t.Fatal(err)
				}
				defer stop()
				backs = append(backs, back)
			}
			s := behind(t, backend.Settings{Addresses: backs, TLS: backend.TLSRequired, TLSConfig: trusting(t, cert)})
			s.Routes.Backends()[0].Probe(context.Background())
			s.TLS = cert
			p := start(t, s, listenerPlain())
			c := p.underTLS(t)
			c.envelope()
			c.say("x\r\n.", "250 ")
			c.say("MAIL FROM:"+test.mail, "250 ")
			c.send("RCPT TO:<amy@example.com>\r\nRCPT TO:<bob@example.com>\r\n")
			c.want(test.want, test.want)
			c.say("BDAT 0 LAST", "554 5.5.1 ")
			c.say("RSET", "250 ")
			c.say("MAIL FROM:<a@client.example>", "250 ")
			c.say("RCPT TO:<amy@example.com>", "250 ")
			c.say("DATA", "354 ")
			c.say("x\r\n.", "250 ")
			c.quit()
			p.stop()
			p.atRest(t)
			if log := strings.Join(plain.Log(), "\n"); strings.Count(log, "C: MAIL") != 1 || plain.Committed() != 1 {
				t.Errorf("the second address:\n%s", log)
			}
		})
	}
}

// TestSenderGone: the sender that is gone before the end has sent nothing, and one that is gone after it may send the message
// again (hazard 80).
func TestSenderGone(t *testing.T) {
	tests := []struct {
		name, content string
		reset         bool // else it closes in good order
		end           policy.End
		committed     int
	}{
		{"before the end", "Subject: x\r\n\r\nhalf a li", true, policy.EndLost, 0},
		{"in the end mark", "Subject: x\r\n\r\ny\r\n.\r", true, policy.EndLost, 0},
		{"after the end", "Subject: x\r\n\r\ny\r\n.\r\n", true, policy.EndDuplicate, 1},
		{"after the end, in good order", "Subject: x\r\n\r\ny\r\n.\r\n", false, policy.EndDuplicate, 1},
		{"after the end, with QUIT behind it", "Subject: x\r\n\r\ny\r\n.\r\nQUIT\r\n", false, policy.EndDelivered, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			gone := make(chan struct{})
			sink := &mailsink.Server{Extensions: []string{"PIPELINING"}, Fault: func(e mailsink.Event) mailsink.Action {
				if e.Stage == mailsink.StageEnd {
					<-gone
				}
				return mailsink.Action{}
			}}
			back, stopSink, err := mailsink.Listen(sink)
			if err != nil {
				t.Fatal(err)
			}
			p := start(t, behind(t, backend.Settings{Addresses: []string{back}}), listenerPlain())
			c := p.client(t)
			c.envelope()
			c.send(test.content)
			if test.committed > 0 {
				eventually(t, "the end at the backend", func() bool { return strings.Contains(strings.Join(sink.Log(), "\n"), " D: ") })
			}
			if test.reset {
				c.conn.(*net.TCPConn).SetLinger(0)
			}
			c.conn.Close()
			close(gone)
			r := p.record()
			if r == nil || r.End != test.end {
				t.Errorf("record %+v, want end %s", r, test.end)
			}
			if test.committed == 0 { // what is open there is void only once the connection is closed
				eventually(t, "the end of the backend's session", func() bool { return sink.Open() == 0 })
			}
			p.stop()
			p.atRest(t)
			stopSink()
			if n := sink.Committed(); n != test.committed {
				t.Errorf("%d messages committed, want %d", n, test.committed)
			}
		})
	}
}
