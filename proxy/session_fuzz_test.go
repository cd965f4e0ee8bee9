package proxy_test

import (
	"bytes"
	"io"
	"net"
	"regexp"
	"testing"
	"time"

	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy/backend"
)

// accepted is the reply of the sink to content that it took, as it comes through the proxy.
var accepted = regexp.MustCompile(`(?m)^250 2\.0\.0 Ok: queued as `)

// FuzzSession sends any bytes to a session in one go. It ends without a panic, replies are lines of text, and each message that
// the backend took was told to the sender: N accepted is N delivered.
func FuzzSession(f *testing.F) {
	const hello = "EHLO client.example\r\n"
	const mail = "MAIL FROM:<a@client.example>\r\nRCPT TO:<amy@example.com>\r\n"
	for _, seed := range []string{
		"", "\r\n", hello, "QUIT\r\n", mail + "DATA\r\n.\r\n", mail + "BDAT 3 LAST\r\nx\r\n" + mail + "BDAT 0 LAST\r\n",
		mail + "BDAT 3\r\nx\r\nRSET\r\n" + mail + "BDAT 99 LAST\r\nx", mail + "RCPT TO:<u@elsewhere.example>\r\nDATA\r\nx\r\n.\r\nNOOP\r\n",
		"MAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nBDAT 1 LAST\r\n\r", "BDAT 6\r\nQUIT\r\n", "NOOP\nNOOP\r\n", "RCPT TO:<\"x@y\"@example.com>\r\n",
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	sinks := map[bool]*mailsink.Server{true: {Extensions: mailsink.DefaultExtensions(), Keep: 10}, false: {Extensions: []string{"8BITMIME"}, Keep: 10}}
	servers := map[bool]*running{}
	for chunking, sink := range sinks {
		back, stop, err := mailsink.Listen(sink)
		if err != nil {
			f.Fatal(err)
		}
		s := behind(f, backend.Settings{Addresses: []string{back}})
		s.Limits.PerClient = 1 << 30
		p := newServer(s)
		servers[chunking] = p
		f.Cleanup(func() { p.closeBackends(); stop() })
	}
	f.Fuzz(func(t *testing.T, in []byte, chunking bool) {
		p, sink := servers[chunking], sinks[chunking]
		before := sink.Committed()
		out := converse(t, p, in)
		told, delivered, untold := len(accepted.FindAll(out, -1)), 0, 0
		for _, r := range p.all() {
			switch r.End {
			case policy.EndDelivered:
				delivered++
			case policy.EndDuplicate: // this test hung up before the reply
				untold++
			}
		}
		n := sink.Committed() - before
		if n != delivered+untold || told > n || told < delivered {
			t.Fatalf("%d messages committed, %d and %d recorded, %d told of, in %q", n, delivered, untold, told, out)
		}
		for _, c := range out {
			if c < ' ' && c != '\r' && c != '\n' && c != '\t' || c == 0x7f {
				t.Fatalf("byte %#x in %q", c, out)
			}
		}
		p.atRest(t)
	})
}

// converse greets, sends in, and gives what came back until the session ended. A session that does not end fails the test.
func converse(t *testing.T, p *running, in []byte) []byte {
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() { defer close(done); p.server.ServeConn(theirs, listenerPlain()) }()
	ours.SetDeadline(time.Now().Add(patience))
	c := newClient(t, ours)
	c.want("220 ")
	c.say("EHLO client.example", "250")
	var out bytes.Buffer
	read := make(chan struct{})
	go func() { defer close(read); io.Copy(&out, c.in) }()
	ours.Write(in) // fails where the session ends before
	ours.Write([]byte("\r\n.\r\nQUIT\r\n"))
	select {
	case <-done:
	case <-time.After(10 * time.Millisecond): // it waits for more content, which won't come
		ours.Close()
	}
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the session does not end")
	}
	ours.Close()
	<-read
	return out.Bytes()
}
