package backend

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/proxy/smtp"
)

func quote(s string) string { return strconv.Quote(s) }

// oneRcpt is an envelope that every server here takes.
func oneRcpt(t *testing.T, c *Conn) {
	t.Helper()
	c.Mail(anna, smtp.MailParams{Size: -1}, 0)
	c.Rcpt(amy, smtp.RcptParams{})
	replies(t, c, 2)
}

const quickAmy = "C: MAIL FROM:<anna@shop.test>\nC: RCPT TO:<amy@mx.test>\nS: 250 ok\nS: 250 ok\n"

func TestSend(t *testing.T) {
	cases := []struct {
		name    string
		content *message
		script  string
		want    []string // the writes behind the envelope
	}{
		{"BDAT: command and content in one write, dots as they are", text("H: v\r\n", "\r\n", ".a\r\n.\r\nb"),
			chunking + quickAmy + "C= " + quote("BDAT 16 LAST\r\nH: v\r\n\r\n.a\r\n.\r\nb") + "\nS: 250 queued\n" + bye,
			[]string{"BDAT 16 LAST\r\nH: v\r\n\r\n.a\r\n.\r\nb"}},
		{"BDAT of nothing", text(), chunking + quickAmy + "C: BDAT 0 LAST\nS: 250 queued\n" + bye, []string{"BDAT 0 LAST\r\n"}},
		{"DATA: content and end mark in one write, dots stuffed", text("H: v\r\n", "\r\n", ".a\r\n", ".", "\r\n..b\r\n"),
			pipelined + quickAmy + "C: DATA\nS: 354 go\nC= " + quote("H: v\r\n\r\n..a\r\n..\r\n...b\r\n.\r\n") + "\nS: 250 queued\n" + bye,
			[]string{"DATA\r\n", "H: v\r\n\r\n..a\r\n..\r\n...b\r\n.\r\n"}},
		{"DATA: a last line without its end gets one", text("a"),
			pipelined + quickAmy + "C: DATA\nS: 354 go\nC= " + quote("a\r\n.\r\n") + "\nS: 250 queued\n" + bye,
			[]string{"DATA\r\n", "a\r\n.\r\n"}},
		{"a final reply, then a reset", text("a"),
			chunking + quickAmy + "C= " + quote("BDAT 1 LAST\r\na") + "\nS: 250 queued", []string{"BDAT 1 LAST\r\na"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			wrote := dialogue(t, tc.script, func(t *testing.T, c *Conn) {
				oneRcpt(t, c)
				if got := outcome(c.Send(tc.content)); got != "250 queued" {
					t.Errorf("got %s", got)
				}
				if strings.HasSuffix(tc.script, bye) {
					c.Quit()
				}
			})
			wrote = wrote[1:]
			if n := len(tc.want); len(wrote) < n || !reflect.DeepEqual(wrote[:n], tc.want) {
				t.Errorf("wrote %q, want %q", wrote, tc.want)
			}
		})
	}
}

func TestSendLargeIsWrittenInBlocks(t *testing.T) {
	const n = 300_000
	pieces := []string{strings.Repeat("a", 1000), strings.Repeat("b", n-1000)}
	for _, caps := range []string{"CHUNKING", "8BITMIME"} {
		synctest.Test(t, func(t *testing.T) {
			take := fmt.Sprintf("C: BDAT %d LAST\nC~ %d\n", n, n)
			if caps != "CHUNKING" {
				take = "C: DATA\nS: 354 go\nC.\n"
			}
			f := newFarm(t, greet+"S: 250-mx.test\nS: 250 "+caps+"\n"+mailAmy+take+"S: 250 queued\nEOF")
			c := mustOpen(t, f.backend(Settings{}))
			oneRcpt(t, c)
			f.wrote()
			if got := outcome(c.Send(text(pieces...))); got != "250 queued" {
				t.Fatal(got)
			}
			c.Abort()
			wrote := f.wrote()
			for _, w := range wrote[:len(wrote)-1] {
				if len(w) < blockSize && w != "DATA\r\n" {
					t.Errorf("%s: a write of %d octets", caps, len(w))
				}
			}
		})
	}
}

