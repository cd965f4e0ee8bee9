package proxy_test

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy"
	"gatepost/proxy/backend"
)

// TestHugeLine brings one line that is larger than a message may be: it is read to its end and refused, and memory stays flat (hazard 9).
func TestHugeLine(t *testing.T) {
	const size, flat = 60 << 20, 16 << 20
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
	s := withSink(t, sink)
	s.Limits.MessageSize = 4 << 20 // the sink keeps what it takes of it
	p := start(t, s, listenerPlain())
	c := p.client(t)
	c.envelope()
	c.send("Subject: x\r\n\r\n")
	before, most := heap(), uint64(0)
	line := strings.Repeat("x", 1<<20)
	for range size >> 20 {
		c.send(line)
		most = max(most, heap())
	}
	if most > before+flat {
		t.Errorf("%d octets of memory for one line", most-before)
	}
	c.say("\r\n.", "552 5.3.4 ")
	c.say("NOOP", "250 ")
	c.quit()
	p.stop()
	p.atRest(t)
	if n := sink.Committed(); n != 0 {
		t.Errorf("%d messages", n)
	}
}

// heap is what is in use, without what waits for the collector.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestOtherProtocols: who speaks HTTP gets one line, nothing of what was said, and the end (hazard 15).
func TestOtherProtocols(t *testing.T) {
	for _, first := range []string{"GET /secret HTTP/1.1", "POST /secret HTTP/1.0", "CONNECT secret:25 HTTP/1.1"} {
		p := newServer(behind(t, backend.Settings{}))
		c := p.pipe(t)
		c.want("220 ")
		go io.WriteString(c.conn, first+"\r\nHost: secret\r\n\r\nMAIL FROM:<a@client.example>\r\n")
		reply := c.reply()
		if !strings.HasPrefix(reply, "221 2.7.0 ") || strings.Contains(reply, "secret") {
			t.Errorf("%s: reply %q", first, reply)
		}
		c.closed()
		if r := p.record(); r == nil || len(r.Faults) != 1 || r.Faults[0] != "not-smtp" {
			t.Errorf("%s: record %+v", first, r)
		}
	}
}

// TestStandardLimits: without settings a session has 20 errors, and 100 commands in a row that bring no mail on (hazard 19, REPLIES).
func TestStandardLimits(t *testing.T) {
	for _, test := range []struct {
		line, reply string
		times       int
	}{{"FROB", "500 5.5.2 ", 20}, {"NOOP", "250 ", 100}, {"RSET", "250 ", 100}, {"VRFY amy", "252 ", 100}} {
		p := newServer(behind(t, backend.Settings{}))
		c := p.pipe(t)
		c.want("220 ")
		c.say("EHLO client.example", "250")
		go io.WriteString(c.conn, strings.Repeat(test.line+"\r\n", 2*test.times))
		n, got := 0, c.reply()
		for ; strings.HasPrefix(got, test.reply); got = c.reply() {
			n++
		}
		if n != test.times || !strings.HasPrefix(got, "421 4.7.0 ") {
			t.Errorf("%s: %d times %q, then %q", test.line, n, test.reply, got)
		}
		c.closed()
	}
}

