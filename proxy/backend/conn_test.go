package backend

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/proxy/smtp"
)

// The openings that most dialogues need.
const (
	plain     = greet + "S: 250 mx.test\n"
	pipelined = greet + "S: 250-mx.test\nS: 250 PIPELINING\n"
	chunking  = greet + "S: 250-mx.test\nS: 250-PIPELINING\nS: 250 CHUNKING\n"
)

const (
	mailLine  = "MAIL FROM:<anna@shop.test>\r\n"
	amyLine   = "RCPT TO:<amy@mx.test>\r\n"
	benLine   = "RCPT TO:<ben@mx.test>\r\n"
	mailAmy   = "C: MAIL FROM:<anna@shop.test>\nS: 250 ok\nC: RCPT TO:<amy@mx.test>\nS: 250 ok\n"
	quickMail = "C: MAIL FROM:<anna@shop.test>\nC: RCPT TO:<amy@mx.test>\nC: RCPT TO:<ben@mx.test>\n"
)

// dialogue runs do on a connection to a server that plays the script, and gives what the client wrote after the opening.
func dialogue(t *testing.T, script string, do func(t *testing.T, c *Conn)) (wrote []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, script)
		c := mustOpen(t, f.backend(Settings{}))
		f.wrote()
		do(t, c)
		c.Abort()
		wrote = f.wrote()
	})
	return wrote
}

func TestPipelinedGroupIsOneWrite(t *testing.T) {
	script := pipelined + quickMail + "S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no ben\nEOF"
	wrote := dialogue(t, script, func(t *testing.T, c *Conn) {
		envelope(c)
		if got := replies(t, c, 3); !reflect.DeepEqual(got, []int{250, 250, 550}) {
			t.Errorf("replies %v", got)
		}
	})
	if want := []string{mailLine + amyLine + benLine}; !reflect.DeepEqual(wrote, want) {
		t.Errorf("wrote %q, want %q", wrote, want)
	}
}

func TestOneCommandAWriteWithoutPipelining(t *testing.T) {
	script := plain + mailAmy + "C: RCPT TO:<ben@mx.test>\nS: 550 5.1.1 no ben\nEOF"
	wrote := dialogue(t, script, func(t *testing.T, c *Conn) {
		envelope(c)
		if got := replies(t, c, 3); !reflect.DeepEqual(got, []int{250, 250, 550}) {
			t.Errorf("replies %v", got)
		}
	})
	if want := []string{mailLine, amyLine, benLine}; !reflect.DeepEqual(wrote, want) {
		t.Errorf("wrote %q, want %q", wrote, want)
	}
}

func TestRepliesInOnePieceAndInMany(t *testing.T) {
	stream := "250 ok\r\n250-a\r\n250 b\r\n550 no\r\n"
	for cut := range len(stream) {
		script := pipelined + quickMail + "S= " + quote(stream[:cut]) + "\nS= " + quote(stream[cut:]) + "\nEOF"
		dialogue(t, script, func(t *testing.T, c *Conn) {
			envelope(c)
			if got := replies(t, c, 3); !reflect.DeepEqual(got, []int{250, 250, 550}) {
				t.Errorf("cut at %d: replies %v", cut, got)
			}
		})
	}
}

func TestLongGroupIsCutAtWholeCommands(t *testing.T) {
	const n = 1000
	script := pipelined + "C: MAIL FROM:<anna@shop.test>\nS: 250 ok\n" + strings.Repeat("C: RCPT TO:<amy@mx.test>\nS: 250 ok\n", n) + "EOF"
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, script)
		c := mustOpen(t, f.backend(Settings{}))
		f.wrote()
		c.Mail(anna, smtp.MailParams{Size: -1}, 0)
		for range n {
			c.Rcpt(amy, smtp.RcptParams{})
		}
		replies(t, c, n+1)
		c.Abort()
		wrote := f.wrote()
		for _, w := range wrote {
			if len(w) > maxGroup || !strings.HasSuffix(w, "\r\n") {
				t.Errorf("a write of %d octets that ends in %q", len(w), w[len(w)-5:])
			}
		}
		if len(wrote) != 2 {
			t.Errorf("%d writes, want 2", len(wrote))
		}
	})
}

