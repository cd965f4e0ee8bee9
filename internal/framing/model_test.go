package framing

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// message is one that must reach the backend: its envelope, and its content without what the proxy puts on top.
type message struct {
	from    string
	rcpts   []string
	content []byte
	exact   bool // it came by BDAT; by DATA it can't but end in CR LF
}

func (m message) String() string { return fmt.Sprintf("<%s %q %q>", m.from, m.rcpts, m.content) }

// model says what a stream of a sender means, by the letter of RFC 5321, 2920 and 3030 and of the rules for bare line ends. It
// shares nothing with the engine. It knows few commands, each in one form; a stream that goes beyond is cut before that point,
// so that it is never asked what it does not know.
type model struct {
	in   []byte
	at   int
	edge func(at int) bool // whether the sender waits there for replies

	tx      bool
	bound   bool // a chunk was taken
	warned  bool // DATA was refused: what follows may be content
	from    string
	rcpts   []string
	tried   int
	chunks  []byte
	owed    int  // octets of a chunk that the stream does not have
	inData  bool // the stream ends in content
	over    bool // the session ends
	unsure  bool // nothing is to be said of this stream
	replies []string
	kept    []message
	refused int // messages
}

var (
	mailForm = regexp.MustCompile(`^(?i:MAIL FROM):<([a-z]{1,10}@[a-z]{1,20}\.example)>$`)
	rcptForm = regexp.MustCompile(`^(?i:RCPT TO):<([a-z]{1,10}@(?:example\.com|[a-z]{1,20}\.example))>$`)
	bdatForm = regexp.MustCompile(`^(?i:BDAT) ([0-9]{1,6})(?i:( LAST)?)$`)
	verbForm = regexp.MustCompile(`^(?i:HELO|EHLO|MAIL|RCPT|DATA|BDAT|RSET|NOOP|VRFY|HELP|QUIT|STARTTLS|EXPN|ETRN|TURN|ATRN|SEND|SOML|SAML|AUTH|XCLIENT)`)
)

// longest is the longest command line that the model speaks of, in octets.
const longest = 400

// run reads the stream to its end, or to where it is cut.
func (m *model) run() {
	for !m.over && !m.unsure && !m.inData && m.owed == 0 {
		end := bytes.Index(m.in[m.at:], []byte("\r\n")) // RFC 5321 section 2.3.8: nothing else ends a line
		if end < 0 || end > longest {
			break
		}
		line := string(m.in[m.at : m.at+end])
		if !m.known(line) {
			break
		}
		m.at += end + 2
		m.line(line)
	}
	if !m.over && !m.inData && m.owed == 0 {
		m.in = m.in[:m.at]
	}
}

// known says whether the model knows what a line does.
func (m *model) known(line string) bool {
	switch {
	case broken(line):
		return true
	case strings.ContainsFunc(line, func(r rune) bool { return r == '\t' || r > '~' }):
		return false
	case !verbForm.MatchString(line), line == "EHLO client.example", mailForm.MatchString(line), rcptForm.MatchString(line), bdatForm.MatchString(line):
		return true
	}
	return slices.Contains([]string{"DATA", "RSET", "NOOP", "QUIT"}, strings.ToUpper(line))
}

