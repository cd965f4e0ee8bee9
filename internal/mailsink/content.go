package mailsink

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// piece is how much of a chunk is read between two events of the body stage, in octets.
const piece = 4096

func (c *session) data(arg, line string) error {
	own := "354 End data with <CR><LF>.<CR><LF>"
	switch {
	case arg != "":
		own = "501 5.5.4 DATA takes no argument"
	case !c.mailed || c.chunked:
		own = "503 5.5.1 Out of sequence"
	case len(c.tx.Recipients) == 0:
		// RFC 2920 section 3.1: in a group whose every RCPT was refused, DATA is refused too.
		own = "554 5.5.1 No valid recipients"
	case c.binary:
		// RFC 3030 section 3: BINARYMIME goes with BDAT alone.
		own = "503 5.5.1 BINARYMIME wants BDAT"
	}
	sent, err := c.answer(StageData, line, own)
	if err != nil || class(sent) != '3' {
		return err
	}
	if err := c.readData(); err != nil {
		return err
	}
	return c.finish("DATA")
}

// readData reads content up to the end mark and undoes the dot stuffing.
func (c *session) readData() error {
	lineStart, last := true, byte(0)
	for {
		p, err := c.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if lineStart && p[0] == '.' {
			if c.endMark(p) {
				return nil
			}
			p = p[1:] // RFC 5321 section 4.5.2
		}
		if err := c.take(p); err != nil {
			return err
		}
		lineStart, last = c.atLineStart(last, p)
	}
}

// endMark reports whether the line p, which begins with a dot, ends the content.
func (c *session) endMark(p []byte) bool {
	return bytes.Equal(p, []byte(".\r\n")) || c.sink.Lenient && bytes.Equal(p, []byte(".\n"))
}

// atLineStart reports whether a line begins behind p, and gives the last octet of p; last is the one before p.
func (c *session) atLineStart(last byte, p []byte) (bool, byte) {
	// p is never empty: a stuffed dot has its line's end behind it, or fills the buffer together with more.
	n := len(p)
	if n > 1 {
		last = p[n-2]
	}
	return p[n-1] == '\n' && (last == '\r' || c.sink.Lenient), p[n-1]
}

// take keeps a piece of content while it is within the limit, and asks for a fault.
func (c *session) take(p []byte) error {
	c.octets += int64(len(p))
	if !c.tooLarge() {
		c.tx.Content = append(c.tx.Content, p...)
	}
	a, err := c.ask(StageBody, "")
	if err != nil {
		return err
	}
	return c.perform(a, a.Reply)
}

func (c *session) tooLarge() bool {
	return c.sink.MaxSize > 0 && c.octets > c.sink.MaxSize
}

func (c *session) bdat(arg, line string) error {
	size, last, ok := chunk(arg)
	if own := c.checkChunk(ok); own != "" {
		// What is a chunk and what a command behind it can't be told any more.
		_ = c.say(StageBdat, line, own)
		return errOver
	}
	if !c.mailed || len(c.tx.Recipients) == 0 {
		// RFC 3030 section 2: the octets of a refused chunk are read all the same.
		if _, err := io.CopyN(io.Discard, c.in, size); err != nil {
			return err
		}
		return c.say(StageBdat, line, "503 5.5.1 Out of sequence")
	}
	c.chunked = true
	if err := c.readChunk(size); err != nil {
		return err
	}
	if last {
		return c.finish("BDAT")
	}
	return c.chunkDone(size, line)
}

// checkChunk gives the reply to a BDAT that can't be taken at all; "" to others.
func (c *session) checkChunk(wellFormed bool) string {
	switch {
	case !c.announces("CHUNKING"):
		return "502 5.5.1 CHUNKING was not announced"
	case !wellFormed:
		return "501 5.5.4 Syntax: BDAT size [LAST]"
	}
	return ""
}

// chunk reads the argument of BDAT. RFC 3030 section 2: digits, then LAST at the last one.
func chunk(arg string) (size int64, last, ok bool) {
	digits, word, more := strings.Cut(arg, " ")
	n, err := strconv.ParseUint(digits, 10, 62)
	return int64(n), more, err == nil && (!more || strings.EqualFold(word, "LAST"))
}

func (c *session) readChunk(size int64) error {
	buf := make([]byte, min(size, piece))
	for size > 0 {
		n, err := c.in.Read(buf[:min(size, piece)])
		if err != nil {
			return err
		}
		size -= int64(n)
		if err := c.take(buf[:n]); err != nil {
			return err
		}
	}
	return nil
}

// chunkDone answers a chunk that is not the last. RFC 3030 section 2: a refused one ends the transaction.
func (c *session) chunkDone(size int64, line string) error {
	own := fmt.Sprintf("250 2.0.0 %d octets", size)
	if c.tooLarge() {
		own = "552 5.3.4 Message too large"
	}
	sent, err := c.answer(StageBdat, line, own)
	if class(sent) != '2' {
		c.clear()
	}
	return err
}

// finish answers the end of the content. The message counts from the moment a positive answer is certain, which is just
// before it is written.
func (c *session) finish(via string) error {
	c.sink.note(c.id, 'D', fmt.Sprintf("%d octets", c.octets))
	defer c.clear()
	a, err := c.ask(StageEnd, "")
	if err != nil {
		return err
	}
	reply := a.Reply
	if reply == "" && c.tooLarge() {
		reply = "552 5.3.4 Message too large"
	}
	if a.Commit || !a.silent() && (reply == "" || class(reply) == '2') {
		own := c.commit(via)
		if reply == "" {
			reply = own
		}
	}
	return c.perform(a, reply)
}

// commit makes the message count and gives the answer that says so, or says why it does not.
func (c *session) commit(via string) string {
	m := c.complete(via)
	n, err := c.sink.commit(m)
	if err != nil {
		return "451 4.3.0 Could not be stored"
	}
	if c.sink.OnMessage != nil {
		c.sink.OnMessage(m.copy())
	}
	return fmt.Sprintf("250 2.0.0 Ok: queued as %d", n)
}

// complete adds to the transaction what the session knows.
func (c *session) complete(via string) Message {
	m := c.tx
	m.Session, m.Via, m.TLS = c.id, via, c.secure
	m.Client, m.Dest = c.addresses()
	m.ClientName, m.Login, m.Proto = c.told.name, c.told.login, c.told.proto
	m.Helo = c.helo
	if c.told.helo != "" {
		m.Helo = c.told.helo
	}
	return m
}
