package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy"
	"gatepost/proxy/backend"
)

// wayIn is how the backend is given content.
var wayIn = map[string][]string{"BDAT": {"PIPELINING", "CHUNKING"}, "DATA": {"PIPELINING"}}

// passing is a proxy that passes large content on to a sink as it comes: it keeps little.
type passing struct {
	*running
	sink  *mailsink.Server
	heard atomic.Int64 // the most octets of a message that the sink has heard
}

func newPassing(t *testing.T, sink *mailsink.Server, set func(*proxy.Settings)) *passing {
	p := &passing{sink: sink}
	fault := sink.Fault
	sink.Fault = func(e mailsink.Event) mailsink.Action {
		if e.Stage == mailsink.StageBody && e.Octets > p.heard.Load() {
			p.heard.Store(e.Octets)
		}
		if fault != nil {
			return fault(e)
		}
		return mailsink.Action{}
	}
	s := withSink(t, sink)
	s.Limits.SpoolMemory = 1
	if set != nil {
		set(s)
	}
	p.running = start(t, s, listenerPlain())
	return p
}

// bulk is half a megabyte of lines, of which every third starts with a dot.
var bulk = strings.Repeat("a line\r\nand one\r\n.with a dot\r\n", 16<<10)

// stuffed is content as DATA has it.
func stuffed(s string) string { return strings.ReplaceAll("\r\n"+s, "\r\n.", "\r\n..")[2:] }

// fill sends content until some of it is at the backend, which may take a while: a check is to end before. It gives what it sent.
func (p *passing) fill(t *testing.T, c *client) (sent string) {
	for range 100 {
		c.send(stuffed(bulk))
		sent += bulk
		for range 50 {
			if p.heard.Load() > 0 {
				return sent
			}
			time.Sleep(time.Millisecond)
		}
	}
	t.Fatal("nothing was passed on")
	return ""
}

// TestPassOn: large content is at the backend before its sender has ended it, and what counts there in the end is the message with our
// headers, without what others wrote in our name, octet for octet (promise 3).
func TestPassOn(t *testing.T) {
	for way, ext := range wayIn {
		t.Run(way, func(t *testing.T) {
			p := newPassing(t, &mailsink.Server{Extensions: ext}, func(s *proxy.Settings) {
				s.Policy = policyOf("odd:data:softfail:tag:enforce")
			})
			c := p.client(t)
			c.envelope()
			c.send("X-Spam: No\r\nSubject: x\r\n\r\n")
			body := p.fill(t, c)
			if n := p.sink.Committed(); n != 0 {
				t.Fatalf("%d messages before the end", n)
			}
			c.send(stuffed("\r\n.the last line\r\n") + ".\r\n")
			c.want("250 ")
			c.envelope()
			c.say("Subject: y\r\n\r\n.", "250 ")
			c.quit()
			p.stop()
			p.atRest(t)
			all := p.sink.Messages()
			if len(all) != 2 {
				t.Fatalf("%d messages", len(all))
			}
			got := string(all[0].Content)
			at := strings.Index(got, "Subject: ")
			if at < 0 || got[at:] != "Subject: x\r\n\r\n"+body+"\r\n.the last line\r\n" {
				t.Errorf("%d octets arrived as %d others", len(body), len(got))
			}
			if top := got[:max(at, 0)]; !strings.HasPrefix(top, "Received: ") || !strings.Contains(top, "X-Spam: Yes\r\n") || strings.Contains(top, "X-Spam: No") {
				t.Errorf("on top: %q", top)
			}
			first := p.all()[0]
			if want := int64(len("Subject: x\r\n\r\n" + body + "\r\n.the last line\r\n")); first.Size != want || first.Subject != "" || first.Recipients[0].Verdict != policy.Tagged {
				t.Errorf("record %+v, want %d octets", first, want)
			}
		})
	}
}