// TestHeaderTime: headers that are made to cost time are answered at once, and nothing of them is relayed (hazard 41).
func TestHeaderTime(t *testing.T) {
	for name, head := range map[string]string{
		"a From of one letter":  "From: " + strings.Repeat("a", 256<<10) + "\r\n",
		"a From of brackets":    "From: " + strings.Repeat("<", 256<<10) + "\r\n",
		"a From of comments":    "From: " + strings.Repeat("(", 256<<10) + "\r\n",
		"fields without an end": strings.Repeat("X: y\r\n", 100_000),
		"folds without an end":  "From: a@x.example\r\n" + strings.Repeat(" x\r\n", 1_000_000),
		"one field of colons":   strings.Repeat(":", 300<<10) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
			p := start(t, withSink(t, sink), listenerPlain())
			c := p.client(t)
			c.envelope()
			began := time.Now()
			c.send(head + "\r\nx\r\n")
			c.say(".", "552 5.3.4 ")
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%v for a header of %d octets", took, len(head))
			}
			c.say("NOOP", "250 ")
			c.quit()
			p.stop()
			p.atRest(t)
			if n := sink.Committed(); n != 0 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// exhausted is a listener that has no descriptor for a while.
type exhausted struct {
	until time.Time
	tries int
	conn  net.Conn // comes then
	end   chan struct{}
}

func (e *exhausted) Accept() (net.Conn, error) {
	e.tries++
	if time.Now().Before(e.until) {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	if c := e.conn; c != nil {
		e.conn = nil
		return c, nil
	}
	<-e.end
	return nil, net.ErrClosed
}

func (e *exhausted) Close() error   { close(e.end); return nil }
func (e *exhausted) Addr() net.Addr { return &net.TCPAddr{} }

// TestAcceptFails: where accept has no descriptor left it is tried again, now and then, and the listener lives (hazard 76).
func TestAcceptFails(t *testing.T) {
	s := behind(t, backend.Settings{})
	synctest.Test(t, func(t *testing.T) {
		p := newServer(fresh(s))
		ours, theirs := net.Pipe()
		ln := &exhausted{until: time.Now().Add(time.Minute), conn: theirs, end: make(chan struct{})}
		go func() { p.server.Serve(ln, listenerPlain()); close(p.done) }()
		c := newClient(t, ours)
		c.want("220 ")
		c.quit()
		p.stop()
		if ln.tries < 30 || ln.tries > 100 {
			t.Errorf("%d tries in a minute", ln.tries)
		}
	})
}

// TestOutOfTurnIsLogged: the first 64 octets of what came where nothing may come are in the log, without a control character (hazard 12).
func TestOutOfTurnIsLogged(t *testing.T) {
	settings, _ := withTLS(t)
	const hello, mail = "EHLO client.example\r\n", "MAIL FROM:<a@client.example>\r\nRCPT TO:<amy@example.com>\r\n"
	for _, test := range []struct{ name, sent, behind, log string }{
		{"EHLO", hello + "NOOP \x1b[31m\u202e\r\n", "EHLO", `NOOP \x1b[31m\u202e\r\n`},
		{"STARTTLS", hello + "|STARTTLS\r\n\x16\x03\x01" + strings.Repeat("y", 100), "STARTTLS", `\x16\x03\x01` + strings.Repeat("y", 61)},
		{"DATA", hello + "|" + mail + "DATA\r\nSubject: x\r\n.\r\n", "DATA", `Subject: x\r\n.\r\n`},
		{"DATA, refused", hello + "|DATA\r\nSubject: x\r\n", "DATA", `Subject: x\r\n`},
		{"DATA, refused before", hello + "|DATA\r\n|Subject: \xff\r\n", "DATA", `Subject: \xff`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			server := proxy.New(settings, func(*policy.Record) {}, slog.New(slog.NewTextHandler(&log, nil)))
			ours, theirs := net.Pipe()
			go server.ServeConn(theirs, listenerPlain())
			c := newClient(t, ours)
			c.want("220 ")
			for part := range strings.SplitSeq(test.sent, "|") {
				go io.WriteString(c.conn, part)
				c.reply()
			}
			io.Copy(io.Discard, c.in)
			want := "behind=" + test.behind + " sent=" + strconv.Quote(test.log)
			if got := strings.ReplaceAll(log.String(), "sent="+test.log+"\n", "sent="+strconv.Quote(test.log)+"\n"); !strings.Contains(got, want+"\n") {
				t.Errorf("%s, want %s", log.String(), want)
			}
		})
	}
}

// TestMisspeltContent: what stands behind DATA or BDAT that is refused for its form never runs as commands (hazards 14, 26, 28).
func TestMisspeltContent(t *testing.T) {
	for _, test := range []struct{ line, reply string }{
		{"DATA foo\r\n", "501 5.5.4 "},
		{"DATAx\r\n", "501 5.5.4 "},
		{"DATA\n", "500 5.5.2 "},
		{"BDAT\r\n", "501 5.5.4 "},
		{"BDAT: 80 LAST\r\n", "501 5.5.4 "},
		{"BDAT 80 LAST\n", "500 5.5.2 "},
	} {
		for _, first := range []string{"", "BDAT 1\r\nx"} {
			sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
			p := start(t, withSink(t, sink), listenerPlain())
			c := p.client(t)
			c.say("EHLO client.example", "250")
			c.say("MAIL FROM:<a@client.example>", "250 ")
			c.say("RCPT TO:<amy@example.com>", "250 ")
			if first != "" {
				c.send(first)
				c.want("250 ")
			}
			c.send(test.line + "Subject: x\r\n\r\nRSET\r\nMAIL FROM:<evil@client.example>\r\nRCPT TO:<amy@example.com>\r\nDATA\r\n")
			if got := c.reply(); !strings.HasPrefix(got, test.reply) && !(first != "" && strings.HasPrefix(got, "503 5.5.1 ")) {
				t.Errorf("%q: reply %q, want %q", test.line, got, test.reply)
			}
			if rest, err := io.ReadAll(c.in); err != nil || bytes.Contains(rest, []byte("250 ")) {
				t.Errorf("%q, then %q, %v", test.line, rest, err)
			}
			c.conn.Close()
			p.stop()
			if log := strings.Join(sink.Log(), "\n"); strings.Contains(log, "evil@") || sink.Committed() > 0 {
				t.Errorf("%q: the backend has\n%s", test.line, log)
			}
		}
	}
}

// TestEndIsNoReset: a sender that is in the middle of its content can read why the session ends, and that it does.
func TestEndIsNoReset(t *testing.T) {
	content := strings.Repeat("a line of the body\r\n", 1000)
	for _, test := range []struct{ commands, last string }{
		{"EHLO client.example\r\n", "554 5.5.0 "},
		{"MAIL FROM:<a@client.example>\r\nRCPT TO:<u@elsewhere.example>\r\nDATA\r\n", "554 5.5.1 "},
		{"MAIL FROM:<a@client.example>\r\nDATA foo\r\n", "501 5.5.4 "},
		{"BDAT x\r\n", "501 5.5.4 "},
	} {
		p := start(t, behind(t, backend.Settings{}), listenerPlain())
		c := p.client(t)
		c.say("EHLO client.example", "250")
		c.send(test.commands + content)
		got, err := io.ReadAll(c.in)
		lines := strings.Split(strings.TrimSpace(string(got)), "\r\n")
		if last := lines[len(lines)-1]; err != nil || !strings.HasPrefix(last, test.last) {
			t.Errorf("%q: %q, %v; want %q at last", test.commands, got, err, test.last)
		}
		c.conn.Close()
		p.stop()
	}
	p := start(t, behind(t, backend.Settings{}), listenerPlain())
	defer p.stop()
	c := p.client(t)
	c.send("EHLO client.example\n" + content)
	if got, err := io.ReadAll(c.in); err != nil || !bytes.HasPrefix(got, []byte("500 5.5.2 ")) {
		t.Errorf("a bare LF at the start: %q, %v", got, err)
	}
	c.conn.Close()
}
