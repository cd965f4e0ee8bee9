package backend

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// encrypted is the opening with STARTTLS.
const encrypted = greet + "S: 250-mx.test\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\nC: EHLO gate.test\n"

// bothWays runs do on a connection in clear and on one under TLS, to a server that says caps to EHLO and then plays the script.
func bothWays(t *testing.T, caps, script string, do func(t *testing.T, c *Conn)) {
	t.Helper()
	t.Run("in clear", func(t *testing.T) { dialogue(t, greet+caps+script, do) })
	t.Run("under TLS", func(t *testing.T) { underTLS(t, &tls.Config{}, caps+script, do) })
}

// underTLS is dialogue behind STARTTLS and the second EHLO.
func underTLS(t *testing.T, config *tls.Config, script string, do func(t *testing.T, c *Conn)) {
	t.Helper()
	cert, _ := certificate(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, encrypted+script)
		f.cert = cert
		c := mustOpen(t, f.backend(Settings{TLS: TLSOpportunistic, TLSConfig: config}))
		do(t, c)
		c.Abort()
	})
}

const (
	mailQuick    = "C: MAIL FROM:<anna@shop.test>\nC: RCPT TO:<amy@mx.test>\nS: 250 ok\n" // the reply to RCPT is to come
	withChunking = "S: 250-mx.test\nS: 250-PIPELINING\nS: 250 CHUNKING\n"
	withData     = "S: 250-mx.test\nS: 250 PIPELINING\n"
)

// TestOneReplyTooMany is about a server that says more than it was asked, in one segment with what it was asked.
func TestOneReplyTooMany(t *testing.T) {
	send := func(t *testing.T, c *Conn) string {
		oneRcpt(t, c)
		return outcome(c.Send(text("a")))
	}
	cases := []struct {
		name, caps, script string
		do                 func(t *testing.T, c *Conn) string
		want               string
	}{
		{"before BDAT", withChunking, mailQuick + "S+ 250 ok\nS: 250 ok again\nHANG", send, "data 451 4.3.0"},
		{"a refusal before BDAT is none of the content", withChunking, mailQuick + "S+ 250 ok\nS: 550 no\nHANG", send, "data 451 4.3.0"},
		{"a goodbye before BDAT", withChunking, mailQuick + "S+ 250 ok\nS: 421 4.3.2 bye\nHANG", send, "421 4.3.2 bye"},
		{"before DATA", withData, mailQuick + "S+ 250 ok\nS: 354 go\nHANG", send, "data 451 4.3.0"},
		{"a 250 with the 354", withData, mailQuick + "S: 250 ok\nC: DATA\nS+ 354 go\nS: 250 queued\nHANG", send, "body 451 4.3.0"},
		{"a second 354 with the first", withData, mailQuick + "S: 250 ok\nC: DATA\nS+ 354 go\nS: 354 go\nHANG", send, "body 451 4.3.0"},
		{"a refusal with the 354", withData, mailQuick + "S: 250 ok\nC: DATA\nS+ 354 go\nS: 552 5.3.4 full\nHANG", send, "552 5.3.4 full"},
		{"half of one before BDAT", withChunking, mailQuick + "S+ 250 ok\nCUT 4\nS: 250 ok again\nHANG", send, "data 451 4.4.2"},
		{"half of one, and the rest soon", withChunking, mailQuick + "S+ 250 ok\nCUT 4\nS: 250 ok again\nWAIT 500ms\nS: 250 more\nHANG", send, "data 451 4.3.0"},
		{"before a command", withChunking, "C: NOOP\nS+ 250 ok\nS: 250 ok again\nHANG", func(t *testing.T, c *Conn) string {
			if err := c.KeepAlive(); err != nil {
				t.Fatal(err)
			}
			envelope(c)
			return outcome(c.Reply())
		}, "mail 451 4.3.0"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			bothWays(t, tc.caps, tc.script, func(t *testing.T, c *Conn) {
				if got := tc.do(t, c); got != tc.want {
					t.Errorf("got %s, want %s", got, tc.want)
				}
				if !c.Stale() {
					t.Error("not stale")
				}
			})
		})
	}
}

// TestStaleSeesOneReplyTooMany is what keeps such a connection out of the next session.
func TestStaleSeesOneReplyTooMany(t *testing.T) {
	for name, script := range map[string]string{
		"a reply":              "S+ 250 ok\nS: 250 ok again\n",
		"half of one":          "S+ 250 ok\nCUT 4\nS: 250 ok again\n",
		"one behind an end":    "S+ 250 ok\nS: \n",
		"a goodbye of its own": "S+ 250 ok\nS: 421 idle\n",
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, withChunking, "C: NOOP\n"+script+"HANG", func(t *testing.T, c *Conn) {
				if err := c.KeepAlive(); err != nil {
					t.Fatal(err)
				}
				if !c.Stale() {
					t.Error("not stale")
				}
			})
		})
	}
}

// TestTLSEndsBehindAReply has the end of TLS in one segment with a reply: lost, and no nonsense.
func TestTLSEndsBehindAReply(t *testing.T) {
	underTLS(t, &tls.Config{}, withChunking+"C: NOOP\nS+ 250 ok\nBYE\nHANG", func(t *testing.T, c *Conn) {
		if err := c.KeepAlive(); err != nil {
			t.Fatal(err)
		}
		envelope(c)
		if got := outcome(c.Reply()); got != "mail 451 4.4.2" {
			t.Errorf("got %s", got)
		}
		if !c.Stale() {
			t.Error("not stale")
		}
	})
}

