package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy"
	"gatepost/proxy/backend"
)

// TestConnectionLimit turns away who comes when the server is full, and lets in who comes later (hazard 76).
func TestConnectionLimit(t *testing.T) {
	tests := []struct {
		name   string
		limits proxy.Limits
		want   string
	}{
		{"in all", proxy.Limits{Connections: 1}, "421 4.3.2 "},
		{"of one client", proxy.Limits{PerClient: 1}, "421 4.7.0 "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := behind(t, backend.Settings{})
			s.Limits = test.limits
			p := start(t, s, listenerPlain())
			first := p.client(t)
			second := newClient(t, p.dial(t))
			second.want(test.want)
			second.closed()
			eventually(t, "the record", func() bool { return len(p.records) > 0 })
			first.quit()
			eventually(t, "room", func() bool { return p.server.Stats().Open == 0 })
			p.client(t).quit()
			p.stop()
			p.atRest(t)
			if st := p.server.Stats(); st.Refused != 1 || st.Total != 3 {
				t.Errorf("%+v, want 1 refused of 3", st)
			}
			if n := len(p.all()); n != 3 {
				t.Errorf("%d records of 3 sessions", n)
			}
		})
	}
}

// TestIdle ends sessions that wait for too long, and tells them so (hazard 75). Time is that of the bubble.
func TestIdle(t *testing.T) {
	tests := []struct {
		name string
		play func(c *client)
		want string
		at   time.Duration
	}{
		{"silent from the start", func(*client) {}, "421 4.4.2 ", 5 * time.Minute},
		{"a byte a second", func(c *client) { c.background("x", 400, time.Second) }, "421 4.4.2 ", 5 * time.Minute},
		{"never idle, and never done", func(c *client) {
			for range 14 {
				time.Sleep(4*time.Minute + time.Second)
				c.say("NOOP", "250 ")
			}
		}, "421 4.4.2 ", time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newServer(behind(t, backend.Settings{}))
				began := time.Now()
				c := p.pipe(t)
				c.want("220 ")
				test.play(c)
				c.want(test.want)
				if took := time.Since(began); took != test.at {
					t.Errorf("it took %v, want %v", took, test.at)
				}
				c.closed()
				synctest.Wait()
				p.atRest(t)
			})
		})
	}
}

// background sends text n times, with a wait behind each, while the test goes on; it ends with the connection.
func (c *client) background(text string, n int, wait time.Duration) {
	done := make(chan struct{})
	c.t.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		for range n {
			if _, err := c.conn.Write([]byte(text)); err != nil {
				return
			}
			time.Sleep(wait)
		}
	}()
}

// TestSlowContent ends a session whose content does not come on: nothing of what would follow runs as a command (hazards 24, 75).
func TestSlowContent(t *testing.T) {
	tests := []struct {
		name string
		send func(c *client)
		at   time.Duration
	}{
		{"silent in the middle", func(c *client) { c.send("Subject: x\r\n\r\nhalf") }, 3 * time.Minute},
		{"silent from the start", func(*client) {}, 3 * time.Minute},
		{"a byte a second: the average counts once a block's time is over", func(c *client) { c.background("x", 1000, time.Second) }, 3 * time.Minute},
		{"a block every two minutes, of enough octets: the whole has its time too", func(c *client) {
			c.background(strings.Repeat("a line of the body\r\n", 4000), 30, 2*time.Minute)
		}, 30 * time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sink := &mailsink.Server{Extensions: []string{"PIPELINING"}}
			s := withSink(t, sink) // outside of the bubble: its time is the real one
			s.Limits.HeaderSize = 1 << 30
			synctest.Test(t, func(t *testing.T) {
				p := newServer(fresh(s))
				c := p.pipe(t)
				c.want("220 ")
				c.envelope()
				began := time.Now()
				test.send(c)
				c.want("421 4.4.2 ")
				if took := time.Since(began); took != test.at {
					t.Errorf("it took %v, want %v", took, test.at)
				}
				c.closed()
				synctest.Wait()
				p.atRest(t)
				if r := p.record(); r.End != policy.EndLost || len(r.Faults) != 1 || r.Faults[0] != "too-slow" {
					t.Errorf("record %+v", r)
				}
			})
			if sink.Committed() != 0 {
				t.Error("a message was committed")
			}
		})
	}
}

