//go:build interop

package interop

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// mail is a message to send.
type mail struct {
	id      string // stands in the Subject, by which it is found again
	from    string
	to      []string
	params  string // of MAIL, such as " BODY=8BITMIME"
	content []byte // with CR LF
	chunk   int    // above 0: sent by BDAT in chunks of so many octets
}

var serial atomic.Int64

// newMail makes a small message with an id of its own.
func newMail(to ...string) mail {
	m := mail{id: fmt.Sprintf("id%06d", serial.Add(1)), from: "sender@elsewhere.test", to: to}
	m.content = []byte(m.head() + "Hello.\r\n.a line with a dot\r\n..with two\r\nBye.\r\n")
	return m
}

// head is a header block in good form, with the empty line behind it.
func (m mail) head() string {
	return "From: Sender <sender@elsewhere.test>\r\nTo: undisclosed-recipients:;\r\nSubject: " + m.id +
		"\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <" + m.id + "@elsewhere.test>\r\n\r\n"
}

// withBody puts another body behind the header.
func (m mail) withBody(body string) mail {
	m.content = []byte(m.head() + body)
	return m
}

// by gives it another author, and a reverse-path that no other message has.
func (m mail) by(domain string) mail {
	m.from = m.id + "@" + domain
	m.content = bytes.ReplaceAll(m.content, []byte("elsewhere.test"), []byte(domain))
	return m
}

// onTop puts a header field on top.
func (m mail) onTop(field string) mail {
	m.content = append([]byte(field+"\r\n"), m.content...)
	return m
}

// changed puts a line behind the body, as a mailing list does with its footer.
func (m mail) changed() mail {
	m.content = append(bytes.Clone(m.content), "A line from the road.\r\n"...)
	return m
}

// file writes the content where a program can read it.
func (m mail) file(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "mail.eml")
	if err := os.WriteFile(name, m.content, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func newBuffered(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 16<<10) }

// subject finds the id in a message, whichever line ends it has.
func subject(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break
		}
		if id, ok := strings.CutPrefix(line, "Subject: "); ok {
			return id
		}
	}
	return ""
}
