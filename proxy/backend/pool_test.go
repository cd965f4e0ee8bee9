package backend

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/proxy/smtp"
)

// withXClient is what a server with XCLIENT says of itself.
const withXClient = "S: 250-mx.test\nS: 250-PIPELINING\nS: 250 XCLIENT ADDR\n"

// oneMail brings a message of one recipient, and fails the test if it is not taken.
func oneMail(t *testing.T, c *Conn) {
	t.Helper()
	c.Mail(anna, smtp.MailParams{Size: -1}, 0)
	c.Rcpt(amy, smtp.RcptParams{})
	replies(t, c, 2)
	if r, err := c.Send(text("x\r\n")); err != nil || r.Class() != 2 {
		t.Fatal(r, err)
	}
}

func TestReleasedConnectionServesTheNextSession(t *testing.T) {
	mail := "C: MAIL FROM:<anna@shop.test>\nC: RCPT TO:<amy@mx.test>\nS: 250 ok\nS: 250 ok\nC: DATA\nS: 354 go\nC.\nS: 250 taken\n"
	script := pipelined + mail + mail + "C: QUIT\nEOF"
	synctest.Test(t, func(t *testing.T) {
		b := newFarm(t, script).backend(Settings{})
		first := mustOpen(t, b)
		if first.Reused() {
			t.Error("the first is called reused")
		}
		oneMail(t, first)
		first.Release()
		second := mustOpen(t, b)
		if !second.Reused() {
			t.Error("the second is not called reused")
		}
		oneMail(t, second)
		second.Release()
		time.Sleep(poolIdle + time.Second) // nobody comes: it is quit
		if b.take() != nil {
			t.Error("a connection waited for too long")
		}
	})
}

func TestReleaseEndsTheTransactionFirst(t *testing.T) {
	script := pipelined + "C: MAIL FROM:<anna@shop.test>\nC: RCPT TO:<amy@mx.test>\nS: 250 ok\nS: 250 ok\n" +
		"C: RSET\nC: MAIL FROM:<anna@shop.test>\nC: RCPT TO:<amy@mx.test>\nS: 250 reset\nS: 250 ok\nS: 550 not any more\nEOF"
	synctest.Test(t, func(t *testing.T) {
		b := newFarm(t, script).backend(Settings{})
		c := mustOpen(t, b)
		c.Mail(anna, smtp.MailParams{Size: -1}, 0)
		c.Rcpt(amy, smtp.RcptParams{})
		replies(t, c, 2)
		c.Release()
		c = mustOpen(t, b)
		c.Mail(anna, smtp.MailParams{Size: -1}, 0)
		c.Rcpt(amy, smtp.RcptParams{})
		if got := replies(t, c, 2); got[0] != 250 || got[1] != 550 {
			t.Error("replies", got)
		}
		c.Abort()
		b.Close()
	})
}

// TestOneReplyTooManyStaysWithItsSession: the next session's commands would each get the reply to the one before.
func TestOneReplyTooManyStaysWithItsSession(t *testing.T) {
	const mail = "C: MAIL FROM:<anna@shop.test>\nS: 250 ok\n"
	withXClient := "S: 250-mx.test\nS: 250 XCLIENT ADDR\nC: XCLIENT ADDR=192.0.2.7\nS: 220 mx.test\nC: EHLO helo.shop.test\n" + withXClient
	two := func(c *Conn) {
		for range 2 {
			c.Mail(anna, smtp.MailParams{Size: -1}, 0)
			_, _ = c.Reply()
		}
	}
	cases := []struct {
		name     string
		settings Settings
		script   string // behind EHLO
		use      func(c *Conn)
	}{
		{"to NOOP", Settings{}, "S: 250 mx.test\nC: NOOP\nS+ 250 ok\nS: 250 ok again\nHANG", func(c *Conn) { _ = c.KeepAlive() }},
		{"to RSET", Settings{}, "S: 250-mx.test\nS: 250 PIPELINING\n" + mail + "C: RSET\nC: MAIL FROM:<anna@shop.test>\n" +
			"S+ 250 reset\nS+ 250 reset again\nS: 550 no\nHANG", two},
		{"to the RSET before XCLIENT", Settings{ClientIP: ClientIPXClient}, withXClient + mail +
			"C: RSET\nS+ 250 reset\nS: 220 reset again\nHANG", func(c *Conn) {
			c.Mail(anna, smtp.MailParams{Size: -1}, 0)
			_, _ = c.Reply()
		}},
	}
	cert, _ := certificate(t)
	for _, tc := range cases {
		for way, opening := range map[string]string{"in clear": greet, "under TLS": encrypted} {
			t.Run(tc.name+" "+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFarm(t, opening+tc.script, "REFUSE")
					f.cert = cert
					tc.settings.TLS = TLSOpportunistic
					b := f.backend(tc.settings)
					c := mustOpen(t, b)
					tc.use(c)
					c.Release()
					if _, err := b.Open(t.Context(), visitor()); !errors.Is(err, errRefused) {
						t.Errorf("the next session did not ask for a connection of its own: %v", err)
					}
				})
			})
		}
	}
}

