package backend

import (
	"time"

	"gatepost/proxy/smtp"
)

// maxGroup is how many octets of commands are written before their replies are read. RFC 2920 section 3.1: a group fits
// in the window of TCP, or both sides may wait for each other to read.
const maxGroup = 16 << 10

// Conn is a connection on which transactions are brought one after another. It is for one goroutine. After a Fault
// it is closed.
type Conn struct {
	backend *Backend
	link    *link

	queue []command // in the order of their replies
	out   []byte    // their lines
	read  int       // how many of queue were replied to
	sent  int       // how many of queue were written
	wrote int       // how many octets of out were written

	open    bool         // the server knows of a transaction that did not end with a 2xx to its content
	binary  bool         // the last MAIL was of binary content
	midway  bool         // content was not written whole: nothing else may be written
	inside  bool         // DATA was begun, and parts of the content were written, but not its end
	stuffer smtp.Stuffer // of such content
	finalBy time.Time    // see FinalBy
	errors  int          // refusals since the last message that was taken
	resets  int          // RSETs since then
	born    time.Time
	since   time.Time // when it was released
	reused  bool
	closed  *Fault // what every use gives once the connection is closed; nil before
}

// command is one that waits to be written or to be replied to.
type command struct {
	stage string
	end   int  // of its line in out
	quiet bool // nobody asks for its reply
}

// Caps is what this server told in its last EHLO on this connection.
func (c *Conn) Caps() smtp.Caps { return c.link.caps }

// TLS says whether the connection is encrypted, and that the certificate was verified.
func (c *Conn) TLS() (on, verified bool) { return c.link.secured, c.link.verified }

// Stale says that the connection is of no more use: closed here, closed by the server while nothing was asked, or the
// server spoke out of turn. It does not wait (for the rest of a record of TLS a second at most), and is false where that can't be known.
func (c *Conn) Stale() bool {
	return c.closed != nil || c.read == c.sent && c.link.answered()
}

// Mail queues a MAIL command; size is the announced size in octets, 0 where not known. Nothing is written until a reply
// is asked for. A transaction that is still open is ended with RSET before.
func (c *Conn) Mail(from smtp.Address, p smtp.MailParams, size int64) {
	c.Reset()
	c.out = smtp.AppendMail(c.out, from, p, c.link.caps, size)
	c.push(stageMail)
	c.binary = p.Body == smtp.BodyBinaryMIME
}

// Rcpt queues a RCPT command.
func (c *Conn) Rcpt(to smtp.Address, p smtp.RcptParams) {
	c.out = smtp.AppendRcpt(c.out, to, p, c.link.caps)
	c.push(stageRcpt)
}

// Reset ends the transaction with RSET, where one is open. It is written with the next command, and its reply is read
// before that command's. Commands that were queued and not written are dropped, and replies that were not asked for yet
// are skipped.
func (c *Conn) Reset() {
	if c.inside { // nothing but content, or the end of the connection, is understood there
		c.Abort()
		return
	}
	n := c.sent
	for n < len(c.queue) && c.queue[n].stage == stageRset {
		n++
	}
	c.truncate(n)
	for i := c.read; i < n; i++ {
		c.queue[i].quiet = true
	}
	if c.open {
		c.open = false
		c.out = append(c.out, "RSET\r\n"...)
		c.push(stageRset)
		c.queue[len(c.queue)-1].quiet = true
	}
}

// Reply gives the reply to the oldest queued command that was not yet replied to. With PIPELINING all that is queued
// is written at once before (in groups of 16 KiB); else one command at a time. A 421 is returned as it came, and the
// connection is closed after it: the next use is a Fault. The error is a *Fault.
func (c *Conn) Reply() (smtp.Reply, error) {
	for c.closed == nil && c.read < len(c.queue) {
		cmd := c.queue[c.read]
		r, f := c.next(cmd)
		if f != nil {
			return smtp.Reply{}, c.fail(f)
		}
		if !cmd.quiet {
			return r, nil
		}
	}
	if c.closed != nil {
		return smtp.Reply{}, c.closed
	}
	return smtp.Reply{}, c.fail(nonsense(stageMail, smtp.Reply{}, errNotWaiting))
}

