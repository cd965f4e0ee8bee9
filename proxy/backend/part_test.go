package backend

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatepost/proxy/smtp"
)

// part sends a part, and says how that went.
func part(c *Conn, pieces ...string) string {
	r, ok, err := c.Part(text(pieces...))
	if ok {
		return "ok"
	}
	return outcome(r, err)
}

// TestParts brings content in parts: as chunks, or behind one DATA with the dots stuffed wherever the parts are cut.
func TestParts(t *testing.T) {
	chunk := func(line, content, reply string) string {
		return "C= " + quote(line+"\r\n"+content) + "\nS: " + reply + "\n"
	}
	data := pipelined + quickAmy + "C: DATA\nS: 354 go\n"
	cases := []struct {
		name, script string
		parts        []string
		want         []string // of each part, then of the end
		writes       []string // behind the envelope
	}{
		{"chunks", chunking + quickAmy + chunk("BDAT 6", "H: v\r\n", "250 ok") + chunk("BDAT 7", "\r\n.a\r\n.", "250 ok") + chunk("BDAT 2 LAST", "\r\n", "250 queued") + bye,
			[]string{"H: v\r\n", "\r\n.a\r\n.", "\r\n"}, []string{"ok", "ok", "250 queued"},
			[]string{"BDAT 6\r\nH: v\r\n", "BDAT 7\r\n\r\n.a\r\n.", "BDAT 2 LAST\r\n\r\n"}},
		{"chunks, nothing left for the last", chunking + quickAmy + chunk("BDAT 6", "H: v\r\n", "250 ok") + chunk("BDAT 0 LAST", "", "250 queued") + bye,
			[]string{"H: v\r\n", ""}, []string{"ok", "250 queued"}, nil},
		{"chunks, one of nothing", chunking + quickAmy + chunk("BDAT 6", "H: v\r\n", "250 ok") + "C: NOOP\nS: 250 ok\n" + chunk("BDAT 1 LAST", "x", "250 queued") + bye,
			[]string{"H: v\r\n", "", "x"}, []string{"ok", "ok", "250 queued"}, nil},
		{"a chunk is refused", chunking + quickAmy + chunk("BDAT 6", "H: v\r\n", "552 5.3.4 large") + "EOF",
			[]string{"H: v\r\n", "x"}, []string{"ok", "552 5.3.4 large"}, nil},
		{"a chunk is refused in between", chunking + quickAmy + chunk("BDAT 6", "H: v\r\n", "452 4.3.1 full") + "EOF",
			[]string{"H: v\r\n", "x", "y"}, []string{"ok", "452 4.3.1 full", ""}, nil},
		{"nonsense to a chunk", chunking + quickAmy + chunk("BDAT 6", "H: v\r\n", "354 go") + "EOF",
			[]string{"H: v\r\n", "x"}, []string{"ok", "body 451 4.3.0"}, nil},
		{"421 to a chunk", chunking + quickAmy + chunk("BDAT 6", "H: v\r\n", "421 4.3.2 down") + "EOF",
			[]string{"H: v\r\n", "x"}, []string{"ok", "421 4.3.2 down"}, nil},
		{"DATA, cut between a line and its dot, and in mid-line", data + "C= " + quote("H: v\r\n\r\n..a\r\nb") + "\nC= " + quote(".\r\n") + "\nC= " + quote("...\r\n.\r\n") + "\nS: 250 queued\n" + bye,
			[]string{"H: v\r\n\r\n", ".a\r\nb", ".\r\n", "..\r\n"}, []string{"ok", "ok", "ok", "250 queued"},
			[]string{"DATA\r\n", "H: v\r\n\r\n", "..a\r\nb", ".\r\n", "...\r\n.\r\n"}},
		{"DATA, the last line gets its end", data + "C= " + quote("a\r\n.\r\n") + "\nS: 250 queued\n" + bye,
			[]string{"a", ""}, []string{"ok", "250 queued"}, []string{"DATA\r\n", "a", "\r\n.\r\n"}},
		{"DATA is refused", pipelined + quickAmy + "C: DATA\nS: 452 4.3.1 full\nEOF",
			[]string{"a", ""}, []string{"452 4.3.1 full", ""}, nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			wrote := dialogue(t, tc.script, func(t *testing.T, c *Conn) {
				oneRcpt(t, c)
				last := len(tc.parts) - 1
				for i, p := range tc.parts {
					if tc.want[i] == "" {
						break
					}
					got := ""
					if i < last {
						got = part(c, p)
					} else {
						got = outcome(c.Send(text(p)))
					}
					if got != tc.want[i] {
						t.Errorf("part %d: got %s, want %s", i, got, tc.want[i])
					}
				}
				if strings.HasSuffix(tc.script, bye) {
					c.Quit()
				} else {
					c.Abort()
				}
			})
			if wrote = wrote[1:]; tc.writes != nil && !reflect.DeepEqual(wrote[:len(tc.writes)], tc.writes) {
				t.Errorf("wrote %q, want %q", wrote, tc.writes)
			}
		})
	}
}

