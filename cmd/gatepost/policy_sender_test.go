package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/dkim"
)

// caseSender plays the sessions of a case against the proxy, and writes down the replies that say what was decided.
type caseSender struct {
	conn net.Conn
	in   *bufio.Reader
	mail string   // the content as the case has it
	told []string // replies, each behind what it answers
	sent []string // the content of each transaction that got so far
}

// play plays one session to its end: when it returns, the records are written.
func (s *caseSender) play(address string, ss senderSession) error {
	time.Sleep(ss.wait) // what is waited for is the time itself
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute)) // what hangs is not to hang the tests
	s.conn, s.in = conn, bufio.NewReader(conn)
	if err := s.greet(ss); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = io.Copy(io.Discard, s.in)
	return err
}

// greet does what comes before the first mail, then the mails.
func (s *caseSender) greet(ss senderSession) error {
	opening := proxyHeader(netip.MustParseAddr(ss.client))
	if ss.early {
		opening += "NOOP\r\n"
	}
	if _, err := io.WriteString(s.conn, opening); err != nil {
		return err
	}
	if r, err := s.reply(); err != nil || r[0] != '2' {
		s.note("BANNER", r)
		return err
	}
	if ss.early {
		if _, err := s.reply(); err != nil {
			return err
		}
	}
	for i, t := range ss.transactions {
		if i == 0 || t.helo != ss.transactions[i-1].helo {
			if r, err := s.say("EHLO " + t.helo); err != nil || r[0] != '2' {
				s.note("EHLO", r)
				break
			}
		}
		if err := s.transaction(t); err != nil {
			return err
		}
	}
	_, err := s.say("QUIT")
	return err
}

// transaction brings one mail as far as it is let.
func (s *caseSender) transaction(t transactionOf) error {
	if r, err := s.say("MAIL FROM:" + t.from); err != nil || r[0] != '2' {
		s.note("MAIL "+t.from, r)
		return err
	}
	taken := false
	for _, to := range t.rcpts {
		r, err := s.say("RCPT TO:" + to)
		s.note("RCPT "+to, r)
		if err != nil {
			return err
		}
		taken = taken || r[0] == '2'
	}
	if !taken {
		_, err := s.say("RSET")
		return err
	}
	return s.content(t)
}

func (s *caseSender) content(t transactionOf) error {
	content, err := t.mail.dress(s.mail)
	if err != nil {
		return err
	}
	if r, err := s.say("DATA"); err != nil || r[0] != '3' {
		s.note("DATA", r)
		return err
	}
	s.sent = append(s.sent, content)
	stuffed := strings.ReplaceAll("\r\n"+content, "\r\n.", "\r\n..")[2:] // RFC 5321 section 4.5.2
	r, err := s.say(stuffed + ".")
	s.note("END", r)
	return err
}

// say sends a line, or several, and gives the one reply to them.
func (s *caseSender) say(text string) (string, error) {
	if _, err := io.WriteString(s.conn, text+"\r\n"); err != nil {
		return "", err
	}
	return s.reply()
}

// reply reads a reply (RFC 5321 section 4.2.1), never an empty one, and gives its last line.
func (s *caseSender) reply() (string, error) {
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return "", err
		}
		line = strings.TrimRight(line, "\r\n")
		if len(line) < 4 {
			return "", fmt.Errorf("a reply that is none: %q", line)
		}
		if line[3] == ' ' {
			return line, nil
		}
	}
}

// refAtEnd is the ref at the end of a reply.
var refAtEnd = regexp.MustCompile(` \[[0-9A-HJKMNP-TV-Z]{10}\]$`)

// timeLeft is a wait as a refusal tells it.
var timeLeft = regexp.MustCompile(`in \d+ (second|minute)s?`)

func (s *caseSender) note(what, reply string) {
	reply = timeLeft.ReplaceAllString(reply, "in ...")
	s.told = append(s.told, what+" "+refAtEnd.ReplaceAllString(reply, " [ref]"))
}

// signingKey is that of every signature: its public half stands in a zone for KEY.
func signingKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
}

// publicKey is the key for a record of a zone.
func publicKey() string {
	return base64.StdEncoding.EncodeToString(signingKey().Public().(ed25519.PublicKey))
}

// dress signs the content, and changes it then.
func (m dressing) dress(content string) (string, error) {
	for _, options := range m.signs {
		var signed bytes.Buffer
		if err := dkim.Sign(&signed, strings.NewReader(content), signOptions(options)); err != nil {
			return "", err
		}
		content = signed.String()
	}
	if m.tamper {
		content += "Added on the way.\r\n"
	}
	return content, nil
}

// signOptions reads the options of a signature, such as "d=shop.example s=mail i=@news.shop.example".
func signOptions(options string) *dkim.SignOptions {
	o := &dkim.SignOptions{Signer: signingKey(), Selector: "mail",
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed}
	for option := range strings.FieldsSeq(options) {
		switch tag, value, _ := strings.Cut(option, "="); tag {
		case "d":
			o.Domain = value
		case "s":
			o.Selector = value
		case "i":
			o.Identifier = value
		}
	}
	return o
}
