package proxy_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"gatepost/internal/mailsink"
	"gatepost/proxy"
	"gatepost/proxy/backend"
)

// TestEndSplit cuts the end of the content, and the dots before it, at every byte (hazard 4).
func TestEndSplit(t *testing.T) {
	sink := &mailsink.Server{Extensions: []string{"PIPELINING"}}
	p := newServer(withSink(t, sink))
	c := p.pipe(t)
	c.want("220 ")
	c.say("EHLO client.example", "250")
	const content = "A: b\r\n\r\n..x\r\n.y\r\n...\r\n.\r\n"
	for cut := range len(content) + 1 {
		c.say("MAIL FROM:<a@client.example>", "250 ")
		c.say("RCPT TO:<amy@example.com>", "250 ")
		c.say("DATA", "354 ")
		c.send(content[:cut])
		if cut < len(content) {
			c.send(content[cut:])
		}
		c.want("250 ")
		all := sink.Messages()
		if len(all) != cut+1 {
			t.Fatalf("cut at %d: %d messages", cut, len(all))
		}
		if m := all[cut].Content; !bytes.HasSuffix(m, []byte("\r\nA: b\r\n\r\n.x\r\ny\r\n..\r\n")) {
			t.Fatalf("cut at %d: %q", cut, m)
		}
	}
	c.quit()
	eventually(t, "the end of the session", func() bool { return p.server.Stats().Open == 0 })
	p.atRest(t)
}

// TestLargeContent brings content of many forms through memory, through the file, and straight to the backend, by DATA and by BDAT, octet for octet
// (promise 3).
func TestLargeContent(t *testing.T) {
	var lines, dots bytes.Buffer
	for i := 0; lines.Len() < 1<<20; i++ {
		fmt.Fprintf(&lines, "line %d\r\n", i)
		dots.WriteString(strings.Repeat(".", i%5) + "\r\n")
	}
	tests := []struct {
		name string
		body []byte
	}{
		{"lines", lines.Bytes()},
		{"dots", dots.Bytes()},
		{"one line of 1 MB (hazard 9)", append(bytes.Repeat([]byte("x"), 1<<20), "\r\n"...)},
		{"a little", []byte("y\r\n")},
	}
	for _, test := range tests {
		for way, set := range map[string]func(*proxy.Settings){
			"memory": func(*proxy.Settings) {},
			"file":   func(s *proxy.Settings) { s.Limits.SpoolMemory, s.Policy = 1, readingPolicy() },
			"passed": func(s *proxy.Settings) { s.Limits.SpoolMemory = 1 },
		} {
			for _, ext := range []string{"PIPELINING", "CHUNKING"} {
				t.Run(fmt.Sprintf("%s, %s, %s", test.name, way, ext), func(t *testing.T) {
					t.Parallel()
					largeContent(t, test.body, set, ext)
				})
			}
		}
	}
}

func largeContent(t *testing.T, body []byte, set func(*proxy.Settings), ext string) {
	sink := &mailsink.Server{Extensions: []string{ext}}
	s := withSink(t, sink)
	set(s)
	p := start(t, s, listenerPlain())
	content := append([]byte("Subject: x\r\n\r\n"), body...)
	c := p.client(t)
	c.envelope()
	stuffed := bytes.ReplaceAll(append([]byte("\r\n"), content...), []byte("\r\n."), []byte("\r\n.."))[2:]
	c.send(string(stuffed) + ".\r\n")
	c.want("250 ")
	c.say("MAIL FROM:<a@client.example>", "250 ")
	c.say("RCPT TO:<amy@example.com>", "250 ")
	half := len(content) / 2
	c.send(fmt.Sprintf("BDAT %d\r\n%sBDAT %d LAST\r\n%s", half, content[:half], len(content)-half, content[half:]))
	c.want("250 ", "250 ")
	c.quit()
	p.stop()
	p.atRest(t)
	for _, m := range sink.Messages() {
		at := bytes.Index(m.Content, []byte("Subject: x\r\n"))
		if at < 0 || sha256.Sum256(m.Content[at:]) != sha256.Sum256(content) {
			t.Errorf("%s: %d octets arrived as %d others", m.Via, len(content), len(m.Content)-at)
		}
	}
	if n := sink.Committed(); n != 2 {
		t.Errorf("%d messages", n)
	}
	if files, _ := os.ReadDir(s.Limits.SpoolDir); len(files) > 0 {
		t.Errorf("files are left: %v", files)
	}
}

