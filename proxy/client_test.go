package proxy_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"gatepost/internal/mailsink"
	"gatepost/proxy"
	"gatepost/proxy/backend"
)

// client is a sender in tests that no dialogue file can hold.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func newClient(t testing.TB, conn net.Conn) *client {
	t.Helper()
	return &client{t, conn, bufio.NewReader(conn)}
}

// client connects, and reads the banner where there is one to wait for.
func (p *running) client(t testing.TB) *client {
	t.Helper()
	c := newClient(t, p.dial(t))
	c.want("220 ")
	return c
}

// send writes text as it is.
func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatalf("send %.40q: %v", text, err)
	}
}

// reply is the next reply, its lines joined by "\n"; "" where the connection ends.
func (c *client) reply() string {
	c.t.Helper()
	var lines []string
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return strings.Join(lines, "\n")
		}
		lines = append(lines, strings.TrimSuffix(line, "\r\n"))
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "\n")
		}
	}
}

// want reads replies, each of which starts as said.
func (c *client) want(starts ...string) {
	c.t.Helper()
	for _, start := range starts {
		if got := c.reply(); !strings.HasPrefix(got, start) || got == "" {
			c.t.Fatalf("reply %q, want %q", got, start)
		}
	}
}

// say sends one line and wants the reply to it.
func (c *client) say(line, start string) {
	c.t.Helper()
	c.send(line + "\r\n")
	if got := c.reply(); !strings.HasPrefix(got, start) || got == "" {
		c.t.Fatalf("%.60s: reply %q, want %q", line, got, start)
	}
}

// closed wants the end of the connection and no more words.
func (c *client) closed() {
	c.t.Helper()
	if got, err := c.in.ReadString('\n'); err == nil {
		c.t.Fatalf("got %q, want the end", got)
	}
	c.conn.Close()
}

// envelope greets and brings a transaction to the reply to DATA, which is 354.
func (c *client) envelope() {
	c.t.Helper()
	c.say("EHLO client.example", "250")
	c.say("MAIL FROM:<a@client.example>", "250 ")
	c.say("RCPT TO:<amy@example.com>", "250 ")
	c.say("DATA", "354 ")
}

// quit ends the session in good order.
func (c *client) quit() {
	c.t.Helper()
	c.say("QUIT", "221 ")
	c.closed()
}

// behind makes settings for example.com with one backend that was not probed.
func behind(t testing.TB, s backend.Settings) *proxy.Settings {
	s.Name, s.Hostname = "main", "mx.example.com"
	routes := proxy.NewRoutes()
	routes.Add(backend.New(s), "example.com")
	return &proxy.Settings{Hostname: "mx.example.com", Routes: routes, Policy: policyOf(""), Limits: proxy.Limits{SpoolDir: t.TempDir()}}
}

// eventually waits for what happens in another goroutine, and fails where it does not.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain waited for:", what)
		}
	}
}

// listenerPlain is a listener without anything special.
func listenerPlain() *proxy.Listener { return &proxy.Listener{Name: "smtp"} }

// withSink makes a sink that runs until the test ends, and settings that lead to it.
func withSink(t testing.TB, sink *mailsink.Server) *proxy.Settings {
	t.Helper()
	back, stop, err := mailsink.Listen(sink)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return behind(t, backend.Settings{Addresses: []string{back}})
}

// pipe starts a session on a synchronous pipe, and gives the sender's end of it. All of it ends with the test, or its bubble.
func (p *running) pipe(t testing.TB) *client {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() {
		ours.Close()
		p.closeBackends()
	})
	go p.server.ServeConn(theirs, listenerPlain())
	return newClient(t, ours)
}