// TestReplyTooManyInTheSameRecord is about octets that TLS keeps, for the buffer is full.
func TestReplyTooManyInTheSameRecord(t *testing.T) {
	line := strings.Repeat("x", 506) + "\r\n"
	script := withChunking + mailQuick + "S= " + quote("250-"+line+"250 "+line+"250 ok again\r\n") + "\nHANG"
	underTLS(t, &tls.Config{}, script, func(t *testing.T, c *Conn) {
		oneRcpt(t, c)
		if got := outcome(c.Send(text("a"))); got != "data 451 4.3.0" {
			t.Errorf("got %s", got)
		}
	})
}

// TestLookingLeavesTLSWhole says that a look that finds nothing leaves the connection as it was, whatever deadlines have passed.
func TestLookingLeavesTLSWhole(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		mail := mailAmy + "C= " + quote("BDAT 1 LAST\r\na") + "\nS: 250 queued\n"
		underTLS(t, &tls.Config{MaxVersion: version}, "S: 250-mx.test\nS: 250 CHUNKING\n"+mail+mail+bye, func(t *testing.T, c *Conn) {
			look := func() {
				for range 3 {
					if c.Stale() {
						t.Fatal("stale")
					}
				}
				time.Sleep(time.Hour)
			}
			for range 2 {
				look()
				oneRcpt(t, c)
				look()
				if got := outcome(c.Send(text("a"))); got != "250 queued" {
					t.Error(got)
				}
			}
			look()
			c.Quit()
		})
	}
}

// TestWireKnowsRecords cuts records anywhere.
func TestWireKnowsRecords(t *testing.T) {
	records := "\x17\x03\x03\x00\x02ab" + "\x17\x03\x03\x00\x00" + "\x17\x03\x03\x01\x00" + strings.Repeat("c", 256)
	ends := map[int]bool{0: true, 7: true, 12: true, len(records): true}
	for cut := range len(records) + 1 {
		var w wire
		w.follow([]byte(records[:cut]))
		if w.midway() == ends[cut] {
			t.Errorf("cut at %d: midway %t", cut, w.midway())
		}
		w.follow([]byte(records[cut:]))
		if w.midway() {
			t.Errorf("cut at %d: midway at the end", cut)
		}
	}
}

// listenTLS serves one connection under TLS over a real socket, and gives the backend, which takes tickets.
func listenTLS(t *testing.T, version uint16, serve func(c *tls.Conn, in *bufio.Reader)) *Backend {
	t.Helper()
	cert, _ := certificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		socket, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = socket.Close() }()
		in := bufio.NewReader(socket)
		for _, say := range []string{"220 mx.test\r\n", "250-mx.test\r\n250 STARTTLS\r\n"} {
			_, _ = io.WriteString(socket, say)
			_, _ = in.ReadString('\n')
		}
		_, _ = io.WriteString(socket, "220 go\r\n")
		c := tls.Server(socket, &tls.Config{Certificates: []tls.Certificate{*cert}, MaxVersion: version})
		in = bufio.NewReader(c)
		_, _ = in.ReadString('\n')
		_, _ = io.WriteString(c, "250-mx.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
		serve(c, in)
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	config := &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	return New(Settings{Addresses: []string{l.Addr().String()}, Hostname: "gate.test", TLS: TLSOpportunistic, TLSConfig: config})
}

// TestLooksAtTheSocketUnderTLS has a server that says one reply too many, or leaves, when the one before was read already.
func TestLooksAtTheSocketUnderTLS(t *testing.T) {
	cases := []struct{ say, want string }{
		{"250 one too many\r\n", "data 451 4.3.0"},
		{"", "data 451 4.4.2"}, // it leaves
	}
	for _, tc := range cases {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			more, said := make(chan bool), make(chan bool)
			b := listenTLS(t, version, func(c *tls.Conn, in *bufio.Reader) {
				for range 2 {
					_, _ = in.ReadString('\n')
				}
				_, _ = io.WriteString(c, "250 ok\r\n250 ok\r\n")
				<-more
				_, _ = io.WriteString(c, tc.say)
				if tc.say == "" {
					_ = c.CloseWrite()
				}
				close(said)
				_, _ = io.Copy(io.Discard, in)
			})
			c := mustOpen(t, b)
			oneRcpt(t, c)
			if c.Stale() {
				t.Error("stale while the server waits")
			}
			close(more)
			<-said
			if !c.Stale() {
				t.Error("not stale")
			}
			if got := outcome(c.Send(text("x"))); got != tc.want {
				t.Errorf("%q: got %s, want %s", tc.say, got, tc.want)
			}
			c.Abort()
		}
	}
}

// TestEarlyReplyUnderTLS is about a server that answers in the middle of a large message, and goes on reading.
func TestEarlyReplyUnderTLS(t *testing.T) {
	const size = 8 << 20
	for say, want := range map[string]string{"552 5.3.4 too large": "552 5.3.4 too large", "250 liar": "body 451 4.3.0"} {
		b := listenTLS(t, tls.VersionTLS13, func(c *tls.Conn, in *bufio.Reader) {
			for range 2 {
				_, _ = in.ReadString('\n')
			}
			_, _ = io.WriteString(c, "250 ok\r\n250 ok\r\n")
			_, _ = in.ReadString('\n')
			_, _ = io.WriteString(c, say+"\r\n")
			_, _ = io.Copy(io.Discard, in)
		})
		if got := deliver(t, b, text(strings.Repeat("a", size))); got != want {
			t.Errorf("%s: got %s, want %s", say, got, want)
		}
	}
}