// TestNoRoom: without room for a spool file the sender is asked to come later (REPLIES), and a smaller message passes.
func TestNoRoom(t *testing.T) {
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
	s := withSink(t, sink)
	s.Limits.SpoolMemory, s.Limits.SpoolDir, s.Policy = 1, filepath.Join(t.TempDir(), "missing"), readingPolicy()
	p := start(t, s, listenerPlain())
	c := p.client(t)
	c.envelope()
	c.send("Subject: x\r\n\r\n" + strings.Repeat("a line\r\n", 100_000) + ".\r\n")
	c.want("452 4.3.1 ")
	c.envelope()
	c.say("Subject: x\r\n\r\nsmall\r\n.", "250 ")
	c.quit()
	p.stop()
	p.atRest(t)
	if n := sink.Committed(); n != 1 {
		t.Errorf("%d messages committed, want 1", n)
	}
}

// TestMemoryIsShared: content of one session takes from all; who finds nothing left is deferred, and it all comes back.
func TestMemoryIsShared(t *testing.T) {
	s := withSink(t, &mailsink.Server{Extensions: mailsink.DefaultExtensions()})
	s.Limits.Memory = 20 << 10
	p := start(t, s, listenerPlain())
	first, second := p.client(t), p.client(t)
	first.envelope()
	first.send("Subject: x\r\n\r\n")
	eventually(t, "the first content", func() bool { return p.server.Stats().Memory > 0 })
	second.envelope()
	second.say("Subject: y\r\n\r\n.", "452 4.3.1 ")
	first.say(".", "250 ")
	first.say("NOOP", "250 ") // all of the transaction is over now
	second.envelope()
	second.say("Subject: y\r\n\r\n.", "250 ")
	first.quit()
	second.quit()
	p.stop()
	p.atRest(t)
}

// counting counts what a session writes at once.
type counting struct {
	net.Conn
	writes atomic.Int64
}

func (c *counting) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// TestOneFlush: the replies to a group of MAIL, 50 RCPT and DATA come in order and in one write (hazard 13, RFC 2920 section 3.2).
func TestOneFlush(t *testing.T) {
	s := withSink(t, &mailsink.Server{Extensions: mailsink.DefaultExtensions(), Users: map[string]bool{"u7@example.com": true}})
	s.Limits.Errors = 1000
	p := newServer(s)
	ours, theirs := net.Pipe()
	count := &counting{Conn: theirs}
	done := make(chan struct{})
	go func() { p.server.ServeConn(count, listenerPlain()); close(done) }()
	c := newClient(t, ours)
	c.want("220 ")
	c.say("EHLO client.example", "250")
	before := count.writes.Load()
	group, want := "MAIL FROM:<a@client.example>\r\n", []string{"250 2.1.0 "}
	for i := range 50 {
		group += fmt.Sprintf("RCPT TO:<u%d@example.com>\r\n", i)
		want = append(want, "550 5.1.1 ")
	}
	want[8] = "250 2.1.5 "
	go c.conn.Write([]byte(group + "DATA\r\n"))
	c.want(append(want, "354 ")...)
	// On a synchronous pipe a group may be read in pieces of a session's buffer, of which an idle one has a KiB.
	if n := count.writes.Load() - before; n > int64(len(group)/1024+1) {
		t.Errorf("%d writes", n)
	}
	c.say(".", "250 ")
	c.quit()
	<-done
	p.closeBackends()
}

