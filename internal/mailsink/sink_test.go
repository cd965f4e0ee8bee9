package mailsink

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is the sending side of a session over a pipe.
type peer struct {
	*testing.T
	conn net.Conn
	in   *bufio.Reader
	done chan struct{} // closed when the session is over
}

func connect(t *testing.T, s *Server) *peer {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeConn(theirs)
	}()
	// A guard against a test that would hang; no result depends on it.
	_ = ours.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { _ = ours.Close(); <-done })
	return &peer{T: t, conn: ours, in: bufio.NewReader(ours), done: done}
}

// send writes text in one go.
func (p *peer) send(text string) {
	p.Helper()
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.Fatalf("send %q: %v", text, err)
	}
}

// want reads one line for each of lines.
func (p *peer) want(lines ...string) {
	p.Helper()
	for _, want := range lines {
		got, err := p.in.ReadString('\n')
		if err != nil || got != want+"\r\n" {
			p.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
}

// wantEnd reads the end of the connection.
func (p *peer) wantEnd() {
	p.Helper()
	if got, err := p.in.ReadString('\n'); !errors.Is(err, io.EOF) || got != "" {
		p.Fatalf("got %q, %v; want the end", got, err)
	}
}

// hello reads the banner and greets.
func (p *peer) hello() {
	p.Helper()
	p.want("220 sink.test ESMTP mailsink")
	p.send("HELO a.example\r\n")
	p.want("250 sink.test")
}

// ehlo greets and gives the lines of the answer.
func (p *peer) ehlo() (lines []string) {
	p.Helper()
	p.want("220 sink.test ESMTP mailsink")
	p.send("EHLO a.example\r\n")
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			p.Fatal(err)
		}
		lines = append(lines, strings.TrimSpace(line))
		if strings.HasPrefix(line, "250 ") {
			return lines
		}
	}
}

// open begins a transaction with one recipient.
func (p *peer) open() {
	p.Helper()
	p.send("MAIL FROM:<a@a.example>\r\n")
	p.want("250 2.1.0 Ok")
	p.send("RCPT TO:<b@b.example>\r\n")
	p.want("250 2.1.5 Ok")
}

// put sends content, which must bring its end mark, behind DATA.
func (p *peer) put(content string) {
	p.Helper()
	p.send("DATA\r\n")
	p.want("354 End data with <CR><LF>.<CR><LF>")
	p.send(content)
}

// contents gives the content of every message.
func contents(s *Server) (all []string) {
	for _, m := range s.Messages() {
		all = append(all, string(m.Content))
	}
	return all
}