// TestPassOnByChunks: what comes by BDAT is passed on as well, whatever the backend takes.
func TestPassOnByChunks(t *testing.T) {
	for way, ext := range wayIn {
		t.Run(way, func(t *testing.T) {
			p := newPassing(t, &mailsink.Server{Extensions: ext}, nil)
			c := p.client(t)
			c.say("EHLO client.example", "250")
			c.say("MAIL FROM:<a@client.example>", "250 ")
			c.say("RCPT TO:<amy@example.com>", "250 ")
			half := len(bulk) - 1 // between CR and LF
			c.send("BDAT 13\r\nSubject: x\r\n\rBDAT " + strconv.Itoa(1+half) + "\r\n\n" + bulk[:half])
			c.want("250 ", "250 ")
			eventually(t, "content at the backend", func() bool { return p.heard.Load() > 0 })
			c.send("BDAT 4 LAST\r\n\n.\r\n")
			c.want("250 ")
			c.quit()
			p.stop()
			p.atRest(t)
			all := p.sink.Messages()
			if len(all) != 1 || !bytes.HasSuffix(all[0].Content, []byte("\r\nSubject: x\r\n\r\n"+bulk+".\r\n")) {
				t.Errorf("%d messages, or another content", len(all))
			}
		})
	}
}

// TestPassedOnInVain: what was passed on counts for nothing where the content does not come to a good end. The sender hears why, and its next
// message passes.
func TestPassedOnInVain(t *testing.T) {
	body := func(a mailsink.Action) func(mailsink.Event) mailsink.Action {
		return func(e mailsink.Event) mailsink.Action {
			if e.Session == 1 && e.Stage == mailsink.StageBody && e.Octets > 50<<10 {
				return a
			}
			return mailsink.Action{}
		}
	}
	tests := []struct {
		name  string
		end   string // behind much content; "" hangs up
		reply string
		fault func(mailsink.Event) mailsink.Action
		set   func(*proxy.Settings)
	}{
		{"a bare CR", "x\ry\r\n.\r\n", "550 5.5.2 ", nil, nil},
		{"a dot and a bare LF", "x\r\n.\nMAIL FROM:<x@y.example>\r\n.\r\n", "550 5.5.2 ", nil, nil},
		{"a NUL", "\x00\r\n.\r\n", "550 5.6.0 ", nil, nil},
		{"too large", strings.Repeat("a line\r\n", 1<<20) + ".\r\n", "552 5.3.4 ", nil, func(s *proxy.Settings) { s.Limits.MessageSize = 4 << 20 }},
		{"the sender is gone", "", "", nil, nil},
		{"the backend refuses", ".\r\n", "552 5.2.2 words", body(mailsink.Action{Reply: "552 5.2.2 words", CloseAfter: true}), nil},
		{"the backend defers", ".\r\n", "452 4.3.1 words", body(mailsink.Action{Reply: "452 4.3.1 words", CloseAfter: true}), nil},
		{"the backend goes down", ".\r\n", "451 ", body(mailsink.Action{Reply: "421 4.3.2 words", CloseAfter: true}), nil},
		{"the backend breaks off", ".\r\n", "451 4.4.2 ", body(mailsink.Action{Reset: true}), nil},
		{"the backend says yes at once", ".\r\n", "451 4.", body(mailsink.Action{Reply: "250 2.0.0 yes", CloseAfter: true}), nil},
	}
	for way, ext := range wayIn {
		for _, test := range tests {
			t.Run(way+", "+test.name, func(t *testing.T) {
				p := newPassing(t, &mailsink.Server{Extensions: ext, Fault: test.fault}, func(s *proxy.Settings) {
					s.Policy = policyOf("odd:data:softfail:tag:enforce")
					if test.set != nil {
						test.set(s)
					}
				})
				c := p.client(t)
				c.envelope()
				c.send("Subject: x\r\n\r\n")
				p.fill(t, c)
				if test.fault != nil {
					eventually(t, "the end of the backend's session", func() bool { return p.sink.Open() == 0 })
				}
				if test.end == "" {
					c.conn.Close()
					eventually(t, "the end of the session", func() bool { return p.server.Stats().Open == 0 })
					c = p.client(t)
				} else {
					c.send(test.end)
					c.want(test.reply)
				}
				c.envelope()
				c.say("Subject: y\r\n\r\n.", "250 ")
				c.quit()
				p.stop()
				p.atRest(t)
				eventually(t, "the end of the backend's sessions", func() bool { return p.sink.Open() == 0 })
				if n := p.sink.Committed(); n != 1 {
					t.Errorf("%d messages", n)
				}
				for _, line := range p.sink.Log() {
					if strings.HasSuffix(line, "C: RSET") {
						t.Error("the backend was not left alone with half of a message")
					}
				}
				ends := map[policy.End]int{}
				all := p.all()
				for _, r := range all {
					ends[r.End]++
				}
				if r := all[0].Recipients[0]; r.Verdict == policy.Tagged || test.end != "" && r.Where != "" {
					t.Errorf("the record of the first says %+v", r)
				}
				if ends[policy.EndDelivered] != 1 || ends[policy.EndUnknown] != 0 {
					t.Errorf("the records say %v", ends)
				}
			})
		}
	}
}