// KeepAlive sends NOOP and reads the reply; call it when a transaction waits long for the sender and all replies were
// read. Any reply but 421 shows that the server is there. The error is a *Fault.
func (c *Conn) KeepAlive() error {
	c.out = append(c.out, "NOOP\r\n"...)
	c.push(stageNoop)
	r, err := c.Reply()
	if err == nil && r.Code == 421 {
		return c.closed
	}
	return err
}

// Quit says goodbye without waiting long (a second at most), and closes. It does nothing on a connection that is closed.
func (c *Conn) Quit() {
	if c.closed == nil && !c.inside {
		c.link.quit(c.backend.settings.Timeouts.Reset)
	}
	c.Abort()
}

// Abort closes the connection at once; whatever transaction was open is void, for no end mark was sent.
func (c *Conn) Abort() {
	if c.closed == nil {
		c.close(broken(stageMail, errEnded))
	}
}

// next writes what has to be written for the reply to cmd, the oldest command, and reads it.
func (c *Conn) next(cmd command) (smtp.Reply, *Fault) {
	wait := c.backend.settings.Timeouts.of(cmd.stage)
	if c.read == c.sent {
		if err := c.flush(wait); err != nil {
			return smtp.Reply{}, broken(cmd.stage, err)
		}
	}
	r, err := c.link.reply(c.by(wait))
	if err != nil {
		return smtp.Reply{}, broken(cmd.stage, err)
	}
	c.read++
	c.recycle()
	c.count(cmd.stage, r)
	return r, c.heard(cmd, r)
}

// heard draws the conclusions from the reply to cmd.
func (c *Conn) heard(cmd command, r smtp.Reply) *Fault {
	switch {
	case r.Code == 421 && cmd.quiet:
		return newFault(cmd.stage, textLost, r, nil)
	case r.Code == 421: // RFC 5321 section 3.8: the server closes now
		c.close(newFault(cmd.stage, textLost, r, nil))
	case r.Class() == 3, cmd.stage == stageRset && r.Class() != 2:
		return nonsense(cmd.stage, r, nil)
	case cmd.stage == stageMail && !cmd.quiet && r.Class() != 2:
		c.open = false
	}
	return nil
}

// flush writes the next group of commands: one, or with PIPELINING as many as fit (RFC 2920 section 3.1).
func (c *Conn) flush(wait time.Duration) error {
	switch {
	case c.link.pending():
		return errOutOfTurn
	case c.inside:
		return errInside
	}
	n, from := c.sent, c.wrote
	for n < len(c.queue) && (n == c.sent || c.link.caps.Pipelining && c.queue[n].end-from <= maxGroup) {
		c.open = c.open || c.queue[n].stage == stageMail
		n++
	}
	c.sent, c.wrote = n, c.queue[n-1].end
	return c.link.write(c.out[from:c.wrote], until(wait))
}

// push queues the command whose line is the last in out.
func (c *Conn) push(stage string) {
	c.queue = append(c.queue, command{stage: stage, end: len(c.out)})
}

// truncate keeps the first n commands of the queue.
func (c *Conn) truncate(n int) {
	end := c.wrote
	if n > c.sent {
		end = c.queue[n-1].end
	}
	c.queue, c.out = c.queue[:n], c.out[:end]
}

// recycle takes the room of commands that are over.
func (c *Conn) recycle() {
	if c.read == len(c.queue) {
		c.queue, c.out = c.queue[:0], c.out[:0]
		c.read, c.sent, c.wrote = 0, 0, 0
	}
}

// fail closes the connection and returns f.
func (c *Conn) fail(f *Fault) *Fault {
	c.close(f)
	return f
}

// close ends the connection at once. Every later use is told why; what is unknown of a message is told once only.
func (c *Conn) close(why *Fault) {
	why.Address = c.link.address
	later := *why
	later.Unknown = false
	c.closed = &later
	c.link.drop()
}

// of is the wait for the reply to a queued command.
func (t *Timeouts) of(stage string) time.Duration {
	switch stage {
	case stageRset, stageNoop:
		return t.Reset
	case stageBody:
		return t.Block
	}
	return t.Command
}
