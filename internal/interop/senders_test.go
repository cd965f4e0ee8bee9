//go:build interop

package interop

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

// sender is a program that brings a message.
type sender struct {
	program string
	args    func(p *proxy, m mail, file string) []string
}

// swaks with options of its own. It mends nothing: dots and line ends are sent as SMTP wants them.
func swaks(options ...string) sender {
	return sender{"swaks", func(p *proxy, m mail, file string) []string {
		addr := p.addr
		if strings.Contains(strings.Join(options, " "), "--tls-on-connect") {
			addr = p.tlsAddr
		}
		return append([]string{"--server", "127.0.0.1", "--port", portOf(addr), "--helo", "client.test",
			"--from", m.from, "--to", strings.Join(m.to, ","), "--data", "@" + file}, options...)
	}}
}

// curl with options of its own, and the scheme smtp or smtps.
func curl(scheme string, options ...string) sender {
	return sender{"curl", func(p *proxy, m mail, file string) []string {
		addr := p.addr
		if scheme == "smtps" {
			addr = p.tlsAddr
		}
		args := append([]string{"--silent", "--show-error", "--url", scheme + "://" + addr + "/client.test",
			"--mail-from", m.from, "--upload-file", file}, options...)
		for _, to := range m.to {
			args = append(args, "--mail-rcpt", to)
		}
		return args
	}}
}

// smtplib is Python's, with the parameters of MAIL.
func smtplib(params string) sender {
	const script = `
import smtplib, sys
port, sender, file, params, *to = sys.argv[1:]
with smtplib.SMTP("127.0.0.1", int(port), "client.test", timeout=60) as s:
    refused = s.sendmail(sender, to, open(file, "rb").read(), mail_options=params.split())
    assert not refused, refused
`
	return sender{python, func(p *proxy, m mail, file string) []string {
		return append([]string{"-c", script, portOf(p.addr), m.from, file, params}, m.to...)
	}}
}

// deliver sends the message and notes that it is to arrive.
func (by sender) deliver(t *testing.T, p *proxy, s *server, m mail) {
	t.Helper()
	need(t, by.program)
	run(t, nil, by.program, by.args(p, m, m.file(t))...)
	s.expectMail(m)
}

// expectMail notes that a message is to arrive at each of its recipients.
func (s *server) expectMail(m mail) {
	for _, to := range m.to {
		s.expect(m.id, 1, users()[to])
	}
}

// basics sends in all the ways that real senders have. All must arrive, once.
func basics(t *testing.T, p *proxy, s *server) {
	amy := "amy@" + domain
	for _, c := range []struct {
		name string
		by   sender
		mail mail
	}{
		{"swaks", swaks(), newMail(amy)},
		{"swaks pipelines", swaks("--pipeline"), newMail(amy, "u01@"+domain)},
		{"swaks, STARTTLS", swaks("--tls"), newMail(amy)},
		{"swaks, TLS from the start", swaks("--tls-on-connect"), newMail(amy)},
		{"swaks to fifty recipients", swaks("--pipeline"), newMail(many()...)},
		{"swaks, HELO", swaks("--protocol", "SMTP"), newMail(amy)},
		{"curl", curl("smtp"), newMail(amy)},
		{"curl, STARTTLS", curl("smtp", "--ssl-reqd", "--insecure"), newMail(amy)},
		{"curl, TLS from the start", curl("smtps", "--insecure"), newMail(amy)},
		{"curl, 20 MB", curl("smtp"), large(newMail(amy))},
		{"smtplib", smtplib(""), newMail(amy)},
		{"smtplib, null sender", smtplib(""), from("", newMail(amy))},
		{"smtplib, 8BITMIME", smtplib("BODY=8BITMIME"), newMail(amy).withBody("Gr\xfc\xdfe aus J\xfclich\r\n")},
		{"smtplib, SMTPUTF8 recipient", smtplib("SMTPUTF8"), newMail("jörg@" + domain)},
		{"smtplib, SMTPUTF8 sender", smtplib("SMTPUTF8 BODY=8BITMIME"), from("用户@elsewhere.test", newMail(amy))},
	} {
		t.Run(c.name, func(t *testing.T) { c.by.deliver(t, p, s, c.mail) })
	}
	t.Run("BDAT", func(t *testing.T) { chunked(t, p, s) })
	t.Run("smtp-source", func(t *testing.T) { flood(t, p, s) })
	t.Run("smtp-source, a session for many mails", func(t *testing.T) { flood(t, p, s, "-d") })
	t.Run("unknown user", func(t *testing.T) { unknownUser(t, p, s) })
	t.Run("each came once", func(t *testing.T) { s.settled(t) })
}