// reader is a check that reads the content to its end.
type reader struct{ always }

func (reader) ReadsContent() {}
func (r reader) Run(ctx context.Context, v policy.View) policy.Finding {
	_, _ = io.Copy(io.Discard, v.Content)
	return r.always.Run(ctx, v)
}

// readingPolicy has a check that reads all of the content, and passes it.
func readingPolicy() *policy.Policy {
	return &policy.Policy{Mode: policy.Enforce, Slots: []policy.Slot{{Check: reader{always{"read", policy.StageData, policy.Pass}}, Mode: policy.Enforce}}}
}

// counted is a check that counts its runs.
type counted struct {
	always
	runs *atomic.Int64
}

func (c counted) Run(ctx context.Context, v policy.View) policy.Finding {
	c.runs.Add(1)
	return c.always.Run(ctx, v)
}

// whole is a check that waits for the size.
type whole struct{ always }

func (whole) WantsWhole() {}

// TestPassOnWaits: while the verdict may still change nothing is passed on. Then the content needs a file, for which there is no place where one is
// not to be needed for long.
func TestPassOnWaits(t *testing.T) {
	var runs atomic.Int64
	seen := always{"seen", policy.StageData, policy.Fail}
	tests := []struct {
		name  string
		check policy.Check
		mode  policy.Mode
		act   policy.Action
		reply string
		heard bool // by the backend
	}{
		{"a check of the header", counted{seen, &runs}, policy.Enforce, policy.None, "250 ", true},
		{"one that refuses", seen, policy.Enforce, policy.Reject, "550 5.7.1 ", false},
		{"one that would refuse", seen, policy.Monitor, policy.Reject, "250 ", true},
		{"a check of the content", reader{seen}, policy.Enforce, policy.None, "452 4.3.1 ", false},
		{"one that is off", reader{seen}, policy.Off, policy.None, "250 ", true},
		{"a check of the size", whole{seen}, policy.Enforce, policy.None, "452 4.3.1 ", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPassing(t, &mailsink.Server{Extensions: wayIn["BDAT"]}, func(s *proxy.Settings) {
				if strings.HasPrefix(test.reply, "452") {
					s.Limits.SpoolDir = filepath.Join(t.TempDir(), "missing")
				}
				s.Policy = &policy.Policy{Mode: policy.Enforce, Slots: []policy.Slot{{Check: test.check, Mode: test.mode,
					Actions: map[policy.Outcome]policy.Action{policy.Fail: test.act}}}}
			})
			c := p.client(t)
			c.envelope()
			c.send("Subject: x\r\n\r\n")
			if test.heard {
				p.fill(t, c)
			}
			c.send(stuffed(bulk) + ".\r\n")
			c.want(test.reply)
			c.quit()
			p.stop()
			p.atRest(t)
			if heard := p.heard.Load() > 0; heard != test.heard {
				t.Errorf("the backend has heard %d octets", p.heard.Load())
			}
			if runs.Load() > 1 {
				t.Errorf("the check ran %d times", runs.Load())
			}
			if r := p.record(); test.mode == policy.Monitor && r.Recipients[0].Would != policy.Reject {
				t.Errorf("the record says %+v", r.Recipients[0])
			}
		})
	}
}

