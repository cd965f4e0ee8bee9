//go:build interop || soak

package soak

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"time"
)

// client speaks SMTP.
type client struct {
	net.Conn
	in *textproto.Reader
}

// dial connects from one of this machine's addresses; it does not wait for the banner.
func dial(addr, from string) (*client, error) {
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{}
	c.use(conn)
	return c, nil
}

func (c *client) use(conn net.Conn) {
	c.Conn, c.in = conn, textproto.NewReader(bufio.NewReaderSize(conn, 4096))
}

// greet is dial with the banner and EHLO.
func greet(addr, from string) (*client, error) {
	c, err := dial(addr, from)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(patience))
	if err = c.expect(220); err == nil {
		err = c.must("EHLO mail.good.test", 250)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// secure starts TLS and greets again.
func (c *client) secure() error {
	if err := c.must("STARTTLS", 220); err != nil {
		return err
	}
	t := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true}) // whose certificate it is, is not what is tested
	if err := t.Handshake(); err != nil {
		return err
	}
	c.use(t)
	return c.must("EHLO mail.good.test", 250)
}

// reply reads one. An error means that the connection is lost.
func (c *client) reply() (code int, text string, err error) {
	code, text, err = c.in.ReadResponse(0)
	if _, refused := err.(*textproto.Error); refused {
		err = nil
	}
	return code, text, err
}

// say sends a line and reads the reply.
func (c *client) say(line string) (code int, text string, err error) { return c.ask(line + "\r\n") }

// ask sends octets as they are and reads the reply.
func (c *client) ask(octets string) (code int, text string, err error) {
	if _, err = c.Write([]byte(octets)); err != nil {
		return 0, "", err
	}
	return c.reply()
}

// must is say where the code is known.
func (c *client) must(line string, code int) error {
	if _, err := c.Write([]byte(line + "\r\n")); err != nil {
		return err
	}
	return c.expect(code)
}

func (c *client) expect(code int) error {
	got, text, err := c.reply()
	if err == nil && got != code {
		err = &unexpected{got, text}
	}
	return err
}

// unexpected is a reply with another code than was hoped for.
type unexpected struct {
	code int
	text string
}

func (u *unexpected) Error() string { return fmt.Sprintf("%d %s", u.code, u.text) }

// envelope sends MAIL and RCPT in one write; it gives the first reply that is no 250, else the last.
func (c *client) envelope(from, to string) (code int, text string, err error) {
	if _, err = fmt.Fprintf(c, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\n", from, to); err != nil {
		return 0, "", err
	}
	code, text, err = c.reply()
	if err != nil || code == 421 {
		return code, text, err
	}
	code2, text2, err := c.reply()
	if code == 250 {
		code, text = code2, text2
	}
	return code, text, err
}

// send brings a mail, by DATA or where asked by BDAT, and gives the reply that decides about it.
func (c *client) send(from, to, content string, bdat bool) (code int, text string, err error) {
	if code, text, err = c.envelope(from, to); err != nil || code/100 != 2 {
		return code, text, err
	}
	if bdat {
		half := len(content) / 2
		if code, text, err = c.ask(fmt.Sprintf("BDAT %d\r\n%s", half, content[:half])); err != nil || code != 250 {
			return code, text, err
		}
		return c.ask(fmt.Sprintf("BDAT %d LAST\r\n%s", len(content)-half, content[half:]))
	}
	if code, text, err = c.say("DATA"); err != nil || code != 354 {
		return code, text, err
	}
	// RFC 5321 section 4.5.2: a dot at the start of a line is doubled.
	if _, err = c.Write([]byte(strings.ReplaceAll("\r\n"+content, "\r\n.", "\r\n..")[2:])); err != nil {
		return 0, "", err
	}
	return c.say(".")
}

// letter is the content of a mail, whose body is lines of 70 octets, size octets in all.
func letter(id, from string, size int) string {
	head := "From: <" + from + ">\r\nTo: <amy@" + domain + ">\r\nSubject: " + id + "\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <" + from + ">\r\n\r\n"
	line := ".a line with a dot" + strings.Repeat("x", 50) + "\r\n"
	return head + strings.Repeat(line, max(1, size/len(line)))
}