// Each case is one session behind the greeting; odd entries of talk are sent, even ones expected, by lines.
func TestCommands(t *testing.T) {
	strict := &Server{MaxSize: 1000, Extensions: DefaultExtensions(), Users: map[string]bool{"b@b.example": true}}
	const mail = "MAIL FROM:<a@a.example>"
	for _, c := range []struct {
		name string
		sink *Server
		talk []string
		n    int
	}{
		{"a recipient before MAIL", strict, []string{"RCPT TO:<b@b.example>", "503 5.5.1 MAIL first"}, 0},
		{"MAIL twice", strict, []string{mail, "250 2.1.0 Ok", mail, "503 5.5.1 Nested MAIL"}, 0},
		{"RSET clears", strict, []string{mail, "250 2.1.0 Ok", "RSET", "250 2.0.0 Ok", "RCPT TO:<b@b.example>", "503 5.5.1 MAIL first"}, 0},
		{"EHLO clears", strict, []string{mail, "250 2.1.0 Ok", "HELO a", "250 sink.test", "RCPT TO:<b@b.example>", "503 5.5.1 MAIL first"}, 0},
		{"DATA without a recipient", strict, []string{mail, "250 2.1.0 Ok", "DATA", "554 5.5.1 No valid recipients"}, 0},
		{"DATA without MAIL", strict, []string{"DATA", "503 5.5.1 Out of sequence"}, 0},
		{"an unknown user", strict, []string{mail, "250 2.1.0 Ok", "RCPT TO:<x@b.example>",
			"550 5.1.1 <x@b.example>: Recipient address rejected: User unknown"}, 0},
		{"a user in another case", strict, []string{mail, "250 2.1.0 Ok", "rcpt to:<B@B.example>", "250 2.1.5 Ok"}, 0},
		{"an unknown parameter", strict, []string{mail + " FOO=1", "555 5.5.4 Unknown parameter FOO"}, 0},
		{"a parameter twice", strict, []string{mail + " SIZE=1 size=2", "501 5.5.4 SIZE given twice"}, 0},
		{"SIZE too large", strict, []string{mail + " SIZE=1001", "552 5.3.4 Message too large"}, 0},
		{"SIZE at the limit", strict, []string{mail + " SIZE=1000", "250 2.1.0 Ok"}, 0},
		{"SIZE is no number", strict, []string{mail + " SIZE=-1", "501 5.5.4 SIZE wants a number"}, 0},
		{"BINARYMIME not announced", strict, []string{mail + " BODY=BINARYMIME", "555 5.5.4 BINARYMIME was not announced"}, 0},
		{"8-bit address", strict, []string{"MAIL FROM:<\xc3\xa4@a.example>", "553 5.6.7 Address wants SMTPUTF8",
			"MAIL FROM:<\xc3\xa4@a.example> SMTPUTF8", "250 2.1.0 Ok"}, 0},
		{"no brackets", strict, []string{"MAIL FROM:a@a.example", "501 5.5.4 Syntax: FROM:<address>"}, 0},
		{"a bracket in quotes", strict, []string{`MAIL FROM:<"a>\"b"@a.example>`, "250 2.1.0 Ok"}, 0},
		{"an empty recipient", strict, []string{mail, "250 2.1.0 Ok", "RCPT TO:<>", "501 5.1.3 A recipient has an address"}, 0},
		{"a bare LF is no line end", strict, []string{"NOOP\nRSET", "500 5.5.2 Bad line end or control character"}, 0},
		{"a bare CR", strict, []string{"NOOP\rRSET", "500 5.5.2 Bad line end or control character"}, 0},
		{"NUL", strict, []string{"NOOP \x00", "500 5.5.2 Bad line end or control character"}, 0},
		{"unknown verb", strict, []string{"GET / HTTP/1.1", "500 5.5.2 Unknown command"}, 0},
		{"VRFY", strict, []string{"VRFY b", "252 2.5.2 Send some mail, I'll try my best"}, 0},
		{"STARTTLS not offered", strict, []string{"STARTTLS", "502 5.5.1 No TLS here"}, 0},
		{"BDAT out of sequence is read", strict, []string{"BDAT 6\r\nRSET", "503 5.5.1 Out of sequence"}, 0},
		{"a message", strict, []string{mail, "250 2.1.0 Ok", "RCPT TO:<b@b.example>", "250 2.1.5 Ok",
			"DATA", "354 End data with <CR><LF>.<CR><LF>", "x\r\n.", "250 2.0.0 Ok: queued as 1"}, 1},
		{"a message too large", &Server{MaxSize: 3}, []string{mail, "250 2.1.0 Ok", "RCPT TO:<b@b.example>", "250 2.1.5 Ok",
			"DATA", "354 End data with <CR><LF>.<CR><LF>", "xx\r\n.", "552 5.3.4 Message too large"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := connect(t, c.sink)
			p.ehlo()
			for pair := range slices.Chunk(c.talk, 2) {
				p.send(pair[0] + "\r\n")
				p.want(pair[1])
			}
			if got := c.sink.Committed(); got != c.n {
				t.Errorf("%d messages, want %d", got, c.n)
			}
		})
	}
}

func TestGreeting(t *testing.T) {
	s := &Server{Hostname: "mx.example", Extensions: []string{"PIPELINING", "DSN"}, MaxSize: 10}
	p := connect(t, s)
	p.want("220 mx.example ESMTP mailsink")
	p.send("MAIL FROM:<>\r\n")
	p.want("503 5.5.1 EHLO first")
	p.send("EHLO\r\n")
	p.want("501 5.5.4 EHLO wants one name")
	p.send("EHLO a\r\n")
	p.want("250-mx.example", "250-PIPELINING", "250-DSN", "250 SIZE 10")
	p.send("HELO a\r\n")
	p.want("250 mx.example")
	p.send("MAIL FROM:<> SIZE=1\r\n")
	p.want("555 5.5.4 Unknown parameter SIZE")
	p.send("QUIT\r\n")
	p.want("221 2.0.0 Bye")
	p.wantEnd()
}

func TestLineTooLong(t *testing.T) {
	p := connect(t, &Server{})
	p.hello()
	go func() { _, _ = io.WriteString(p.conn, strings.Repeat("x", 1<<17)) }()
	p.want("500 5.5.2 Line too long")
	p.wantEnd()
}

func TestPipelining(t *testing.T) {
	s := &Server{Extensions: DefaultExtensions(), Users: map[string]bool{"b@b.example": true}}
	p := connect(t, s)
	p.ehlo()
	p.send("MAIL FROM:<>\r\nRCPT TO:<x@b.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n")
	p.want("250 2.1.0 Ok", "550 5.1.1 <x@b.example>: Recipient address rejected: User unknown", "250 2.1.5 Ok",
		"354 End data with <CR><LF>.<CR><LF>")
	p.send("one\r\n.\r\nMAIL FROM:<c@c.example>\r\nRCPT TO:<b@b.example>\r\nBDAT 5\r\ntwo\r\nBDAT 0 LAST\r\nQUIT\r\n")
	p.want("250 2.0.0 Ok: queued as 1", "250 2.1.0 Ok", "250 2.1.5 Ok", "250 2.0.0 5 octets", "250 2.0.0 Ok: queued as 2",
		"221 2.0.0 Bye")
	p.wantEnd()
	if got := contents(s); !slices.Equal(got, []string{"one\r\n", "two\r\n"}) {
		t.Errorf("got %q", got)
	}
}

