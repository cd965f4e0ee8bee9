//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// client speaks SMTP as a test tells it, right or wrong.
type client struct {
	net.Conn
	in *textproto.Reader

	promised bool // 354 was said: the server wants the content, and is to take it
}

// connect dials from an address of this machine ("" is any) and reads the banner.
func connect(t *testing.T, addr, from string) *client {
	t.Helper()
	c, err := dial(addr, from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// dial is connect for where a failure is no surprise.
func dial(addr, from string) (*client, error) {
	d := net.Dialer{Timeout: patience}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	c := newClient(conn)
	if code, text, err := c.reply(); err != nil || code != 220 {
		conn.Close()
		return nil, fmt.Errorf("banner: %d %s %w", code, text, err)
	}
	return c, nil
}

func newClient(conn net.Conn) *client {
	return &client{Conn: conn, in: textproto.NewReader(newBuffered(conn))}
}

func (c *client) close() { c.Conn.Close() }

// reply reads one; the text is without codes, its lines apart by LF.
func (c *client) reply() (int, string, error) {
	code, text, err := c.in.ReadResponse(0)
	if _, refused := err.(*textproto.Error); refused {
		err = nil
	}
	return code, text, err
}

// say sends lines and reads the reply to the last.
func (c *client) say(line string) (int, string, error) {
	if _, err := c.Write([]byte(line + "\r\n")); err != nil {
		return 0, "", err
	}
	return c.reply()
}

// must is say where the code is known; it gives the text.
func (c *client) must(t *testing.T, line string, code int) string {
	t.Helper()
	got, text, err := c.say(line)
	if err != nil || got != code {
		t.Fatalf("%q: %d %s (%v), want %d", line, got, text, err, code)
	}
	return text
}

// mustWrite sends octets as they are.
func (c *client) mustWrite(t *testing.T, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

// send brings a message, its envelope pipelined. The code is that of the end of data, or of what refused it before; an
// error means that the connection was lost.
func (c *client) send(m mail) (int, string, error) {
	lines := []string{"MAIL FROM:<" + m.from + ">" + m.params}
	for _, to := range m.to {
		lines = append(lines, "RCPT TO:<"+to+">")
	}
	if _, err := c.Write([]byte(strings.Join(lines, "\r\n") + "\r\n")); err != nil {
		return 0, "", err
	}
	var refused int
	var why string
	for range lines {
		code, text, err := c.reply()
		if err != nil || code == 421 { // RFC 5321 section 3.8: nothing follows
			return code, text, err
		}
		if code/100 != 2 && refused == 0 {
			refused, why = code, text
		}
	}
	if refused != 0 {
		return refused, why, nil
	}
	if m.chunk > 0 {
		return c.chunks(m)
	}
	return c.data(m)
}

// data sends the content with DATA. It must end in CR LF.
func (c *client) data(m mail) (code int, text string, err error) {
	if code, text, err = c.say("DATA"); err != nil || code != 354 {
		return code, text, err
	}
	c.promised = true
	defer func() { c.promised = c.promised && err != nil }()
	// RFC 5321 section 4.5.2: a dot at the start of a line is doubled.
	body := bytes.ReplaceAll(append([]byte("\r\n"), m.content...), []byte("\r\n."), []byte("\r\n.."))[2:]
	if _, err = c.Write(body); err != nil {
		return 0, "", err
	}
	return c.say(".")
}

// chunks sends the content with BDAT (RFC 3030), octet for octet.
func (c *client) chunks(m mail) (int, string, error) {
	for rest := m.content; ; {
		n := min(len(rest), m.chunk)
		last := ""
		if n == len(rest) {
			last = " LAST"
		}
		head := fmt.Sprintf("BDAT %d%s\r\n", n, last)
		if _, err := c.Write(append([]byte(head), rest[:n]...)); err != nil {
			return 0, "", err
		}
		rest = rest[n:]
		if code, text, err := c.reply(); err != nil || code/100 != 2 || last != "" {
			return code, text, err
		}
	}
}