func from(sender string, m mail) mail {
	m.from = sender
	return m
}

// large makes it 20 MB.
func large(m mail) mail {
	const line = "The quick brown fox jumps over the lazy dog, again and again and again...\r\n"
	return m.withBody(strings.Repeat(line, 20_000_000/len(line)))
}

// chunked sends by BDAT in chunks of several sizes, in one session.
func chunked(t *testing.T, p *proxy, s *server) {
	c := connect(t, p.addr, "")
	c.must(t, "EHLO client.test", 250)
	for _, size := range []int{1, 7, 1000, 1 << 20} {
		m := newMail("amy@"+domain, "u02@"+domain)
		m.chunk = size
		if code, text, err := c.send(m); err != nil || code != 250 {
			t.Fatalf("chunks of %d: %d %s (%v)", size, code, text, err)
		}
		s.expectMail(m)
	}
	c.must(t, "QUIT", 221)
}

// flood lets smtp-source send 200 mails over ten connections at once.
func flood(t *testing.T, p *proxy, s *server, options ...string) {
	need(t, "smtp-source")
	const mails = 200
	m := newMail("amy@" + domain)
	args := append(options, "-s", "10", "-m", strconv.Itoa(mails), "-l", "4096", "-M", "client.test", "-S", m.id,
		"-f", m.from, "-t", m.to[0], net.JoinHostPort("127.0.0.1", portOf(p.addr)))
	run(t, nil, "smtp-source", args...)
	s.expect(m.id, mails, "amy")
}

// unknownUser is refused in the session, with the words that the server itself has for it.
func unknownUser(t *testing.T, p *proxy, s *server) {
	ask := func(addr string) string {
		c := connect(t, addr, "")
		c.must(t, "EHLO client.test", 250)
		c.must(t, "MAIL FROM:<sender@elsewhere.test>", 250)
		return c.must(t, "RCPT TO:<nobody@"+domain+">", 550)
	}
	direct, through := ask(s.addr), ask(p.addr)
	words, ref, found := strings.Cut(through, " [")
	if !found || !strings.HasSuffix(ref, "]") || words != direct {
		t.Errorf("through gatepost %q, the server itself says %q", through, direct)
	}
}

func TestPostfix(t *testing.T) {
	s := startPostfix(t)
	p := startProxy(t, settings{backend: s.addr, clientIP: "xclient"})
	p.offers(t, "SMTPUTF8")
	basics(t, p, s)
}

func TestPostfixByTLS(t *testing.T) {
	s := startPostfix(t)
	p := startProxy(t, settings{backend: s.addr, clientIP: "xclient", tls: "opportunistic"})
	m := newMail("amy@" + domain)
	swaks("--tls").deliver(t, p, s, m)
	if got := s.letterOf(t, "amy", m.id); !strings.Contains(got, "(Postfix) with ESMTPS id ") {
		t.Errorf("Postfix was not spoken to by TLS:\n%s", got)
	}
	s.settled(t)
}

func TestExim(t *testing.T) {
	s := startExim(t)
	p := startProxy(t, settings{backend: s.addr})
	p.offers(t, "SMTPUTF8")
	basics(t, p, s)
}