// An answer may not wait for the rest of a line that has only begun to arrive.
func TestPartialLine(t *testing.T) {
	p := connect(t, &Server{Extensions: []string{"PIPELINING"}})
	p.ehlo()
	p.send("NOOP\r\nNO")
	p.want("250 2.0.0 Ok")
	p.send("OP\r\n")
	p.want("250 2.0.0 Ok")
}

func TestOutOfTurn(t *testing.T) {
	for _, c := range []struct{ name, group, want string }{
		{"behind EHLO", "EHLO a\r\nNOOP\r\n", "554 5.5.0 EHLO with data behind it"},
		{"behind STARTTLS", "STARTTLS\r\nNOOP\r\n", "554 5.5.0 STARTTLS with data behind it"},
		{"behind XCLIENT", "XCLIENT PORT=1\r\nNOOP\r\n", "554 5.5.0 XCLIENT with data behind it"},
		{"behind DATA", "DATA\r\nSubject: x\r\n", "554 5.5.0 DATA with data behind it"},
		{"without PIPELINING", "NOOP\r\nNOOP\r\n", "554 5.5.0 NOOP with data behind it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := connect(t, &Server{Extensions: []string{"CHUNKING"}})
			p.ehlo()
			p.send(c.group)
			p.want(c.want)
			p.wantEnd()
		})
	}
}

func TestServe(t *testing.T) {
	s := &Server{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || s.Open() != 1 {
		t.Fatalf("%q, %v, %d open", line, err, s.Open())
	}
	_ = s.Close()
	if err := <-served; err != nil || s.Open() != 0 {
		t.Errorf("Serve: %v, %d open", err, s.Open())
	}
	if err := s.Serve(l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve on a closed server: %v", err)
	}
	if want := []string{"S1 S: 220 sink.test ESMTP mailsink", "S1 E: closed"}; !slices.Equal(s.Log(), want) {
		t.Errorf("log %q, want %q", s.Log(), want)
	}
}

func TestServeConnOnClosedServer(t *testing.T) {
	s := &Server{}
	_ = s.Close()
	connect(t, s).wantEnd()
}

func TestLog(t *testing.T) {
	s := &Server{}
	p := connect(t, s)
	p.hello()
	p.open()
	p.put("x\r\n.\r\n")
	p.want("250 2.0.0 Ok: queued as 1")
	_ = p.conn.Close()
	<-p.done
	want := []string{
		"S1 S: 220 sink.test ESMTP mailsink",
		"S1 C: HELO a.example", "S1 S: 250 sink.test",
		"S1 C: MAIL FROM:<a@a.example>", "S1 S: 250 2.1.0 Ok",
		"S1 C: RCPT TO:<b@b.example>", "S1 S: 250 2.1.5 Ok",
		"S1 C: DATA", "S1 S: 354 End data with <CR><LF>.<CR><LF>",
		"S1 D: 3 octets", "S1 S: 250 2.0.0 Ok: queued as 1",
		"S1 E: closed by the client",
	}
	if got := s.Log(); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestKeep(t *testing.T) {
	s := &Server{Keep: 2}
	p := connect(t, s)
	p.hello()
	for _, content := range []string{"1", "2", "3"} {
		p.open()
		p.put(content + "\r\n.\r\n")
		p.want("250 2.0.0 Ok: queued as " + content)
	}
	if got := contents(s); !slices.Equal(got, []string{"2\r\n", "3\r\n"}) || s.Committed() != 3 {
		t.Errorf("%d committed, kept %q", s.Committed(), got)
	}
	if n := len(s.Log()); n > 4 {
		t.Errorf("%d lines kept", n)
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	var told []Message
	s := &Server{Dir: dir, OnMessage: func(m Message) { told = append(told, m) }}
	p := connect(t, s)
	p.hello()
	p.open()
	p.put("..x\r\n.\r\n")
	p.want("250 2.0.0 Ok: queued as 1")
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	content, _ := os.ReadFile(dir + "/" + files[0].Name())
	envelope, _ := os.ReadFile(dir + "/" + files[1].Name())
	if string(content) != ".x\r\n" || !strings.Contains(string(envelope), `"address": "b@b.example"`) {
		t.Errorf("%s: %q\n%s: %s", files[0], content, files[1], envelope)
	}
	if len(told) != 1 || told[0].From != "a@a.example" {
		t.Errorf("OnMessage was told %v", told)
	}
}

func TestDirCannotBeWritten(t *testing.T) {
	s := &Server{Dir: t.TempDir() + "/missing"}
	p := connect(t, s)
	p.hello()
	p.open()
	p.put(".\r\n")
	p.want("451 4.3.0 Could not be stored")
	if s.Committed() != 0 {
		t.Error("counted all the same")
	}
}
