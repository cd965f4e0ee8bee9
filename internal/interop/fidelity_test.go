//go:build interop

package interop

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"gatepost/internal/mailsink"
	"gatepost/proxy/backend"
	"gatepost/proxy/smtp"
)

// oddBodies are contents that a careless proxy would change.
func oddBodies() map[string]string {
	octets := make([]byte, 0, 256)
	for b := 1; b < 256; b++ { // NUL is refused
		if b != '\r' && b != '\n' {
			octets = append(octets, byte(b))
		}
	}
	return map[string]string{
		"every octet":      string(octets) + "\r\n",
		"dots":             ".\r\n..\r\n...\r\n.a\r\n. \r\n\t.\r\n",
		"empty lines":      "\r\n\r\n\r\nx\r\n\r\n",
		"trailing space":   "x \t \r\n \r\n\t\r\n",
		"lines of 900":     strings.Repeat(strings.Repeat("x", 900)+"\r\n", 40),
		"no body":          "",
		"From line":        "From me to you\r\n>From you\r\n",
		"looks like SMTP":  "QUIT\r\nMAIL FROM:<a@b.test>\r\nBDAT 5 LAST\r\n",
		"invalid UTF-8":    "\xc3\x28\xff\xfe\xed\xa0\x80\r\n",
		"300 KB of 8 bits": strings.Repeat("Größe und Länge, ÄÖÜ 漢字\r\n", 10_000),
		"3 MB":             strings.Repeat("passed on before it is whole\r\n.\r\n..\r\n", 80_000),
	}
}

// Octet for octet, before a backend that keeps exactly what it was given; with DATA and BDAT on both sides.
func TestSameOctets(t *testing.T) {
	for _, backend := range []struct {
		name       string
		extensions []string
	}{
		{"DATA behind", without("CHUNKING", mailsink.DefaultExtensions())},
		{"BDAT behind", mailsink.DefaultExtensions()},
	} {
		t.Run(backend.name, func(t *testing.T) {
			sink := &mailsink.Server{Extensions: backend.extensions}
			addr, stop, err := mailsink.Listen(sink)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			p := startProxy(t, settings{backend: addr})
			for name, body := range oddBodies() {
				t.Run(name, func(t *testing.T) { sameOctets(t, p, sink, body) })
			}
			long := strings.Repeat("y", 100_000) + "\r\n"
			t.Run("a line of 100 KB", func(t *testing.T) { sameOctets(t, p, sink, long) })
		})
	}
}

func without(word string, from []string) []string {
	return slices.DeleteFunc(from, func(s string) bool { return s == word })
}

func sameOctets(t *testing.T, p *proxy, sink *mailsink.Server, body string) {
	t.Helper()
	for _, chunk := range []int{0, 1 << 20, 333} {
		m := newMail("amy@" + domain).withBody(body)
		m.params, m.chunk = " BODY=8BITMIME", chunk
		sendFrom(t, p.addr, "", "EHLO client.test", m)
		all := sink.Messages()
		if got := below(t, all[len(all)-1].Content, "\r\n"); sha256.Sum256(got) != sha256.Sum256(m.content) {
			t.Errorf("chunks of %d: %d octets came as %d: %.300q", chunk, len(m.content), len(got), got)
		}
	}
}

// below cuts off what was put on top: all up to and with our Authentication-Results.
func below(t *testing.T, content []byte, eol string) []byte {
	t.Helper()
	_, rest, found := bytes.Cut(content, []byte("Authentication-Results: "+hostname+"; none"+eol))
	if !found {
		t.Fatalf("no Authentication-Results of ours in %.600q", content)
	}
	return rest
}

// A message whose last line does not end, as only BDAT can bring it, gets no end where the backend takes BDAT.
func TestNoFinalLineEnd(t *testing.T) {
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
	addr, stop, err := mailsink.Listen(sink)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	p := startProxy(t, settings{backend: addr})
	m := newMail("amy@" + domain).withBody("no end")
	m.chunk = 1000
	sendFrom(t, p.addr, "", "EHLO client.test", m)
	if got := below(t, sink.Messages()[0].Content, "\r\n"); !bytes.Equal(got, m.content) {
		t.Errorf("got %q, want %q", got, m.content)
	}
}

// The same contents through real servers into a Maildir, where lines end in LF.
func TestSameOctetsInMaildir(t *testing.T) {
	for _, behind := range []struct {
		name  string
		start func(*testing.T) *server
	}{{"Postfix", startPostfix}, {"Exim", startExim}} {
		t.Run(behind.name, func(t *testing.T) {
			s := behind.start(t)
			p := startProxy(t, settings{backend: s.addr})
			bodies := oddBodies()
			bodies["no final line end"] = "no end"
			for name, body := range bodies {
				t.Run(name, func(t *testing.T) { sameInMaildir(t, p, s, body) })
			}
			t.Run("NUL", func(t *testing.T) { nulIsRefused(t, p) })
			s.settled(t)
		})
	}
}