func TestReset(t *testing.T) {
	cases := []struct {
		name   string
		script string
		do     func(t *testing.T, c *Conn)
		want   []string
	}{
		{"RSET goes out with the next MAIL, its reply is not seen",
			pipelined + mailAmy + "C: RSET\nC: MAIL FROM:<anna@shop.test>\nS: 250 reset\nS: 251 second\nEOF",
			func(t *testing.T, c *Conn) {
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				c.Rcpt(amy, smtp.RcptParams{})
				replies(t, c, 2)
				c.Reset()
				c.Reset()
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				if got := replies(t, c, 1); got[0] != 251 {
					t.Errorf("reply %v, want the one to MAIL", got)
				}
			}, []string{mailLine + amyLine, "RSET\r\n" + mailLine}},
		{"without PIPELINING too",
			plain + "C: MAIL FROM:<anna@shop.test>\nS: 250 ok\nC: RSET\nS: 250 reset\nC: MAIL FROM:<anna@shop.test>\nS: 251 second\nEOF",
			func(t *testing.T, c *Conn) {
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				replies(t, c, 1)
				c.Reset()
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				if got := replies(t, c, 1); got[0] != 251 {
					t.Errorf("reply %v, want the one to MAIL", got)
				}
			}, []string{mailLine, "RSET\r\n", mailLine}},
		{"replies not asked for are skipped",
			pipelined + quickMail + "S: 250 ok\nS: 250 ok\nS: 550 no\nC: RSET\nC: MAIL FROM:<anna@shop.test>\nS: 250 reset\nS: 251 second\nEOF",
			func(t *testing.T, c *Conn) {
				envelope(c)
				replies(t, c, 1)
				c.Reset()
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				if got := replies(t, c, 1); got[0] != 251 {
					t.Errorf("reply %v, want the one to MAIL", got)
				}
			}, []string{mailLine + amyLine + benLine, "RSET\r\n" + mailLine}},
		{"what was not written is dropped, and needs no RSET",
			pipelined + "C: MAIL FROM:<anna@shop.test>\nS: 251 second\nEOF",
			func(t *testing.T, c *Conn) {
				envelope(c)
				c.Reset()
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				replies(t, c, 1)
			}, []string{mailLine}},
		{"an RSET that was not written outlives a second transaction that was not",
			pipelined + "C: MAIL FROM:<anna@shop.test>\nS: 250 ok\nC: RSET\nC: MAIL FROM:<anna@shop.test>\nS: 250 reset\nS: 251 third\nEOF",
			func(t *testing.T, c *Conn) {
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				replies(t, c, 1)
				c.Reset()
				envelope(c)
				c.Reset()
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				if got := replies(t, c, 1); got[0] != 251 {
					t.Errorf("reply %v, want the one to MAIL", got)
				}
			}, []string{mailLine, "RSET\r\n" + mailLine}},
		{"MAIL ends what is open by itself",
			pipelined + "C: MAIL FROM:<anna@shop.test>\nS: 250 ok\nC: RSET\nC: MAIL FROM:<anna@shop.test>\nS: 250 reset\nS: 251 second\nEOF",
			func(t *testing.T, c *Conn) {
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				replies(t, c, 1)
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				replies(t, c, 1)
			}, []string{mailLine, "RSET\r\n" + mailLine}},
		{"a refused MAIL opened nothing",
			pipelined + "C: MAIL FROM:<anna@shop.test>\nS: 550 no\nC: MAIL FROM:<anna@shop.test>\nS: 250 ok\nEOF",
			func(t *testing.T, c *Conn) {
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				replies(t, c, 1)
				c.Reset()
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				replies(t, c, 1)
			}, []string{mailLine, mailLine}},
		{"a refused RSET is a fault",
			pipelined + "C: MAIL FROM:<anna@shop.test>\nS: 250 ok\nC: RSET\nC: MAIL FROM:<anna@shop.test>\nS: 500 what\nS: 250 ok\nEOF",
			func(t *testing.T, c *Conn) {
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				replies(t, c, 1)
				c.Reset()
				c.Mail(anna, smtp.MailParams{Size: -1}, 0)
				if got := outcome(c.Reply()); got != "rset 451 4.3.0" {
					t.Errorf("got %s", got)
				}
			}, []string{mailLine, "RSET\r\n" + mailLine}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if wrote := dialogue(t, tc.script, tc.do); !reflect.DeepEqual(wrote, tc.want) {
				t.Errorf("wrote %q, want %q", wrote, tc.want)
			}
		})
	}
}