// TestSlowChunks: the chunks of a content have its time together, and refused ones that of the session, also where the next command
// comes with a chunk and is never waited for (hazard 75).
func TestSlowChunks(t *testing.T) {
	const open = "MAIL FROM:<a@client.example>\r\nRCPT TO:<amy@example.com>\r\n"
	block := "\r\n" + strings.Repeat("x", 99_998)
	tests := []struct {
		name  string
		setup string // one packet; the command of the first chunk at its end
		chunk string // a chunk and the command of the next one
		every time.Duration
		want  string // the reply to a chunk that is in time
		last  string
		at    time.Duration
	}{
		{"a byte a chunk", open + "BDAT 1\r\n", "xBDAT 1\r\n", 100 * time.Second, "250 ", "421 4.4.2 ", 3 * time.Minute},
		{"enough octets, with no end", open + "BDAT 100000\r\n", block + "BDAT 100000\r\n", 170 * time.Second, "250 ", "421 4.4.2 ", 30 * time.Minute},
		{"a byte a chunk, and the next after a while", open, "BDAT 1\r\nx", 299 * time.Second, "250 ", "421 4.4.2 ", 299*time.Second + 30*time.Minute},
		{"refused, a byte a chunk", "BDAT 1\r\n", "xBDAT 1\r\n", 100 * time.Second, "503 ", "421 4.4.2 ", 3 * time.Minute},
		{"refused, enough octets", "BDAT 100000\r\n", block + "BDAT 100000\r\n", 170 * time.Second, "503 ", "421 4.4.2 ", time.Hour},
		{"a mail a chunk", open + "BDAT 100000 LAST\r\n", block + open + "BDAT 100000 LAST\r\n", 170 * time.Second, "250 ", "421 4.4.2 ", 22 * 170 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := withSink(t, &mailsink.Server{Extensions: []string{"PIPELINING", "CHUNKING"}})
			s.Limits.Errors = 1000
			synctest.Test(t, func(t *testing.T) {
				p := newServer(fresh(s))
				c := p.pipe(t)
				c.want("220 ")
				c.say("EHLO client.example", "250")
				began := time.Now()
				go func() {
					io.WriteString(c.conn, test.setup)
					for {
						time.Sleep(test.every)
						if _, err := io.WriteString(c.conn, test.chunk); err != nil {
							return
						}
					}
				}()
				got := c.reply()
				for strings.HasPrefix(got, test.want) && time.Since(began) < 3*time.Hour {
					got = c.reply()
				}
				if took := time.Since(began); !strings.HasPrefix(got, test.last) || took != test.at {
					t.Errorf("%q after %v, want %s after %v", got, took, test.last, test.at)
				}
				c.conn.Close()
				synctest.Wait()
				time.Sleep(test.every)
				p.atRest(t)
			})
		})
	}
}