// lax is a server that takes a bare CR or LF for the end of a line, and does not see NUL.
type lax struct{ envelopes atomic.Int64 }

func (l *lax) listen(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for c, err := ln.Accept(); err == nil; c, err = ln.Accept() {
			go l.serve(c)
		}
	}()
	return ln.Addr().String()
}

func (l *lax) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewScanner(c)
	in.Split(func(b []byte, _ bool) (int, []byte, error) {
		end := bytes.IndexAny(b, "\r\n")
		if end < 0 {
			return 0, nil, nil
		}
		return end + 1, append([]byte{}, bytes.ReplaceAll(b[:end], []byte{0}, nil)...), nil
	})
	io.WriteString(c, "220 lax\r\n")
	for inside := false; in.Scan(); {
		switch line := in.Text(); {
		case inside && line == ".":
			inside = false
			io.WriteString(c, "250 queued\r\n")
		case inside, line == "":
		case strings.HasPrefix(line, "EHLO"):
			io.WriteString(c, "250-lax\r\n250 PIPELINING\r\n")
		case line == "DATA":
			inside = true
			io.WriteString(c, "354 go\r\n")
		default:
			if strings.HasPrefix(line, "MAIL") {
				l.envelopes.Add(1)
			}
			io.WriteString(c, "250 ok\r\n")
		}
	}
}

// TestPassOnSmugglesNothing: content with what others may take for its end is refused in the end, and not passed on before.
func TestPassOnSmugglesNothing(t *testing.T) {
	evil := []string{"MAIL FROM:<boss@example.com>", "RCPT TO:<amy@example.com>", "DATA", "Subject: smuggled", "", "x", ".", ""}
	for name, end := range map[string]string{"bare CR": "x\r.\r" + strings.Join(evil, "\r"), "NUL": "x\r\n\x00.\r\n" + strings.Join(evil[:3], "\r\n")} {
		content := "Subject: x\r\n\r\n" + end + "\r\n" + strings.Repeat("a line\r\n", 200<<10) // more than is kept by the standard limits
		for by, send := range map[string]func(c *client){
			"DATA": func(c *client) {
				c.say("DATA", "354 ")
				c.send(content + ".\r\n")
			},
			"BDAT": func(c *client) { c.send("BDAT " + strconv.Itoa(len(content)) + " LAST\r\n" + content) },
		} {
			t.Run(name+" by "+by, func(t *testing.T) {
				l := &lax{}
				p := start(t, behind(t, backend.Settings{Addresses: []string{l.listen(t)}}), listenerPlain())
				c := p.client(t)
				c.say("EHLO client.example", "250")
				c.say("MAIL FROM:<a@client.example>", "250 ")
				c.say("RCPT TO:<amy@example.com>", "250 ")
				send(c)
				c.want("550 ")
				c.quit()
				p.stop()
				if n := l.envelopes.Load(); n != 1 {
					t.Errorf("the backend heard of %d envelopes", n)
				}
			})
		}
	}
}

// complete is a check that wants to read content with its last line, as a signature does.
type complete struct{ always }

func (complete) ReadsContent() {}
func (s complete) Run(ctx context.Context, v policy.View) policy.Finding {
	b, err := io.ReadAll(v.Content)
	if s.outcome = policy.Pass; err == nil && !bytes.HasSuffix(b, []byte("the last line\r\n")) {
		s.outcome = policy.Fail
	}
	return s.always.Run(ctx, v)
}

// TestBackendGoneBeforeMuch: a backend that dies before there is much content costs no check a part of it: the sender is deferred, not refused.
func TestBackendGoneBeforeMuch(t *testing.T) {
	sink := &mailsink.Server{Extensions: wayIn["DATA"]}
	sink.Next(mailsink.StageNoop, mailsink.Action{Close: true})
	s := withSink(t, sink)
	s.Limits.SpoolMemory = 256 << 10
	synctest.Test(t, func(t *testing.T) {
		s := fresh(s)
		s.Policy = &policy.Policy{Mode: policy.Enforce, Slots: []policy.Slot{{Check: complete{always{"dkim", policy.StageData, policy.Pass}},
			Mode: policy.Enforce, Actions: map[policy.Outcome]policy.Action{policy.Fail: policy.Reject}}}}
		c := newServer(s).pipe(t)
		c.want("220 ")
		c.envelope()
		c.send("Subject: x\r\n\r\n")
		time.Sleep(keptAlive)
		c.send(stuffed(bulk) + "the last line\r\n.\r\n")
		c.want("451 4.4.2 ")
		c.quit()
	})
}

