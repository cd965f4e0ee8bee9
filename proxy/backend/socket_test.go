package backend

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"gatepost/proxy/smtp"
)

// listen serves one connection over a real socket, and gives the backend and a function that waits for the server's end.
func listen(t *testing.T, network, address string, serve func(c net.Conn, in *bufio.Reader)) (*Backend, func()) {
	t.Helper()
	return listenWith(t, "250-PIPELINING\r\n250 CHUNKING", network, address, serve)
}

// listenWith is listen for a server with other extensions.
func listenWith(t *testing.T, caps, network, address string, serve func(c net.Conn, in *bufio.Reader)) (*Backend, func()) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		in := bufio.NewReader(c)
		_, _ = io.WriteString(c, "220 mx.test\r\n")
		_, _ = in.ReadString('\n')
		_, _ = io.WriteString(c, "250-mx.test\r\n"+caps+"\r\n")
		serve(c, in)
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	to := l.Addr().String()
	if network == "unix" {
		to = "unix:" + address
	}
	return New(Settings{Addresses: []string{to}, Hostname: "gate.test"}), func() { <-done }
}

func TestStale(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for _, last := range []string{"", "421 idle\r\n"} {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "mx")
			}
			leave := make(chan bool)
			b, gone := listen(t, network, address, func(c net.Conn, _ *bufio.Reader) {
				<-leave
				_, _ = io.WriteString(c, last)
			})
			c := mustOpen(t, b)
			if c.Stale() {
				t.Error("stale while the server waits")
			}
			close(leave)
			gone()
			if !c.Stale() {
				t.Errorf("%s: not stale after %q and a close", network, last)
			}
			c.Abort()
		}
	}
}

func TestStaleThenStillUsable(t *testing.T) {
	b, _ := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn, in *bufio.Reader) {
		_, _ = in.ReadString('\n')
		_, _ = io.WriteString(c, "250 ok\r\n")
		_, _ = in.ReadString('\n')
	})
	c := mustOpen(t, b)
	if c.Stale() {
		t.Error("stale")
	}
	if err := c.KeepAlive(); err != nil {
		t.Error(err)
	}
	c.Abort()
}

func TestFinalReplyThenReset(t *testing.T) {
	b, _ := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn, in *bufio.Reader) {
		for range 2 {
			_, _ = in.ReadString('\n')
		}
		_, _ = io.WriteString(c, "250 ok\r\n250 ok\r\n")
		_, _ = in.Peek(len("BDAT 1 LAST\r\nx")) // left unread, so that the close is a reset
		_, _ = io.WriteString(c, "250 queued\r\n")
		_ = c.(*net.TCPConn).SetLinger(0)
	})
	if got := deliver(t, b, text("x")); got != "250 queued" {
		t.Errorf("got %s", got)
	}
}

// TestEarlyReplyOverTCP is about a server that answers in the middle of a large message: it goes on reading, or it closes.
func TestEarlyReplyOverTCP(t *testing.T) {
	const size = 32 << 20
	cases := []struct {
		say  string
		read int64
		want string
	}{
		{"552 5.3.4 too large", 0, "552 5.3.4 too large"},
		{"552 5.3.4 too large", size / 2, "552 5.3.4 too large"},
		{"421 4.3.0 disk full", 0, "421 4.3.0 disk full"},
		{"250 liar", size / 2, "body 451 4.3.0"},
	}
	for _, tc := range cases {
		t.Run(fmt.Sprintf("%.3s after %d", tc.say, tc.read), func(t *testing.T) {
			b, _ := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn, in *bufio.Reader) {
				for range 2 {
					_, _ = in.ReadString('\n')
				}
				_, _ = io.WriteString(c, "250 ok\r\n250 ok\r\n")
				_, _ = in.ReadString('\n')
				_, _ = io.WriteString(c, tc.say+"\r\n")
				_, _ = io.CopyN(io.Discard, in, tc.read)
				_ = c.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, in)
			})
			chunk := strings.Repeat("a", 1<<20)
			pieces := make([]string, size>>20)
			for i := range pieces {
				pieces[i] = chunk
			}
			if got := deliver(t, b, text(pieces...)); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestReplyAheadOfBdatIsNotItsAnswer(t *testing.T) {
	wrote := make(chan bool)
	b, _ := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn, in *bufio.Reader) {
		for range 2 {
			_, _ = in.ReadString('\n')
		}
		_, _ = io.WriteString(c, "250 ok\r\n250 ok\r\n")
		_, _ = io.WriteString(c, "250 one too many\r\n")
		close(wrote)
		_, _ = io.Copy(io.Discard, in)
	})
	c := mustOpen(t, b)
	defer c.Abort()
	c.Mail(anna, smtp.MailParams{Size: -1}, 0)
	c.Rcpt(amy, smtp.RcptParams{})
	replies(t, c, 2)
	<-wrote
	if got := outcome(c.Send(text("x"))); got != "data 451 4.3.0" {
		t.Errorf("got %s", got)
	}
}