func TestSecondTransaction(t *testing.T) {
	cases := []struct{ name, first, between string }{
		{"behind a 250", "250 queued", ""},
		{"behind a 550: whatever is left of the transaction is ended", "550 5.7.1 no", "C: RSET\n"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reset := ""
			if tc.between != "" {
				reset = "S: 250 reset\n"
			}
			script := chunking + quickAmy + "C= " + quote("BDAT 1 LAST\r\na") + "\nS: " + tc.first + "\n" + tc.between +
				"C: MAIL FROM:<anna@shop.test>\nC: RCPT TO:<amy@mx.test>\n" + reset + "S: 250 ok\nS: 250 ok\n" +
				"C= " + quote("BDAT 1 LAST\r\nb") + "\nS: 250 second\n" + bye
			dialogue(t, script, func(t *testing.T, c *Conn) {
				oneRcpt(t, c)
				if got := outcome(c.Send(text("a"))); got != tc.first {
					t.Fatal(got)
				}
				oneRcpt(t, c)
				if got := outcome(c.Send(text("b"))); got != "250 second" {
					t.Fatal(got)
				}
				c.Quit()
			})
		})
	}
}

// TestBinaryNeedsChunking keeps content that may hold a lone dot between any octets from a server that would look for it.
func TestBinaryNeedsChunking(t *testing.T) {
	const content = "a\r.\r\nMAIL FROM:<x>\r\n"
	bdat := "C= " + quote("BDAT 20 LAST\r\n"+content) + "\nS: 250 queued\nEOF"
	cases := []struct {
		name, script string
		bodies       []smtp.Body // of the transactions; the last one has the content
		want         string
	}{
		{"no CHUNKING", pipelined + quickAmy + "EOF", []smtp.Body{smtp.BodyBinaryMIME}, "data 451 4.3.0"},
		{"CHUNKING", chunking + quickAmy + bdat, []smtp.Body{smtp.BodyBinaryMIME}, "250 queued"},
		{"text behind binary", pipelined + quickAmy + "C: RSET\nS: 250 ok\n" + quickAmy + "C: DATA\nS: 354 go\nC.\nS: 250 queued\nEOF",
			[]smtp.Body{smtp.BodyBinaryMIME, smtp.Body8BitMIME}, "250 queued"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			wrote := dialogue(t, tc.script, func(t *testing.T, c *Conn) {
				for _, body := range tc.bodies {
					c.Mail(anna, smtp.MailParams{Size: -1, Body: body}, 0)
					c.Rcpt(amy, smtp.RcptParams{})
					replies(t, c, 2)
				}
				if got := outcome(c.Send(text(content))); got != tc.want {
					t.Errorf("got %s, want %s", got, tc.want)
				}
			})
			if tc.want[0] != '2' && len(wrote) != 1 {
				t.Errorf("wrote %q behind the envelope", wrote[1:])
			}
		})
	}
}

// TestBrokenContent says that content that does not come whole is never ended: the server sees the connection close first.
func TestBrokenContent(t *testing.T) {
	errSpool := errors.New("spool is gone")
	long := strings.Repeat("a", 3*blockSize)
	cases := []struct {
		name    string
		content *message
		cause   error
	}{
		{"an error at once", &message{err: errSpool, size: 100}, errSpool},
		{"an error in the middle", &message{pieces: []string{"a"}, err: errSpool, size: 100}, errSpool},
		{"an error behind all of it", &message{pieces: []string{long}, err: errSpool}, errSpool},
		{"too short", &message{pieces: []string{"abc"}, size: 4}, errTooShort},
		{"too long", &message{pieces: []string{"abc"}, size: 2}, errTooLong},
		{"much too long", &message{pieces: []string{long, long}, size: int64(len(long))}, errTooLong},
	}
	for _, tc := range cases {
		for _, caps := range []string{chunking, pipelined} {
			synctest.Test(t, func(t *testing.T) {
				ask := ""
				if caps == pipelined {
					ask = "C: DATA\nS: 354 go\n"
				}
				f := newFarm(t, caps+quickAmy+ask+"HANG")
				c := mustOpen(t, f.backend(Settings{}))
				oneRcpt(t, c)
				f.wrote()
				r, err := c.Send(tc.content)
				if got := outcome(r, err); got != "body 451 4.3.0" || !errors.Is(err, tc.cause) {
					t.Errorf("%s: %s (%v)", tc.name, got, err)
				}
				sent := strings.Join(f.wrote(), "")
				if _, body, _ := strings.Cut(sent, "\r\n"); strings.HasSuffix(sent, ".\r\n") || int64(len(body)) >= tc.content.Size() {
					t.Errorf("%s: sent as if whole: %d octets", tc.name, len(body))
				}
			})
		}
	}
}

