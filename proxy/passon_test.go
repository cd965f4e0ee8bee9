package proxy_test

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy"
)

// wayIn is how the backend is given content.
var wayIn = map[string][]string{"BDAT": {"PIPELINING", "CHUNKING"}, "DATA": {"PIPELINING"}}

// passing is a proxy that passes large content on to a sink as it comes: it keeps little, and has no place for files.
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
	s.Limits.SpoolMemory, s.Limits.SpoolDir = 1, filepath.Join(t.TempDir(), "missing")
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
			c.send(stuffed("X-Spam: No\r\nSubject: x\r\n\r\n" + bulk))
			eventually(t, "content at the backend", func() bool { return p.heard.Load() > int64(len(bulk)/2) })
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
			if at < 0 || got[at:] != "Subject: x\r\n\r\n"+bulk+"\r\n.the last line\r\n" {
				t.Errorf("%d octets arrived as %d others", len(bulk), len(got))
			}
			if top := got[:max(at, 0)]; !strings.HasPrefix(top, "Received: ") || !strings.Contains(top, "X-Spam: Yes\r\n") || strings.Contains(top, "X-Spam: No") {
				t.Errorf("on top: %q", top)
			}
			first := p.all()[0]
			if want := int64(len("Subject: x\r\n\r\n" + bulk + "\r\n.the last line\r\n")); first.Size != want || first.Subject != "" || first.Recipients[0].Verdict != policy.Tagged {
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
			if e.Session == 1 && e.Stage == mailsink.StageBody && e.Octets > 100<<10 {
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
		{"too large", ".\r\n", "552 5.3.4 ", nil, func(s *proxy.Settings) { s.Limits.MessageSize = 200 << 10 }},
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
				p := newPassing(t, &mailsink.Server{Extensions: ext, Fault: test.fault}, test.set)
				c := p.client(t)
				c.envelope()
				c.send("Subject: x\r\n\r\n" + stuffed(bulk))
				eventually(t, "content at the backend", func() bool { return p.heard.Load() > 0 })
				if test.fault != nil {
					eventually(t, "the end of the backend's session", func() bool { return p.sink.Open() == 0 })
				}
				if test.end == "" {
					c.conn.Close()
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
				for _, r := range p.all() {
					ends[r.End]++
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

// TestPassOnWaits: while the verdict may still change nothing is passed on. Then the content needs a file, for which there is no place here.
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
				s.Policy = &policy.Policy{Mode: policy.Enforce, Slots: []policy.Slot{{Check: test.check, Mode: test.mode,
					Actions: map[policy.Outcome]policy.Action{policy.Fail: test.act}}}}
			})
			c := p.client(t)
			c.envelope()
			c.send("Subject: x\r\n\r\n" + stuffed(bulk) + ".\r\n")
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