// TestContentAtTheEnd: content that comes in well as the session should end is brought to its end first, in each way.
func TestContentAtTheEnd(t *testing.T) {
	for by, end := range map[string]string{"DATA": ".\r\n", "BDAT": "BDAT 0 LAST\r\n"} {
		t.Run(by, func(t *testing.T) {
			sink := &mailsink.Server{Extensions: []string{"PIPELINING", "CHUNKING"}}
			s := withSink(t, sink)
			synctest.Test(t, func(t *testing.T) {
				p := newServer(fresh(s))
				c := p.pipe(t)
				c.want("220 ")
				for range 14 {
					time.Sleep(4 * time.Minute)
					c.say("NOOP", "250 ")
				}
				c.say("EHLO client.example", "250")
				c.say("MAIL FROM:<a@client.example>", "250 ")
				c.say("RCPT TO:<amy@example.com>", "250 ")
				part := c.send
				if by == "BDAT" {
					part = func(text string) {
						c.send(fmt.Sprintf("BDAT %d\r\n%s", len(text), text))
						c.want("250 ")
					}
				} else {
					c.say("DATA", "354 ")
				}
				part("Subject: x\r\n\r\n")
				for range 5 {
					time.Sleep(2 * time.Minute)
					part(strings.Repeat("a line of the body\r\n", 5000))
				}
				c.send(end)
				c.want("250 ", "421 4.4.2 ")
				c.closed()
				synctest.Wait()
				p.atRest(t)
			})
			if n := sink.Committed(); n != 1 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// fresh is the settings with a policy made here: what a bubble waits for must be of the bubble.
func fresh(s *proxy.Settings) *proxy.Settings {
	c := *s
	c.Policy = policyOf("")
	return &c
}

// TestNeverReads ends a session whose sender takes no replies, a minute after the first of them (hazard 75).
func TestNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newServer(behind(t, backend.Settings{}))
		c := p.pipe(t)
		began := time.Now()
		for p.server.Stats().Open > 0 || time.Since(began) == 0 {
			time.Sleep(time.Second)
			if time.Since(began) > 90*time.Second {
				t.Fatal("it is still open")
			}
		}
		c.conn.Close()
		p.atRest(t)
	})
}

// TestFinalInTime: the sender hears before it gives up, however long the checks took before the backend had the content (RFC 5321
// section 4.5.3.2.6).
func TestFinalInTime(t *testing.T) {
	sink := &mailsink.Server{Extensions: []string{"PIPELINING"}}
	sink.Next(mailsink.StageEnd, mailsink.Action{Delay: patience})
	s := withSink(t, sink) // outside of the bubble: of its time, little is left
	synctest.Test(t, func(t *testing.T) {
		s := fresh(s)
		s.Policy = &policy.Policy{Mode: policy.Enforce, Budget: time.Hour, Slots: []policy.Slot{{Mode: policy.Enforce,
			Check: slow{whole{always{"slow", policy.StageData, policy.Pass}}, 590*time.Second - 100*time.Millisecond}}}}
		c := newServer(s).pipe(t)
		c.want("220 ")
		c.envelope()
		c.say("Subject: x\r\n\r\n.", "451 4.4.2 ")
		c.quit()
	})
}

// slow is a check that takes its time, once the content is whole.
type slow struct {
	whole
	time time.Duration
}

func (s slow) Run(ctx context.Context, v policy.View) policy.Finding {
	time.Sleep(s.time)
	return s.always.Run(ctx, v)
}

// halfCloser is a pipe of which one way can be closed, as of a socket.
type halfCloser struct{ net.Conn }

func (halfCloser) CloseWrite() error { return nil }

// TestHungUpOn: of what a sender still sends that was hung up on, little is read.
func TestHungUpOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := behind(t, backend.Settings{})
		s.Limits.Errors = 1
		ours, theirs := net.Pipe()
		go newServer(s).server.ServeConn(halfCloser{theirs}, listenerPlain())
		c := newClient(t, ours)
		c.want("220 ")
		c.say("FROB", "500 ")
		c.want("421 ")
		n, err := io.WriteString(ours, strings.Repeat("x", 1<<20))
		if err == nil || n < 64<<10 || n > 512<<10 {
			t.Errorf("%d octets were read (%v)", n, err)
		}
		ours.Close()
	})
}

// TestEndlessLine holds a command line without an end to its limit (hazard 8).
func TestEndlessLine(t *testing.T) {
	p := newServer(behind(t, backend.Settings{}))
	c := p.pipe(t)
	c.want("220 ")
	go c.conn.Write([]byte(strings.Repeat("x", 1<<20)))
	c.want("500 5.5.2 ")
	c.closed()
}

