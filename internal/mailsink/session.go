package mailsink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// session is one connection, run by one goroutine.
type session struct {
	sink   *Server
	id     int
	ctx    context.Context // ended by Server.Close
	cancel context.CancelFunc
	socket net.Conn // as accepted
	conn   net.Conn // the same, or TLS on it
	in     *bufio.Reader
	out    *outbox

	client netip.AddrPort // of the socket or the PROXY header
	dest   netip.AddrPort // from the PROXY header
	told   told           // by XCLIENT
	helo   string         // "" before a greeting was accepted
	esmtp  bool
	secure bool

	tx      Message // the transaction; its Recipients are those accepted
	mailed  bool    // a MAIL was accepted
	utf8    bool    // with SMTPUTF8
	binary  bool    // with BODY=BINARYMIME
	chunked bool    // a BDAT was accepted
	octets  int64   // content read
}

// pipelineReader sends what is pending before it waits for more input.
type pipelineReader struct{ c *session }

// Read reads from the connection of the session.
func (r pipelineReader) Read(p []byte) (int, error) {
	// RFC 2920 section 3.2: answers are sent at the latest when the input is used up.
	r.c.out.flush()
	return r.c.conn.Read(p)
}

func (c *session) run() {
	defer c.sink.finished(c)
	defer c.cancel()
	c.attach(c.conn)
	err := c.open()
	for err == nil {
		err = c.step()
	}
	c.sink.note(c.id, 'E', c.ending(err))
	c.out.drain()
	_ = c.conn.Close()
}

// attach reads from and writes to conn from now on; bytes already read ahead are forgotten.
func (c *session) attach(conn net.Conn) {
	c.conn = conn
	c.in = bufio.NewReaderSize(pipelineReader{c}, 1<<16)
	c.out = newOutbox(c.ctx, conn)
}

func (c *session) ending(err error) string {
	if errors.Is(err, errOver) || c.ctx.Err() != nil {
		return "closed"
	}
	return "closed by the client"
}

// open reads the PROXY header and greets.
func (c *session) open() error {
	c.client = addrPort(c.socket.RemoteAddr())
	if c.sink.ProxyV2 {
		if err := c.readProxy(); err != nil {
			return err
		}
	}
	return c.greet(StageBanner, "")
}

func (c *session) greet(stage Stage, line string) error {
	_, err := c.answer(stage, line, "220 "+c.sink.hostname()+" ESMTP mailsink")
	return err
}

// step reads one command line and does what it says.
func (c *session) step() error {
	line, err := c.readLine()
	switch {
	case errors.Is(err, errBroken):
		return c.say(StageOther, line, "500 5.5.2 Bad line end or control character")
	case errors.Is(err, errLong):
		_ = c.say(StageOther, "", "500 5.5.2 Line too long")
		return errOver
	case err != nil:
		return err
	}
	if c.mailed {
		c.tx.Commands = append(c.tx.Commands, line)
	}
	verb, arg, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	if c.outOfTurn(verb) {
		_ = c.say(StageOther, line, "554 5.5.0 "+verb+" with data behind it")
		return errOver
	}
	return c.command(verb, arg, line)
}

// outOfTurn reports input behind a command whose answer had to be awaited.
func (c *session) outOfTurn(verb string) bool {
	if c.sink.Lenient || c.in.Buffered() == 0 {
		return false
	}
	switch verb {
	case "BDAT":
		// RFC 3030 section 2: the chunk follows at once.
		return false
	case "EHLO", "HELO", "DATA", "STARTTLS", "XCLIENT":
		// RFC 2920 section 3.1: these stand last in a group.
		return true
	}
	// RFC 2920 section 3.1: without the extension every answer is awaited.
	return !c.esmtp || !c.announces("PIPELINING")
}

func (c *session) command(verb, arg, line string) error {
	switch verb {
	case "EHLO", "HELO":
		return c.hello(verb, arg, line)
	case "MAIL":
		return c.mail(arg, line)
	case "RCPT":
		return c.rcpt(arg, line)
	case "DATA":
		return c.data(arg, line)
	case "BDAT":
		return c.bdat(arg, line)
	case "RSET":
		return c.rset(arg, line)
	case "STARTTLS":
		return c.startTLS(arg, line)
	case "XCLIENT":
		return c.xclient(arg, line)
	case "NOOP":
		return c.say(StageNoop, line, "250 2.0.0 Ok")
	case "VRFY":
		return c.say(StageOther, line, "252 2.5.2 Send some mail, I'll try my best")
	case "QUIT":
		_ = c.say(StageQuit, line, "221 2.0.0 Bye")
		return errOver
	}
	return c.say(StageOther, line, "500 5.5.2 Unknown command")
}

// say answers where the answer changes nothing, whatever a fault makes of it.
func (c *session) say(stage Stage, line, reply string) error {
	_, err := c.answer(stage, line, reply)
	return err
}

// send logs a reply and leaves it to the outbox.
func (c *session) send(reply string, raw bool, drip time.Duration) {
	if !raw && !strings.HasSuffix(reply, "\n") {
		reply += "\r\n"
	}
	for text := range strings.Lines(reply) {
		c.sink.note(c.id, 'S', strings.TrimRight(text, "\r\n"))
	}
	c.out.add(reply, drip)
}

func (c *session) hello(verb, arg, line string) error {
	if arg == "" || strings.ContainsAny(arg, " \t") {
		return c.say(StageEhlo, line, "501 5.5.4 "+verb+" wants one name")
	}
	own := "250 " + c.sink.hostname()
	if verb == "EHLO" {
		own = c.capabilities()
	}
	sent, err := c.answer(StageEhlo, line, own)
	if err == nil && class(sent) == '2' {
		c.helo, c.esmtp = arg, verb == "EHLO"
		// RFC 5321 section 4.1.4: a new greeting clears as RSET does.
		c.clear()
	}
	return err
}

// capabilities is the answer to EHLO, one keyword a line.
func (c *session) capabilities() string {
	lines := append([]string{c.sink.hostname()}, c.sink.Extensions...)
	if c.sink.MaxSize > 0 {
		lines = append(lines, fmt.Sprintf("SIZE %d", c.sink.MaxSize))
	}
	// RFC 3207 section 4.2: not offered again once TLS runs.
	if c.sink.TLS != nil && !c.secure {
		lines = append(lines, "STARTTLS")
	}
	last := len(lines) - 1
	var b strings.Builder
	for _, l := range lines[:last] {
		b.WriteString("250-" + l + "\r\n")
	}
	b.WriteString("250 " + lines[last] + "\r\n")
	return b.String()
}

// announces reports whether the answer to EHLO has the keyword.
func (c *session) announces(keyword string) bool {
	if keyword == "SIZE" && c.sink.MaxSize > 0 {
		return true
	}
	_, ok := c.extension(keyword)
	return ok
}

// extension gives what stands behind the keyword in the list of extensions.
func (c *session) extension(keyword string) (params string, ok bool) {
	for _, e := range c.sink.Extensions {
		name, params, _ := strings.Cut(e, " ")
		if strings.EqualFold(name, keyword) {
			return params, true
		}
	}
	return "", false
}

func (c *session) rset(arg, line string) error {
	if arg != "" {
		return c.say(StageRset, line, "501 5.5.4 RSET takes no argument")
	}
	sent, err := c.answer(StageRset, line, "250 2.0.0 Ok")
	if class(sent) == '2' {
		c.clear()
	}
	return err
}

// clear forgets the transaction.
func (c *session) clear() {
	c.tx = Message{}
	c.mailed, c.utf8, c.binary, c.chunked = false, false, false, false
	c.octets = 0
}