func TestReply421ClosesBehindIt(t *testing.T) {
	dialogue(t, pipelined+quickMail+"S: 250 ok\nS: 421 4.3.2 going down\nEOF", func(t *testing.T, c *Conn) {
		envelope(c)
		if got := replies(t, c, 2); got[1] != 421 {
			t.Errorf("replies %v, want the 421 as it came", got)
		}
		for _, got := range []string{outcome(c.Reply()), outcome(c.Send(text("x"))), outcome(smtp.Reply{}, c.KeepAlive())} {
			if got != "rcpt 451 4.4.2" {
				t.Errorf("then %s", got)
			}
		}
		if !c.Stale() {
			t.Error("not stale")
		}
	})
}

func TestReplyWithoutCommand(t *testing.T) {
	dialogue(t, plain+"EOF", func(t *testing.T, c *Conn) {
		if _, err := c.Reply(); !errors.Is(err, errNotWaiting) {
			t.Error(err)
		}
	})
}

func TestSendWithRepliesLeft(t *testing.T) {
	dialogue(t, plain+"EOF", func(t *testing.T, c *Conn) {
		envelope(c)
		if _, err := c.Send(text("x")); !errors.Is(err, errNotRead) {
			t.Error(err)
		}
	})
}

func TestSpokenOutOfTurn(t *testing.T) {
	dialogue(t, plain+"C: NOOP\nS= \"250 ok\\r\\n250 and more\\r\\n\"\nEOF", func(t *testing.T, c *Conn) {
		if err := c.KeepAlive(); err != nil {
			t.Fatal(err)
		}
		if !c.Stale() {
			t.Error("not stale")
		}
		envelope(c)
		if got := outcome(c.Reply()); got != "mail 451 4.3.0" {
			t.Errorf("the answer to nothing was taken for one to MAIL: %s", got)
		}
	})
}

func TestKeepAlive(t *testing.T) {
	for step, want := range map[string]string{
		"S: 250 ok": "", "S: 500 what": "", "S: 421 idle": "noop 451 4.4.2", "HANG": "noop 451 4.4.2", "S: 354 go": "noop 451 4.3.0",
	} {
		dialogue(t, plain+"C: NOOP\n"+step+"\nEOF", func(t *testing.T, c *Conn) {
			start := time.Now()
			err := c.KeepAlive()
			if err == nil && want == "" {
				return
			}
			if got := outcome(smtp.Reply{}, err); got != want {
				t.Errorf("%s: %s (%v), want %s", step, got, err, want)
			}
			if step == "HANG" && time.Since(start) != 10*time.Second {
				t.Errorf("waited %v", time.Since(start))
			}
		})
	}
}

func TestQuitWaitsASecondAtMost(t *testing.T) {
	wrote := dialogue(t, plain+"C: MAIL FROM:<anna@shop.test>\nS: 250 ok\nC: QUIT\nHANG", func(t *testing.T, c *Conn) {
		c.Mail(anna, smtp.MailParams{Size: -1}, 0)
		replies(t, c, 1)
		c.Reset()
		start := time.Now()
		c.Quit()
		if d := time.Since(start); d != time.Second {
			t.Errorf("waited %v", d)
		}
		c.Quit()
		if got := outcome(c.Reply()); got != "mail 451 4.4.2" {
			t.Errorf("then %s", got)
		}
	})
	if want := []string{mailLine, "QUIT\r\n"}; !reflect.DeepEqual(wrote, want) {
		t.Errorf("wrote %q, want %q", wrote, want)
	}
}

func TestAbortWritesNothing(t *testing.T) {
	wrote := dialogue(t, plain+"EOF", func(_ *testing.T, c *Conn) {
		envelope(c)
		c.Abort()
		c.Quit()
	})
	if wrote != nil {
		t.Errorf("wrote %q", wrote)
	}
}