// keptAlive is a little more than the time for which a backend is left without a sign.
const keptAlive = 61 * time.Second

// TestSlowBackendIsNotASlowSender: the time that a backend takes for a part of the content is not the sender's.
func TestSlowBackendIsNotASlowSender(t *testing.T) {
	const limit = 3 * time.Second // real, as the backend is: more than a starved machine needs for the content
	sink := &mailsink.Server{Extensions: wayIn["DATA"]}
	sink.Next(mailsink.StageData, mailsink.Action{Delay: limit + time.Second})
	p := newPassing(t, sink, func(s *proxy.Settings) { s.Limits.DataTimeout = limit })
	c := p.client(t)
	c.envelope()
	c.send(stuffed("Subject: x\r\n\r\n"+strings.Repeat(bulk, 4)) + ".\r\n")
	c.want("250 ")
	c.quit()
	p.stop()
}

// TestKeptBetweenPassedChunks: a sender that takes its time between chunks does not leave the backend without a sign for long.
func TestKeptBetweenPassedChunks(t *testing.T) {
	for way, ext := range wayIn {
		sink := &mailsink.Server{Extensions: ext}
		s := withSink(t, sink)
		s.Limits.SpoolMemory = 1
		synctest.Test(t, func(t *testing.T) {
			c := newServer(fresh(s)).pipe(t)
			c.want("220 ")
			c.say("EHLO client.example", "250")
			c.say("MAIL FROM:<a@client.example>", "250 ")
			c.say("RCPT TO:<amy@example.com>", "250 ")
			content := "Subject: x\r\n\r\n" + bulk
			c.send("BDAT " + strconv.Itoa(len(content)) + "\r\n" + content)
			c.want("250 ")
			for range 4 {
				time.Sleep(4 * keptAlive)
				c.send("BDAT 1\r\nx")
				c.want("250 ")
			}
			c.send("BDAT 0 LAST\r\n")
			c.want("250 ")
			c.quit()
		})
		signs := 0
		for _, line := range sink.Log() {
			if strings.Contains(line, "C: BDAT") || strings.Contains(line, "C: NOOP") {
				signs++
			}
		}
		if all := sink.Messages(); len(all) != 1 || !bytes.HasSuffix(all[0].Content, []byte(bulk+"xxxx")) && !bytes.HasSuffix(all[0].Content, []byte(bulk+"xxxx\r\n")) {
			t.Errorf("%s: %d messages, or another content", way, len(all))
		}
		if way == "BDAT" && signs < 4*4 {
			t.Errorf("the backend heard from us %d times", signs)
		}
	}
}

// TestAnyLargeContent brings messages of all sizes around those of the buffers, with dots from anywhere on, cut anywhere, by DATA and BDAT, to
// backends of each kind, through memory, files and straight on: what arrives is what was sent, below our headers.
func TestAnyLargeContent(t *testing.T) {
	cert := certificate(t)
	for _, to := range []string{"tcp", "tls", "unix"} {
		for way, ext := range wayIn {
			for name, pol := range map[string]*policy.Policy{"no checks": policyOf(""), "a tag": policyOf("odd:data:softfail:tag:enforce"), "a reader": readingPolicy()} {
				t.Run(to+", "+way+", "+name, func(t *testing.T) {
					t.Parallel()
					sink := &mailsink.Server{Extensions: ext}
					b := backend.Settings{}
					if to == "tls" {
						sink.TLS, b.TLS, b.TLSConfig = cert, backend.TLSOpportunistic, &tls.Config{InsecureSkipVerify: true}
					}
					s := behind(t, at(t, to, sink, b))
					s.Policy = pol
					anyLargeContent(t, s, sink, rand.New(rand.NewPCG(1, 2)))
				})
			}
		}
	}
}

