//go:build interop

package interop

import (
	"strings"
	"testing"
)

// Many strangers in a row who ask for mailboxes that are not there share a few connections to the backend, which holds none of them against
// the next: no complaint, no 421, and the mail behind them comes in.
func TestRefusedInARow(t *testing.T) {
	const sessions = 60
	for _, behind := range []struct {
		name  string
		start func(*testing.T) *server
		blame string // what its log says of a client that it has had enough of
	}{{"Postfix", startPostfix, "too many errors"}, {"Exim", startExim, "too many"}} {
		t.Run(behind.name, func(t *testing.T) {
			s := behind.start(t)
			p := startProxy(t, settings{backend: s.addr})
			for i := range sessions {
				c := connect(t, p.addr, "")
				c.must(t, "EHLO client.test", 250)
				c.must(t, "MAIL FROM:<sender@elsewhere.test>", 250)
				if code, text, err := c.say("RCPT TO:<nobody@" + domain + ">"); err != nil || code != 550 {
					t.Fatalf("session %d: %d %s (%v)", i, code, text, err)
				}
				c.must(t, "QUIT", 221)
				c.close()
			}
			m := newMail("amy@" + domain)
			sendFrom(t, p.addr, "", "EHLO client.test", m)
			s.expectMail(m)
			s.settled(t)
			log := readFile(t, s.log)
			if strings.Contains(log, behind.blame) {
				t.Errorf("the server had enough:\n%s", log)
			}
			if n := strings.Count(log, ": connect from"); behind.name == "Postfix" && (n < sessions/10 || n > sessions/4) {
				t.Errorf("%d connections for %d sessions", n, sessions)
			}
		})
	}
}

// Postfix takes XCLIENT no more once it was told of a client that it does not trust: such a connection is of no use to another session, and is quit
// as soon as its own has ended, not dropped when the next one comes. Nor has it anything against what is not known of the client: no port here, and a
// HELO that is too long for it.
func TestXClientIsNotKept(t *testing.T) {
	const sessions = 3
	s := startPostfix(t)
	p := startProxy(t, settings{backend: s.addr, clientIP: "xclient"})
	for range sessions {
		c := connect(t, p.addr, "")
		c.must(t, "XCLIENT ADDR=192.0.2.7", 220)
		c.must(t, "EHLO "+strings.Repeat("ä", 50), 250)
		c.must(t, "MAIL FROM:<sender@elsewhere.test>", 250)
		c.must(t, "RCPT TO:<amy@"+domain+">", 250)
		c.must(t, "QUIT", 221)
		c.close()
	}
	eventually(t, "Postfix is rid of all sessions", func() bool {
		return strings.Count(readFile(t, s.log), "disconnect from unknown[192.0.2.7]") == sessions
	})
	for line := range strings.Lines(readFile(t, s.log)) {
		if strings.Contains(line, "disconnect from unknown[192.0.2.7]") && !strings.Contains(line, " quit=1 ") {
			t.Error(line)
		}
	}
}