// TestTag: a tagged message carries the two headers that say so, whatever stage the check is of.
func TestTag(t *testing.T) {
	for _, stage := range []string{"connect", "helo", "mail", "rcpt", "data"} {
		sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
		s := withSink(t, sink)
		s.Policy = policyOf("odd:" + stage + ":softfail:tag:enforce")
		p := start(t, s, listenerPlain())
		c := p.client(t)
		c.envelope()
		c.say("X-Spam: No\r\nSubject: x\r\n\r\n.", "250 ")
		c.quit()
		p.stop()
		m := sink.Messages()
		if len(m) != 1 || !bytes.Contains(m[0].Content, []byte("X-Spam: Yes\r\nX-Spam-Reason: ")) || bytes.Contains(m[0].Content, []byte("X-Spam: No")) {
			t.Errorf("%s: %+v", stage, m)
		}
		if r := p.record(); r.Recipients[0].Verdict.String() != "tagged" {
			t.Errorf("%s: record %+v", stage, r.Recipients[0])
		}
	}
}

// TestTrace reads what is put on top of a message: it is of the session that brought it, and its ref is that of the reply.
func TestTrace(t *testing.T) {
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
	p := start(t, withSink(t, sink), listenerPlain())
	c := p.client(t)
	c.envelope()
	c.send("Subject: x\r\n\r\n.\r\n")
	reply := c.reply()
	c.quit()
	p.stop()
	ref := strings.Trim(reply[strings.LastIndexByte(reply, '['):], "[]")
	want := "Received: from client.example ([127.0.0.1])\r\n\tby mx.example.com (gatepost) with ESMTP id " + ref + "\r\n\tfor <amy@example.com>;\r\n\t"
	got := string(sink.Messages()[0].Content)
	if !strings.HasPrefix(got, want) || strings.Count(got, "Authentication-Results: mx.example.com; none\r\n") != 1 {
		t.Errorf("%q, want %q", got, want)
	}
	if r := p.record(); r.Ref != ref {
		t.Errorf("the record's ref is %s, the reply's %s", r.Ref, ref)
	}
}

// BenchmarkSession brings messages of 4 KiB over one session to a backend that keeps none: with a command at a time, in groups, and in
// groups under TLS. What it counts holds the sender and the backend as well.
func BenchmarkSession(b *testing.B) {
	mail, rcpt, data := "MAIL FROM:<a@client.example>\r\n", "RCPT TO:<amy@example.com>\r\n", "DATA\r\n"
	content := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 56) + ".\r\n"
	for _, bb := range []struct {
		name   string
		groups []string // each is written at once
		tls    bool
	}{
		{"plain", []string{mail, rcpt, data, content}, false},
		{"pipelined", []string{mail + rcpt + data, content}, false},
		{"TLS", []string{mail + rcpt + data, content}, true},
	} {
		b.Run(bb.name, func(b *testing.B) {
			c, stop := benchClient(b, bb.tls)
			defer stop()
			b.ReportAllocs()
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				for _, group := range bb.groups {
					c.send(group)
					for range replies(group) {
						c.reply()
					}
				}
			}
		})
	}
}

// replies is how many replies a group of commands, or a content, gets.
func replies(group string) int {
	if strings.HasSuffix(group, "\r\n.\r\n") {
		return 1
	}
	return strings.Count(group, "\r\n")
}

// benchClient is a greeted client of a server before a backend that keeps one message.
func benchClient(b *testing.B, secure bool) (c *client, stop func()) {
	back, stopSink, err := mailsink.Listen(&mailsink.Server{Extensions: mailsink.DefaultExtensions(), Keep: 1})
	if err != nil {
		b.Fatal(err)
	}
	var s *proxy.Settings = behind(b, backend.Settings{Addresses: []string{back}})
	s.Limits.SessionTimeout = 1 << 62
	s.TLS = certificate(b)
	p := start(b, s, listenerPlain())
	go func() {
		for range p.records { // nobody reads them here
		}
	}()
	c = p.client(b)
	c.say("EHLO client.example", "250")
	if secure {
		c.say("STARTTLS", "220 ")
		c = c.secure()
		c.say("EHLO client.example", "250")
	}
	return c, func() { p.stop(); close(p.records); stopSink() }
}