func sameInMaildir(t *testing.T, p *proxy, s *server, body string) {
	t.Helper()
	m := newMail("amy@" + domain).withBody(body)
	m.params, m.chunk = " BODY=8BITMIME", 1<<20
	sendFrom(t, p.addr, "", "EHLO client.test", m)
	s.expectMail(m)
	got := below(t, []byte(s.letterOf(t, "amy", m.id)), "\n")
	want := stored(m.content)
	if sha256.Sum256(got) != sha256.Sum256(want) {
		t.Errorf("%d octets came as %d:\n%.600q\nwant\n%.600q", len(want), len(got), got, want)
	}
}

// stored is content as a Maildir has it.
func stored(content []byte) []byte {
	b := bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
	if !bytes.HasSuffix(b, []byte("\n")) {
		b = append(b, '\n')
	}
	return b
}

func nulIsRefused(t *testing.T, p *proxy) {
	m := newMail("amy@" + domain).withBody("a\x00b\r\n")
	for _, chunk := range []int{0, 1000} {
		m.chunk = chunk
		c := connect(t, p.addr, "")
		c.must(t, "EHLO client.test", 250)
		if code, text, err := c.send(m); err != nil || code != 550 || !strings.HasPrefix(text, "5.6.0 ") {
			t.Errorf("chunks of %d: %d %s (%v), want 550 5.6.0", chunk, code, text, err)
		}
	}
}

// Content that was passed on to a real server counts for nothing there unless it comes to a good end.
func TestPassedOnInVain(t *testing.T) {
	for _, behind := range []struct {
		name  string
		start func(*testing.T) *server
		lost  string // what the log says of each
	}{
		{"Postfix", startPostfix, "lost connection after BDAT"},
		{"Postfix without CHUNKING", func(t *testing.T) *server {
			return startPostfixWith(t, "smtpd_discard_ehlo_keywords = chunking\n")
		}, "lost connection after DATA"},
		{"Exim", startExim, ""},
	} {
		t.Run(behind.name, func(t *testing.T) {
			s := behind.start(t)
			p := startProxy(t, settings{backend: s.addr})
			large := strings.Repeat("a line of a large message\r\n", 120_000)
			for end, code := range map[string]int{"a\rb\r\n": 550, "\x00\r\n": 550, "": 0} {
				c := connect(t, p.addr, "")
				c.must(t, "EHLO client.test", 250)
				m := newMail("amy@" + domain).withBody(large + end)
				if end == "" { // hangs up
					c.must(t, "MAIL FROM:<"+m.from+">", 250)
					c.must(t, "RCPT TO:<"+m.to[0]+">", 250)
					c.must(t, "DATA", 354)
					c.mustWrite(t, m.content)
					c.close()
					continue
				}
				if got, text, err := c.send(m); err != nil || got != code {
					t.Errorf("%q: %d %s (%v), want %d", end, got, text, err, code)
				}
			}
			m := newMail("amy@" + domain).withBody(large)
			sendFrom(t, p.addr, "", "EHLO client.test", m)
			s.expectMail(m)
			s.settled(t)
			if n := strings.Count(readFile(t, s.log), behind.lost); behind.lost != "" && n != 3 {
				t.Errorf("the server lost %d of them", n)
			}
		})
	}
}

// A sender that takes its time has the backend given empty parts, as a sign of life.
func TestEmptyParts(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *server{"Postfix": startPostfix, "Exim": startExim} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			b := backend.New(backend.Settings{Addresses: []string{s.addr}, Hostname: hostname})
			defer b.Close()
			c, err := b.Open(t.Context(), backend.Client{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Abort()
			m := newMail("amy@" + domain)
			c.Mail(smtp.Address{Local: "sender", Domain: "elsewhere.test"}, smtp.MailParams{Size: -1}, 0)
			c.Rcpt(smtp.Address{Local: "amy", Domain: domain}, smtp.RcptParams{})
			for range 2 {
				if r, err := c.Reply(); err != nil || r.Class() != 2 {
					t.Fatal(r, err)
				}
			}
			half := len(m.content) / 2
			for _, part := range [][]byte{m.content[:half], nil, nil, m.content[half:]} {
				if r, ok, err := c.Part(piece(part)); !ok {
					t.Fatal(r, err)
				}
			}
			if r, err := c.Send(piece(nil)); err != nil || r.Class() != 2 || !c.Caps().Chunking {
				t.Fatal(r, err, c.Caps())
			}
			s.expectMail(m)
			s.settled(t)
		})
	}
}

// piece is content in one piece.
type piece []byte

func (p piece) Size() int64                  { return int64(len(p)) }
func (p piece) Dotted() bool                 { return true }
func (p piece) Pieces(to backend.Sink) error { return to.Write(p) }