// at has a sink listen on a TCP or unix socket, and adds its address to the settings.
func at(t *testing.T, to string, sink *mailsink.Server, b backend.Settings) backend.Settings {
	network, address, prefix := "tcp", "127.0.0.1:0", ""
	if to == "unix" {
		network, address, prefix = "unix", filepath.Join(t.TempDir(), "mx"), "unix:"
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	go sink.Serve(ln)
	t.Cleanup(func() { sink.Close() })
	b.Addresses = []string{prefix + ln.Addr().String()}
	return b
}

func anyLargeContent(t *testing.T, s *proxy.Settings, sink *mailsink.Server, r *rand.Rand) {
	s.Limits.SpoolMemory = []int64{1, 200 << 10, 400 << 10}[r.IntN(3)]
	p := start(t, s, listenerPlain())
	c := p.client(t)
	c.say("EHLO client.example", "250")
	var want []string
	for range 10 {
		forged, content := anyContent(r)
		want = append(want, content)
		c.say("MAIL FROM:<a@client.example>", "250 ")
		c.say("RCPT TO:<amy@example.com>", "250 ")
		if r.IntN(2) == 0 {
			c.say("DATA", "354 ")
			for wire := stuffed(forged+content) + ".\r\n"; wire != ""; {
				n := min(len(wire), 1+r.IntN(100<<10))
				c.send(wire[:n])
				wire = wire[n:]
			}
		} else {
			for rest := forged + content; rest != ""; {
				n := min(len(rest), 1+r.IntN(100<<10))
				c.send("BDAT " + strconv.Itoa(n) + "\r\n" + rest[:n])
				c.want("250 ")
				rest = rest[n:]
			}
			c.send("BDAT 0 LAST\r\n")
		}
		c.want("250 ")
	}
	c.quit()
	p.stop()
	p.atRest(t)
	all, records := sink.Messages(), p.all()
	if len(all) != len(want) || len(records) != len(want) {
		t.Fatalf("%d messages, %d records", len(all), len(records))
	}
	for i, content := range want {
		_, got, _ := strings.Cut(string(all[i].Content), "; none\r\n")
		if _, rest, tagged := strings.Cut(got, "X-Spam-Reason: odd; softfail (odd says softfail)\r\n"); tagged {
			got = rest
		}
		if got != content {
			t.Errorf("message %d: %d octets arrived as %d others", i, len(content), len(got))
		}
		if records[i].End != policy.EndDelivered || records[i].Size != int64(len(content)) {
			t.Errorf("record %d: %v, %d octets of %d", i, records[i].End, records[i].Size, len(content))
		}
	}
}

// anyContent is a message, and what a forger has put on top of it.
func anyContent(r *rand.Rand) (forged, content string) {
	var b strings.Builder
	b.WriteString("Subject: x\r\n")
	for range r.IntN(60) * r.IntN(2) {
		b.WriteString("X-Long: " + strings.Repeat("y", 500) + "\r\n")
	}
	b.WriteString("\r\n")
	size := r.IntN(500 << 10)
	if r.IntN(3) == 0 { // around the end of a buffer
		size = 16<<10 + r.IntN(4)*(64<<10) - r.IntN(1200)
	}
	for dots := r.IntN(2*size + 2); b.Len() < size; b.WriteString("\r\n") {
		switch {
		case b.Len() > dots && r.IntN(4) == 0:
			b.WriteString(strings.Repeat(".", 1+r.IntN(3)))
		case r.IntN(50) == 0:
			b.WriteString(strings.Repeat("w", r.IntN(80<<10)))
		}
		b.WriteString(strings.Repeat("x", r.IntN(60)))
	}
	if r.IntN(2) == 0 {
		forged = "X-Spam: No\r\nAuthentication-Results: mx.example.com; " + strings.Repeat("k", r.IntN(3000)) + "\r\n"
	}
	return forged, b.String()
}