// TestInsideData: once a part was written behind DATA nothing but content may follow. Whatever else is asked for closes the connection, without an end mark.
func TestInsideData(t *testing.T) {
	for name, use := range map[string]func(c *Conn){
		"Release":   func(c *Conn) { c.Release() },
		"Reset":     func(c *Conn) { c.Reset() },
		"Quit":      func(c *Conn) { c.Quit() },
		"KeepAlive": func(c *Conn) { _ = c.KeepAlive() },
		"Mail": func(c *Conn) {
			c.Mail(anna, smtp.MailParams{Size: -1}, 0)
			_, _ = c.Reply()
		},
	} {
		t.Run(name, func(t *testing.T) {
			wrote := dialogue(t, pipelined+quickAmy+"C: DATA\nS: 354 go\nC= "+quote("a\r\n")+"\nEOF", func(t *testing.T, c *Conn) {
				oneRcpt(t, c)
				if got := part(c, "a\r\n"); got != "ok" {
					t.Fatal(got)
				}
				if use(c); !c.Stale() {
					t.Error("the connection is still in use")
				}
			})
			if all := strings.Join(wrote, ""); !strings.HasSuffix(all, "DATA\r\na\r\n") {
				t.Errorf("wrote %q", all)
			}
		})
	}
}

// TestLargeParts sends parts of large pieces over a real socket, where these are not copied: what the server reads is the content.
func TestLargeParts(t *testing.T) {
	for _, dots := range []bool{false, true} {
		first, last := lines(3*blockSize+77, dots), lines(2*blockSize, dots)
		chunks := []string{fmt.Sprintf("BDAT %d\r\n%s", len(first), first), fmt.Sprintf("BDAT %d LAST\r\n%s", len(last), last)}
		stuffed := strings.ReplaceAll("\r\n"+first+last, "\r\n.", "\r\n..")[2:] + ".\r\n"
		for caps, wire := range map[string][]string{"CHUNKING": chunks, "PIPELINING": {stuffed}} {
			t.Run(fmt.Sprint(caps, dots), func(t *testing.T) { sendLargeParts(t, caps, wire, first, last, !dots) })
		}
	}
}

func sendLargeParts(t *testing.T, caps string, wire []string, first, last string, plain bool) {
	var lengths []int
	for _, w := range wire {
		lengths = append(lengths, len(w))
	}
	got := make(chan [32]byte, 1)
	b := New(Settings{Name: "main", Hostname: "gate.test", Addresses: []string{serveOnce(t, caps, got, lengths...)}})
	defer b.Close()
	c := mustOpen(t, b)
	defer c.Abort()
	c.Mail(anna, smtp.MailParams{Size: -1}, 0)
	c.Rcpt(amy, smtp.RcptParams{})
	replies(t, c, 2)
	cut := func(s string) *message {
		return &message{pieces: []string{s[:100], s[100 : 100+blockSize], s[100+blockSize:]}, plain: plain}
	}
	if _, ok, err := c.Part(cut(first)); !ok {
		t.Fatal(err)
	}
	if r, err := c.Send(cut(last)); err != nil || r.Class() != 2 {
		t.Fatal(r, err)
	}
	if want := sha256.Sum256([]byte(strings.Join(wire, ""))); <-got != want {
		t.Error("the server read another content")
	}
}

// TestReplyBetweenParts: what a server says between parts of DATA is no answer to the end, which it has not seen.
func TestReplyBetweenParts(t *testing.T) {
	for say, want := range map[string]string{"250 queued": "body 451 4.3.0", "552 5.3.4 large": "552 5.3.4 large", "421 4.3.2 down": "421 4.3.2 down"} {
		said := make(chan bool)
		b, _ := listenWith(t, "250 PIPELINING", "tcp", "127.0.0.1:0", func(c net.Conn, in *bufio.Reader) {
			for _, reply := range []string{"", "250 ok\r\n250 ok\r\n", "354 go\r\n", say + "\r\n"} { // to MAIL, RCPT, DATA, and a line of content
				_, _ = in.ReadString('\n')
				_, _ = io.WriteString(c, reply)
			}
			close(said)
			_, _ = io.Copy(io.Discard, in)
		})
		c := mustOpen(t, b)
		oneRcpt(t, c)
		if got := part(c, "a\r\n"); got != "ok" {
			t.Fatal(got)
		}
		<-said
		if got := outcome(c.Send(text("b\r\n"))); got != want {
			t.Errorf("%s: got %s, want %s", say, got, want)
		}
		if !c.Stale() {
			t.Errorf("%s: the connection is still in use", say)
		}
		b.Close()
	}
}

// TestFinalByBehindParts: it bounds the wait for the reply to the part before, too.
func TestFinalByBehindParts(t *testing.T) {
	dialogue(t, chunking+quickAmy+"C= "+quote("BDAT 6\r\nH: v\r\n")+"\nHANG", func(t *testing.T, c *Conn) {
		oneRcpt(t, c)
		if got := part(c, "H: v\r\n"); got != "ok" {
			t.Fatal(got)
		}
		began := time.Now()
		c.FinalBy(began.Add(20 * time.Second))
		if got := outcome(c.Send(text("x"))); got != "body 451 4.4.2" || time.Since(began) > 20*time.Second {
			t.Errorf("%s after %v", got, time.Since(began))
		}
	})
}