// bomb is content that panics in the middle.
type bomb struct{}

func (bomb) Size() int64          { return 10 }
func (bomb) Dotted() bool         { return true }
func (bomb) Pieces(to Sink) error { _ = to.Write([]byte("abc")); panic("bomb") }

func TestContentThatPanics(t *testing.T) {
	wrote := dialogue(t, pipelined+quickAmy+"C: DATA\nS: 354 go\nEOF", func(t *testing.T, c *Conn) {
		oneRcpt(t, c)
		func() {
			defer func() { _ = recover() }()
			_, _ = c.Send(bomb{})
		}()
		c.Quit()
		if got := outcome(c.Reply()); got != "mail 451 4.4.2" {
			t.Errorf("then %s", got)
		}
	})
	if last := wrote[len(wrote)-1]; last != "DATA\r\n" {
		t.Errorf("wrote %q behind half a message", last)
	}
}

// TestEarlyReply is about a server that stops reading and answers while content is still being written.
func TestEarlyReply(t *testing.T) {
	cases := []struct{ say, want string }{
		{"S: 552 5.3.4 too large", "552 5.3.4 too large"},
		{"S: 421 4.3.0 disk full", "421 4.3.0 disk full"},
		{"S: 250 ok", "body 451 4.3.0"},
		{"S: 354 go", "body 451 4.3.0"},
		{"S: nonsense", "body 451 4.4.2"},
		{"WAIT 1s", "body 451 4.4.2"},
		{"WAIT 500s", "body 451 4.4.2"},
	}
	for _, tc := range cases {
		synctest.Test(t, func(t *testing.T) {
			f := newFarm(t, chunking+quickAmy+"C: BDAT 1000000 LAST\n"+tc.say)
			c := mustOpen(t, f.backend(Settings{}))
			oneRcpt(t, c)
			if got := outcome(c.Send(text(strings.Repeat("a", 1_000_000)))); got != tc.want {
				t.Errorf("%s: %s, want %s", tc.say, got, tc.want)
			}
			if !c.Stale() {
				t.Errorf("%s: the connection stayed open behind half a message", tc.say)
			}
		})
	}
}

func TestFinalBy(t *testing.T) {
	script := chunking + quickAmy + "C= " + quote("BDAT 1 LAST\r\na") + "\nWAIT 300s\nS: 250 queued\n"
	cases := []struct {
		name string
		by   time.Duration
		want string
		took time.Duration
	}{
		{"in time", 301 * time.Second, "250 queued", 300 * time.Second},
		{"too late for the sender", 299 * time.Second, "final 451 4.4.2 unknown", 299 * time.Second},
		{"later than our own wait", time.Hour, "250 queued", 300 * time.Second},
	}
	for _, tc := range cases {
		dialogue(t, script, func(t *testing.T, c *Conn) {
			oneRcpt(t, c)
			start := time.Now()
			c.FinalBy(start.Add(tc.by))
			if got := outcome(c.Send(text("a"))); got != tc.want || time.Since(start) != tc.took {
				t.Errorf("%s: %s after %v, want %s after %v", tc.name, got, time.Since(start), tc.want, tc.took)
			}
		})
	}
}

func TestFinalByIsForOneSend(t *testing.T) {
	again := "C: MAIL FROM:<anna@shop.test>\nC: RCPT TO:<amy@mx.test>\nS: 250 ok\nS: 250 ok\n"
	chunk := "C= " + quote("BDAT 1 LAST\r\na") + "\nWAIT 30s\nS: 250 queued\n"
	dialogue(t, chunking+again+chunk+again+chunk+"EOF", func(t *testing.T, c *Conn) {
		c.FinalBy(time.Now().Add(31 * time.Second))
		for range 2 {
			oneRcpt(t, c)
			if got := outcome(c.Send(text("a"))); got != "250 queued" {
				t.Fatal(got)
			}
		}
	})
}

// TestUnknownIsToldOnce keeps later uses of the connection from being recorded as possible deliveries too.
func TestUnknownIsToldOnce(t *testing.T) {
	dialogue(t, chunking+quickAmy+"C= "+quote("BDAT 1 LAST\r\na"), func(t *testing.T, c *Conn) {
		oneRcpt(t, c)
		for _, want := range []string{"final 451 4.4.2 unknown", "final 451 4.4.2"} {
			if got := outcome(c.Send(text("a"))); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
}
