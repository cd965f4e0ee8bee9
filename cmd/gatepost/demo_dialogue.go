package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// step is what a sender does at once, and how many replies it then waits for.
type step struct {
	text    string // as it is written
	replies int
	first   bool    // written before the banner is there
	content bool    // makes sense behind a 354 only
	tls     bool    // a TLS handshake follows
	signed  *signed // the content that text is then made of; nil where it is there already
}

// say sends command lines in one write and waits for a reply to each.
func say(lines ...string) step {
	return step{text: strings.Join(lines, "\r\n") + "\r\n", replies: len(lines)}
}

// early is say by a sender that does not wait for the banner.
func early(lines ...string) step {
	s := say(lines...)
	s.replies, s.first = 0, true
	return s
}

// content sends text as it stands, and the end mark behind it.
func content(text string) step { return step{text: text + ".\r\n", replies: 1, content: true} }

// chunk sends text by BDAT (RFC 3030).
func chunk(text string, last bool) step {
	word := ""
	if last {
		word = " LAST"
	}
	return step{text: fmt.Sprintf("BDAT %d%s\r\n%s", len(text), word, text), replies: 1}
}

// startTLS goes over to TLS (RFC 3207).
func startTLS() step {
	s := say("STARTTLS")
	s.tls = true
	return s
}

// sampleTime bounds one sample. Nothing in it waits for as long.
const sampleTime = 20 * time.Second

// player is the sender of one sample. It writes down the dialogue.
type player struct {
	conn  net.Conn
	in    *bufio.Reader
	roots *x509.CertPool
	code  string // of the last reply
	lines []string
}

// dialogue plays steps against the proxy at address, as if from client, until the proxy has closed the connection: all
// records are written then. A connection that is closed early is a part of the dialogue; an error is one of the demo.
func dialogue(ctx context.Context, address string, client netip.Addr, roots *x509.CertPool, steps []step) ([]string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(sampleTime)); err != nil {
		return nil, err
	}
	p := &player{conn: conn, in: bufio.NewReader(conn), roots: roots}
	err = p.play(client, steps)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !errors.Is(err, io.EOF) {
		return p.lines, err
	}
	if p.code != "221" {
		p.lines = append(p.lines, "(the connection is closed)")
	}
	return p.lines, nil
}

func (p *player) play(client netip.Addr, steps []step) error {
	greeting := proxyHeader(client)
	if len(steps) > 0 && steps[0].first {
		greeting += steps[0].text
		p.sent(steps[0].text)
		steps = steps[1:]
	}
	if _, err := io.WriteString(p.conn, greeting); err != nil {
		return err
	}
	if err := p.hear(1); err != nil {
		return err
	}
	if p.code != "220" {
		steps = nil
	} else {
		steps = append(steps, say("QUIT"))
	}
	for _, s := range steps {
		if err := p.do(s); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, p.in); err != nil {
		return err
	}
	return io.EOF // the proxy closes last
}

// proxyHeader tells the proxy of the client, in version 1 of the PROXY protocol.
func proxyHeader(client netip.Addr) string {
	if client.Is4() {
		return fmt.Sprintf("PROXY TCP4 %s 192.0.2.25 40000 25\r\n", client)
	}
	return fmt.Sprintf("PROXY TCP6 %s 2001:db8::25 40000 25\r\n", client)
}

func (p *player) do(s step) error {
	if s.content && p.code != "354" {
		return fmt.Errorf("the content was not asked for, but answered %s", p.code)
	}
	p.sent(s.text)
	if _, err := io.WriteString(p.conn, s.text); err != nil {
		return err
	}
	if err := p.hear(s.replies); err != nil || !s.tls {
		return err
	}
	return p.handshake()
}

func (p *player) handshake() error {
	c := tls.Client(p.conn, &tls.Config{ServerName: demoHost, RootCAs: p.roots, MinVersion: tls.VersionTLS12})
	if err := c.Handshake(); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	p.conn, p.in = c, bufio.NewReader(c)
	p.lines = append(p.lines, "("+tls.VersionName(c.ConnectionState().Version)+" from here on)")
	return nil
}

// sent writes down what the sender says, a line for each CR LF; a CR or LF alone shows as \r or \n.
func (p *player) sent(text string) {
	p.note("C: ", strings.Split(strings.TrimSuffix(text, "\r\n"), "\r\n"), p.code == "354")
}

// hear reads n replies and writes them down, also those before an error.
func (p *player) hear(n int) error {
	var heard []string
	defer func() { p.note("S: ", heard, false) }()
	for range n {
		first, more, err := p.reply()
		if err != nil {
			return err
		}
		if more > 0 {
			first += fmt.Sprintf(" (and %d lines)", more)
		}
		heard = append(heard, first)
	}
	return nil
}

// reply reads a reply: its first line, and how many more it has (RFC 5321 section 4.2.1).
func (p *player) reply() (first string, more int, err error) {
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			return "", 0, err
		}
		line = strings.TrimRight(line, "\r\n")
		if first == "" {
			first = line
		} else {
			more++
		}
		if len(line) < 4 || line[3] != '-' {
			p.code = line[:min(3, len(line))]
			return first, more, nil
		}
	}
}

// note writes lines down, cleaned; of many only the first and the last, fewer where they are not content.
func (p *player) note(who string, lines []string, content bool) {
	const tail = 2
	head := 3
	if content {
		head = 10
	}
	for i, l := range lines {
		switch n := len(lines); {
		case n <= head+tail+2, i < head, i >= n-tail:
			p.lines = append(p.lines, who+printable(l))
		case i == head:
			p.lines = append(p.lines, fmt.Sprintf("   ... %d more ...", n-head-tail))
		}
	}
}
