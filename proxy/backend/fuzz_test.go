package backend

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// tape is a connection to a server that says what it has to say whatever it hears.
type tape struct {
	net.Conn // nil: the methods below are all that is used
	says     *bytes.Reader
	heard    bytes.Buffer
}

func (c *tape) Read(p []byte) (int, error)       { return c.says.Read(p) }
func (c *tape) Write(p []byte) (int, error)      { return c.heard.Write(p) }
func (c *tape) Close() error                     { return nil }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// FuzzServer gives a server's bytes to a delivery. Whatever they are: a message counts as taken only if it went out whole,
// and a fault is 451.
func FuzzServer(f *testing.F) {
	for _, seed := range []string{
		"220 a\r\n250 a\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n221 bye\r\n",
		"220 a\r\n250-a\r\n250-PIPELINING\r\n250 CHUNKING\r\n250 ok\r\n250 ok\r\n250 queued\r\n",
		"220 a\r\n250-a\r\n250-STARTTLS\r\n250 SIZE 1\r\n220 go\r\n250 ok\r\n",
		"220-a\r\n220 b\r\n500 what\r\n250 a\r\n421 bye\r\n", "25", "250-", "999 x\r\n", "220 \x00\r\n",
	} {
		f.Add([]byte(seed), uint8(TLSNone))
		f.Add([]byte(seed), uint8(TLSOpportunistic))
	}
	const content = "Subject: hi\r\n\r\n.dot\r\n"
	f.Fuzz(func(t *testing.T, says []byte, mode uint8) {
		var last *tape
		b := New(Settings{Addresses: []string{"mx.test:25"}, Hostname: "gate.test", TLS: TLSMode(mode % 3)})
		b.dial = func(context.Context, string, string) (net.Conn, error) {
			last = &tape{says: bytes.NewReader(says)}
			return last, nil
		}
		got := deliver(t, b, text(content))
		if len(got) < 3 || strings.HasPrefix(got, "not") {
			t.Fatalf("outcome %q", got)
		}
		heard := last.heard.String()
		whole := strings.Contains(heard, "BDAT 21 LAST\r\n"+content) || strings.Contains(heard, "DATA\r\nSubject: hi\r\n\r\n..dot\r\n.\r\n")
		if got[0] == '2' && !whole {
			t.Fatalf("%q, but the server heard %q", got, heard)
		}
		if strings.HasSuffix(got, "unknown") && !whole {
			t.Fatalf("%q, but the server heard %q", got, heard)
		}
	})
}

// FuzzBlocks cuts content anywhere: what goes out is the content, stuffed once, in blocks.
func FuzzBlocks(f *testing.F) {
	f.Add("Subject: hi\n\n.dot\n..\n", uint16(3), uint16(1))
	f.Add(".", uint16(1), uint16(5000))
	f.Add("a\n.\nb", uint16(7), uint16(20000))
	f.Fuzz(func(t *testing.T, part string, cut, times uint16) {
		part = strings.ReplaceAll(part, "\n", "\r\n") // content has no bare LF
		whole := strings.Repeat(part, 1+int(times)%1000)
		if len(whole) > 1<<20 {
			return
		}
		var pieces []string
		for rest := whole; rest != ""; {
			n := min(len(rest), 1+int(cut))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		sent := stuffedThrough(t, pieces)
		back, err := unstuff(sent)
		if err != nil {
			t.Fatal(err)
		}
		if back != whole && back != whole+"\r\n" {
			t.Fatalf("sent %q for %q", sent, whole)
		}
	})
}

// stuffedThrough sends pieces as DATA and gives the octets on the wire.
func stuffedThrough(t *testing.T, pieces []string) string {
	t.Helper()
	wire := &tape{}
	c := &Conn{backend: New(Settings{}), link: newLink("mx.test:25", wire)}
	m := text(pieces...)
	b := c.newBody(m.Size())
	b.data, b.stuffed = true, true
	if err := b.send(m); err != nil {
		t.Fatal(err)
	}
	c.release(b)
	return wire.heard.String()
}

// unstuff is what a server makes of a data stream that is nothing but one message.
func unstuff(s string) (string, error) {
	s, ok := strings.CutSuffix("\r\n"+s, "\r\n.\r\n")
	if !ok || strings.Contains(s, "\r\n.\r\n") {
		return "", errors.New("not one end mark at the end")
	}
	s = strings.ReplaceAll(s+"\r\n", "\r\n..", "\r\n.")
	return strings.TrimPrefix(s, "\r\n"), nil
}
