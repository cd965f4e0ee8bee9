package backend

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"gatepost/proxy/smtp"
)

// earlyWait is how long we look for a reply after the server stopped taking content.
const earlyWait = time.Second

// Content is a message to be sent: the headers that we put on top, and what came in.
type Content interface {
	// Size is the number of octets that Pieces gives in all.
	Size() int64
	// Dotted is false where it is known that no line starts with a dot, and that the last one ends in CR LF.
	Dotted() bool
	// Pieces gives to for consecutive pieces of the content until all is given or to returns an error, which it returns.
	Pieces(to Sink) error
}

// Sink takes content.
type Sink interface {
	// Write takes a piece, which is valid during the call only.
	Write(p []byte) error
	// File takes n octets of a file from its start on.
	File(f *os.File, n int64) error
}

// FinalBy sets the time by which the next Send is over, whatever its own waits: the sender waits for our reply from its
// dot on. The zero time sets no such bound.
func (c *Conn) FinalBy(t time.Time) { c.finalBy = t }

// Send brings the content of a transaction with at least one recipient taken: BDAT in one chunk where the server has
// CHUNKING, else DATA with dots stuffed. It returns the backend's final reply as it came; only a 2xx commits. The error is
// a *Fault. Binary content has no way but BDAT: without CHUNKING it is a Fault with 451 4.3.0, and nothing is sent.
//
// A reply to DATA other than 354 is returned as the final reply when it is 4xx or 5xx; any other is a Fault with
// 451 4.3.0, and no content is sent. A 4xx or 5xx that comes before all content was sent is the final reply too, and the
// connection is closed after it, as after a 421; a 2xx so early is a Fault, and so is any reply but 421 that comes before
// BDAT. An error of Content.Pieces, or content that is not of its Size, aborts the connection without an end mark and is
// returned wrapped in a Fault of stage "body" with 451 4.3.0. A final reply that is followed by a reset still counts.
// Writes are large: headers and first content go in one.
//
// Behind a Part the content is what is left, and the reply may be the refusal of that part.
func (c *Conn) Send(content Content) (smtp.Reply, error) {
	defer c.settle()
	if r, ok, err := c.send(content, false); !ok {
		return r, err
	}
	return c.final()
}

// Part brings a part of the content, as Send brings the last: as a BDAT chunk of its own, or behind DATA without the end mark. The server
// takes nothing of a message before its end. Where that is not to come, Abort ends the connection.
//
// It waits for no reply but that to DATA, and that to the part before. ok says that there was no refusal: else there is a reply or an error as
// those of Send, and no more of the content is taken. A part of nothing is a sign that we are there, unless DATA was begun.
func (c *Conn) Part(content Content) (r smtp.Reply, ok bool, err error) {
	defer c.settle()
	return c.send(content, true)
}

// send writes content, or a part of it.
func (c *Conn) send(content Content, part bool) (r smtp.Reply, ok bool, err error) {
	if r, ok, err := c.partReply(); !ok {
		return r, false, err
	}
	switch {
	case c.closed != nil:
		return smtp.Reply{}, false, c.closed
	case len(c.queue) > 0:
		return smtp.Reply{}, false, c.fail(nonsense(stageData, smtp.Reply{}, errNotRead))
	case c.binary && !c.link.caps.Chunking: // RFC 3030 section 3; behind DATA its lines could end the message
		return smtp.Reply{}, false, c.fail(nonsense(stageData, smtp.Reply{}, errBinary))
	case !c.link.caps.Chunking:
		return c.sendData(content, part)
	case c.link.answered():
		r, err := c.early(stageData, nil)
		return r, false, err
	}
	return c.sendChunk(content, part)
}

// partReply reads the reply to the chunk before, where there was one.
func (c *Conn) partReply() (r smtp.Reply, ok bool, err error) {
	if c.read == len(c.queue) || c.queue[c.read].stage != stageBody {
		return smtp.Reply{}, true, nil
	}
	r, err = c.Reply()
	return r, err == nil && r.Class() == 2, err
}

// sendChunk sends the content as one BDAT chunk, its command and a short message in one write (RFC 3030 section 2).
func (c *Conn) sendChunk(content Content, part bool) (r smtp.Reply, ok bool, err error) {
	if part && content.Size() == 0 { // Postfix and Exim refuse a chunk of nothing that is not the last
		err = c.KeepAlive()
		return smtp.Reply{}, err == nil, err
	}
	b := c.newBody(content.Size())
	b.buf = append(b.buf, "BDAT "...)
	b.buf = strconv.AppendInt(b.buf, content.Size(), 10)
	if !part {
		b.buf = append(b.buf, " LAST"...)
	}
	b.buf = append(b.buf, "\r\n"...)
	if r, ok, err = c.transmit(b, content); ok && part {
		c.push(stageBody)
		c.sent++
	}
	return r, ok, err
}