// broken says whether a line holds a byte that no command has.
func broken(line string) bool {
	return strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

func (m *model) line(line string) {
	if broken(line) || !verbForm.MatchString(line) {
		m.noCommand(strings.ContainsAny(line, "\r\n\x00"))
		return
	}
	m.warned = false
	switch word := strings.ToUpper(line[:4]); {
	case word == "QUIT":
		m.say("221")
		m.over = true
	case word == "NOOP":
		m.say("250")
	case word == "RSET":
		m.reset("250")
	case word == "EHLO" && !m.edge(m.at): // RFC 2920 section 3.1
		m.hangUp("554")
	case word == "EHLO":
		m.reset("250")
	case word == "BDAT":
		m.bdat(bdatForm.FindStringSubmatch(line))
	case word == "DATA":
		m.data()
	case word == "MAIL" && !m.tx:
		m.tx, m.from = true, mailForm.FindStringSubmatch(line)[1]
		m.say("250")
	case word == "RCPT" && m.tx && !m.bound:
		m.rcpt(rcptForm.FindStringSubmatch(line)[1])
	default:
		m.say("503")
	}
}

// noCommand is a line that is none. Behind a refused DATA it is taken for content, and ends the session; in a transaction one with bare line ends
// does, since it may have been meant as DATA or BDAT.
func (m *model) noCommand(bare bool) {
	switch {
	case bare && (m.warned || m.tx):
		m.hangUp("500")
	case m.warned:
		m.hangUp("554")
	default:
		m.say("500")
	}
}

func (m *model) rcpt(to string) {
	m.tried++
	if !strings.HasSuffix(to, "@example.com") {
		m.say("550")
		return
	}
	m.rcpts = append(m.rcpts, to)
	m.say("250")
}

// sequence is the reply to content that can't be taken now; "" where it can.
func (m *model) sequence() string {
	switch {
	case len(m.rcpts) > 0:
		return ""
	case m.tried > 0:
		return "554"
	}
	return "503"
}

func (m *model) data() {
	reply := m.sequence()
	if m.bound {
		reply = "503"
	}
	switch edge := m.edge(m.at); {
	case !edge && reply != "":
		m.hangUp(reply)
		return
	case !edge:
		m.hangUp("554")
		return
	case reply != "":
		m.warned = true
		m.say(reply)
		return
	}
	m.say("354")
	// RFC 5321 section 4.1.1.4: the CR LF of the command is the first one of an end mark at once.
	rest := m.in[m.at-2:]
	end := bytes.Index(rest, []byte("\r\n.\r\n"))
	if end < 0 {
		m.inData = true
		return
	}
	m.at += end + 3
	wire := rest[2:max(end+2, 2)]
	m.end(wire, misleading(wire), unstuff(wire))
}

// misleading says whether content has a lone dot between what someone may take for the ends of lines. It is asked of content
// without bare CR and NUL, which are refused of themselves.
func misleading(wire []byte) bool {
	return slices.ContainsFunc(strings.Split(string(wire), "\n"), func(line string) bool { return strings.TrimSuffix(line, "\r") == "." })
}

// unstuff takes away a dot behind each CR LF (RFC 5321 section 4.5.2).
func unstuff(wire []byte) []byte {
	lines := strings.Split(string(wire), "\r\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, ".")
	}
	return []byte(strings.Join(lines, "\r\n"))
}

func (m *model) bdat(form []string) {
	n, _ := strconv.Atoi(form[1])
	if have := len(m.in) - m.at; have < n {
		m.owed = n - have
		return
	}
	chunk := m.in[m.at : m.at+n]
	m.at += n
	if reply := m.sequence(); reply != "" { // RFC 3030 section 2: its octets are never commands
		m.say(reply)
		return
	}
	m.bound = true
	m.chunks = append(m.chunks, chunk...)
	if form[2] == "" {
		m.say("250")
		return
	}
	m.end(m.chunks, false, m.chunks)
}

// end ends a message: wire is as it came, content without its dots.
func (m *model) end(wire []byte, near bool, content []byte) {
	head, _, _ := bytes.Cut(append([]byte("\r\n"), content...), []byte("\r\n\r\n"))
	if len(head) > 50000 || bytes.Count(head, []byte("\n")) > 80 {
		m.unsure = true // limits of headers are another matter
		return
	}
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	if near || strings.ContainsAny(text, "\r\x00") || bytes.ContainsRune(wire, 0) || strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\t") {
		m.refused++
		m.reset("550")
		return
	}
	m.kept = append(m.kept, message{from: m.from, rcpts: m.rcpts, content: []byte(strings.ReplaceAll(text, "\n", "\r\n"))})
	m.reset("250")
}

func (m *model) say(code string) { m.replies = append(m.replies, code) }

func (m *model) hangUp(code string) {
	m.say(code)
	m.over = true
}

// reset ends the transaction.
func (m *model) reset(code string) {
	m.say(code)
	m.tx, m.bound, m.from, m.rcpts, m.tried, m.chunks = false, false, "", nil, 0, nil
}