// TestXClientIsToldOfTheNextClient: of all that the server was told of the client before, nothing is left.
func TestXClientIsToldOfTheNextClient(t *testing.T) {
	const withXClient = "S: 250-mx.test\nS: 250-PIPELINING\nS: 250 XCLIENT ADDR PORT HELO\n"
	script := greet + withXClient +
		"C: XCLIENT HELO=client.test\nS: 220 mx.test\nC: XCLIENT ADDR=192.0.2.7 PORT=4000\nS: 220 mx.test\nC: EHLO client.test\n" + withXClient +
		"C: MAIL FROM:<anna@shop.test>\nS: 250 ok\n" +
		"C: RSET\nS: 250 reset\n" + // XCLIENT in mid-transaction would be 503
		"C: XCLIENT HELO=[UNAVAILABLE]\nS: 220 mx.test\nC: XCLIENT ADDR=192.0.2.8 PORT=[UNAVAILABLE]\nS: 220 mx.test\nC: EHLO gate.test\n" + withXClient + "EOF"
	synctest.Test(t, func(t *testing.T) {
		b := newFarm(t, script).backend(Settings{ClientIP: ClientIPXClient})
		open := func(addr, helo string) *Conn {
			c, err := b.Open(t.Context(), Client{Addr: addrPort(addr), Helo: helo})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		c := open("192.0.2.7:4000", "client.test")
		c.Mail(anna, smtp.MailParams{Size: -1}, 0)
		replies(t, c, 1)
		c.Release()
		c = open("192.0.2.8:0", strings.Repeat("ä", 100))
		if !c.Reused() {
			t.Error("not reused")
		}
		c.Abort()
		b.Close()
	})
}

func TestWhatIsNotKept(t *testing.T) {
	refusals := strings.Repeat("C: RCPT TO:<amy@mx.test>\nS: 550 no\n", poolErrors)
	tests := []struct {
		name     string
		settings Settings
		script   string
		use      func(t *testing.T, b *Backend, c *Conn)
	}{
		{"what a PROXY header was sent on", Settings{ClientIP: ClientIPProxyV2}, "C~ 28\n" + greet2("client.test") + "S: 250 mx.test\n" + bye,
			func(t *testing.T, b *Backend, c *Conn) {}},
		{"where XCLIENT is taken from us no more", Settings{ClientIP: ClientIPXClient}, greet + withXClient +
			"C: XCLIENT ADDR=192.0.2.7\nS: 220 mx.test\nC: EHLO client.test\nS: 250 mx.test\n" + bye,
			func(t *testing.T, b *Backend, c *Conn) {}},
		{"with many refusals since the last message", Settings{}, plain + "C: MAIL FROM:<anna@shop.test>\nS: 250 ok\n" + refusals + bye,
			func(t *testing.T, b *Backend, c *Conn) {
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				replies(t, c, 1)
				for range poolErrors {
					c.Rcpt(amy, smtp.RcptParams{})
					replies(t, c, 1)
				}
			}},
		{"with many transactions since the last message that came to nothing", Settings{}, plain +
			strings.Repeat("C: MAIL FROM:<anna@shop.test>\nS: 250 ok\nC: RSET\nS: 250 ok\n", poolResets) + bye,
			func(t *testing.T, b *Backend, c *Conn) {
				for range poolResets {
					c.Mail(anna, smtp.MailParams{Size: -1}, 0)
					replies(t, c, 1)
					if c.Reset(); !c.drain() {
						t.Fatal(c.closed)
					}
				}
			}},
		{"too old", Settings{}, plain + bye, func(t *testing.T, b *Backend, c *Conn) { time.Sleep(poolAge) }},
		{"after Close", Settings{}, plain + bye, func(t *testing.T, b *Backend, c *Conn) { b.Close() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFarm(t, tt.script).backend(tt.settings)
				c, err := b.Open(t.Context(), Client{Addr: addrPort("192.0.2.7:25"), Local: addrPort("192.0.2.1:25"), Helo: "client.test"})
				if err != nil {
					t.Fatal(err)
				}
				tt.use(t, b, c)
				c.Release()
				if b.take() != nil {
					t.Error("it was kept")
				}
			})
		})
	}
}

// TestRefusedInARow: sessions whose only recipient is refused share a connection, until the server might blame it.
func TestRefusedInARow(t *testing.T) {
	const refused = "C: MAIL FROM:<anna@shop.test>\nS: 250 ok\nC: RCPT TO:<amy@mx.test>\nS: 550 no\n"
	synctest.Test(t, func(t *testing.T) {
		b := newFarm(t, plain+refused+strings.Repeat("C: RSET\nS: 250 ok\n"+refused, poolErrors-1)+bye, plain+bye).backend(Settings{})
		for range poolErrors {
			c := mustOpen(t, b)
			c.Mail(anna, smtp.MailParams{Size: -1}, 0)
			c.Rcpt(amy, smtp.RcptParams{})
			replies(t, c, 2)
			c.Release()
		}
		c := mustOpen(t, b)
		if c.Reused() {
			t.Error("it was used once more")
		}
		c.Quit()
		b.Close()
	})
}

func greet2(helo string) string { return "S: 220 mx.test ESMTP\nC: EHLO " + helo + "\n" }

func TestThePoolIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scripts []string
		for range poolSize + 1 {
			scripts = append(scripts, plain+"C: QUIT\nS: 221 bye\n")
		}
		b := newFarm(t, scripts...).backend(Settings{})
		var open []*Conn
		for range poolSize + 1 {
			open = append(open, mustOpen(t, b))
		}
		for _, c := range open {
			c.Release()
		}
		if len(b.idle) != poolSize {
			t.Errorf("%d wait, want %d", len(b.idle), poolSize)
		}
		b.Close()
	})
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