// sendData sends DATA, unless that was done, and, behind a 354, the content with dots stuffed.
func (c *Conn) sendData(content Content, part bool) (r smtp.Reply, ok bool, err error) {
	if !c.inside {
		if r, ok, err = c.beginData(); !ok {
			return r, false, err
		}
	}
	if c.inside && c.link.answered() || c.link.pending() { // it came before any content
		r, err = c.early(stageBody, nil)
		return r, false, err
	}
	b := c.newBody(content.Size())
	b.data, b.stuffed, b.part, b.stuffer = true, content.Dotted(), part, c.stuffer
	r, ok, err = c.transmit(b, content)
	c.inside = ok && part
	return r, ok, err
}

// beginData asks for the 354. What came out of turn is read as the reply.
func (c *Conn) beginData() (r smtp.Reply, ok bool, err error) {
	c.stuffer = smtp.Stuffer{}
	r, err = c.link.ask(append(c.out, "DATA\r\n"...), time.Until(c.by(c.backend.settings.Timeouts.Data)))
	switch {
	case err != nil:
		return smtp.Reply{}, false, c.fail(broken(stageData, err))
	case r.Code == 354:
		return r, true, nil
	case r.Class() >= 4:
		return r, false, c.ended(stageData, r)
	}
	return smtp.Reply{}, false, c.fail(nonsense(stageData, r, nil)) // RFC 5321 section 4.3.2: nothing but 354 asks for content
}

// transmit sends the content. Where the server did not take all of it, the reply or the error says why.
func (c *Conn) transmit(b *body, content Content) (r smtp.Reply, ok bool, err error) {
	c.midway = true
	err = b.send(content)
	stopped, cause := b.stopped, b.err
	c.stuffer = b.stuffer
	c.release(b)
	switch {
	case stopped:
		r, err = c.early(stageBody, cause)
		return r, false, err
	case err != nil:
		return smtp.Reply{}, false, c.fail(nonsense(stageBody, smtp.Reply{}, fmt.Errorf("read the content: %w", err)))
	}
	c.midway = false
	return smtp.Reply{}, true, nil
}

// final reads the reply after all was sent. Without one nobody knows whether the message was taken (RFC 1047).
func (c *Conn) final() (smtp.Reply, error) {
	r, err := c.link.reply(c.by(c.backend.settings.Timeouts.Final))
	var f *Fault
	switch {
	case err != nil:
		f = broken(stageFinal, err)
	case r.Class() == 3:
		f = nonsense(stageFinal, r, nil)
	default:
		c.open = c.open && r.Class() != 2
		c.count(stageFinal, r)
		return r, c.ended(stageFinal, r)
	}
	f.Unknown = true
	return smtp.Reply{}, c.fail(f)
}

// settle is what is done however Send ends, also by a panic of the content: whatever would be written behind half of a
// message would be taken for more of it.
func (c *Conn) settle() {
	c.finalBy = time.Time{}
	if c.midway {
		c.Abort()
	}
}

// early looks for the reply of a server that stopped taking content, or spoke before it had all; cause is the error of
// the write, if there was one. Whatever it says, the content can't be completed: the connection is closed without an end mark.
func (c *Conn) early(stage string, cause error) (smtp.Reply, error) {
	r, err := c.link.reply(until(earlyWait))
	if cause == nil {
		cause = err
	}
	switch {
	case err != nil:
		return smtp.Reply{}, c.fail(broken(stage, cause))
	case r.Class() < 4, stage == stageData && r.Code != 421: // nothing was taken, or refused before it began, whatever the server says
		return smtp.Reply{}, c.fail(nonsense(stage, r, errOutOfTurn))
	}
	c.close(newFault(stage, textLost, r, cause))
	return r, nil
}

// ended closes the connection behind a 421 that ends a transaction; the reply still stands. The error is always nil.
func (c *Conn) ended(stage string, r smtp.Reply) error {
	if r.Code == 421 { // RFC 5321 section 3.8
		c.close(newFault(stage, textLost, r, nil))
	}
	return nil
}

// by is the end of a wait that begins now, or the time of FinalBy if that is earlier.
func (c *Conn) by(wait time.Duration) time.Time {
	t := until(wait)
	if !c.finalBy.IsZero() && c.finalBy.Before(t) {
		return c.finalBy
	}
	return t
}