// TestLongHelo: a name of 10 kB is refused, and the session with it (hazard 21).
func TestLongHelo(t *testing.T) {
	p := newServer(behind(t, backend.Settings{}))
	c := p.pipe(t)
	c.want("220 ")
	c.say("EHLO "+strings.Repeat("a.", 150), "501 5.5.2 ")
	go c.conn.Write([]byte("EHLO " + strings.Repeat("a", 10_000) + "\r\n"))
	c.want("500 5.5.2 ")
	c.closed()
}

// TestSlowBackendIsKept: a backend whose recipients wait for slow content hears from us now and then (RFC 5321 section 4.5.3.2.7).
func TestSlowBackendIsKept(t *testing.T) {
	sink := &mailsink.Server{Extensions: []string{"PIPELINING"}}
	s := withSink(t, sink)
	synctest.Test(t, func(t *testing.T) {
		p := newServer(fresh(s))
		c := p.pipe(t)
		c.want("220 ")
		c.envelope()
		c.send("Subject: x\r\n\r\n")
		for range 5 {
			c.send(strings.Repeat("a line of the body\r\n", 2000))
			time.Sleep(61 * time.Second)
		}
		c.say("\r\n.", "250 ")
		c.quit()
		synctest.Wait()
	})
	if n := strings.Count(strings.Join(sink.Log(), "\n"), "C: NOOP"); n < 4 {
		t.Errorf("the backend heard from us %d times while it waited", n)
	}
}

// TestKeptBetweenChunks: it does so too where the content comes by BDAT, also while no chunk comes.
func TestKeptBetweenChunks(t *testing.T) {
	for _, test := range []struct {
		chunks int
		every  time.Duration
	}{{10, 100 * time.Second}, {4, 295 * time.Second}, {20, 50 * time.Second}} {
		t.Run(test.every.String(), func(t *testing.T) {
			sink := &mailsink.Server{Extensions: []string{"PIPELINING", "CHUNKING"}}
			s := withSink(t, sink)
			synctest.Test(t, func(t *testing.T) {
				p := newServer(fresh(s))
				c := p.pipe(t)
				c.want("220 ")
				c.say("EHLO client.example", "250")
				c.say("MAIL FROM:<a@client.example>", "250 ")
				c.say("RCPT TO:<amy@example.com>", "250 ")
				for range test.chunks {
					c.send("BDAT 1\r\nx")
					c.want("250 ")
					time.Sleep(test.every)
				}
				c.send("BDAT 0 LAST\r\n")
				c.want("250 ")
				c.quit()
				synctest.Wait()
			})
			want := int(time.Duration(test.chunks) * test.every / time.Minute)
			if n := strings.Count(strings.Join(sink.Log(), "\n"), "C: NOOP"); n < want-1 || n > want {
				t.Errorf("the backend heard from us %d times while it waited, want one a minute: %d", n, want)
			}
		})
	}
}

// TestNoAddress: clients without an address, as on a socket in the file system, are not all one client that never leaves.
func TestNoAddress(t *testing.T) {
	s := behind(t, backend.Settings{})
	s.Limits.PerClient = 2
	p := newServer(s)
	for range 5 {
		c := p.pipe(t)
		c.want("220 ")
		c.quit()
	}
}

// TestShutdownBetweenChunks: content that comes by BDAT is under way between two chunks too (hazard 83).
func TestShutdownBetweenChunks(t *testing.T) {
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
	p := start(t, withSink(t, sink), listenerPlain())
	c := p.client(t)
	c.say("EHLO client.example", "250")
	c.say("MAIL FROM:<a@client.example>", "250 ")
	c.say("RCPT TO:<amy@example.com>", "250 ")
	c.send("BDAT 6\r\nA: b\r\n")
	c.want("250 ")
	go p.stop()
	<-p.done // shutdown is under way
	c.say("BDAT 2 LAST\r\n", "250 ")
	c.want("421 4.3.2 ")
	c.closed()
	eventually(t, "the end", func() bool { return p.server.Stats().Open == 0 })
	p.atRest(t)
	if n := sink.Committed(); n != 1 {
		t.Errorf("%d messages committed, want 1", n)
	}
}
