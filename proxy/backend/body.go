package backend

import (
	"errors"

	"gatepost/proxy/smtp"
)

const (
	blockSize = 64 << 10 // octets in one write of content
	blockRoom = 64       // behind a block, so that the end mark never needs a write of its own
	stuffStep = 8 << 10  // octets that are stuffed at a time, which bounds the list of pieces
)

var (
	errTooLong  = errors.New("the content is longer than its size")
	errTooShort = errors.New("the content is shorter than its size")
	errStopped  = errors.New("the server takes no more content")
)

// body gathers content into large writes. The last block is kept back until the end, so that a message that turns out to
// be broken was never sent whole.
type body struct {
	conn    *Conn
	buf     []byte // not written yet
	left    int64  // octets of content still to come
	stuffed bool   // for DATA
	stuffer smtp.Stuffer
	pieces  [][]byte
	began   bool  // a block was written
	stopped bool  // the server takes no more
	err     error // of the write that failed; nil where the server answered early
}

// newBody borrows a body for content of the size given; release gives it back.
func (c *Conn) newBody(size int64) *body {
	b := c.backend.bodies.Get().(*body)
	if b.buf == nil {
		b.buf = make([]byte, 0, blockSize+blockRoom)
	}
	*b = body{conn: c, buf: b.buf[:0], pieces: b.pieces, left: size}
	return b
}

// release gives b back, without what it points to of others.
func (c *Conn) release(b *body) {
	clear(b.pieces[:cap(b.pieces)])
	*b = body{buf: b.buf, pieces: b.pieces[:0]}
	c.backend.bodies.Put(b)
}

// send brings all of the content.
func (b *body) send(content Content) error {
	if err := content.Pieces(b.write); err != nil {
		return err
	}
	return b.end()
}

// write takes the next piece of content.
func (b *body) write(p []byte) error {
	if b.left -= int64(len(p)); b.left < 0 {
		return errTooLong
	}
	if !b.stuffed {
		return b.add(p)
	}
	for len(p) > 0 {
		n := min(len(p), stuffStep)
		b.pieces = b.stuffer.Split(b.pieces[:0], p[:n])
		for _, piece := range b.pieces {
			if err := b.add(piece); err != nil {
				return err
			}
		}
		p = p[n:]
	}
	return nil
}

// add copies p into blocks and writes each that is full when more comes.
func (b *body) add(p []byte) error {
	for len(p) > 0 {
		if len(b.buf) >= blockSize {
			if err := b.flush(); err != nil {
				return err
			}
		}
		n := min(len(p), blockSize-len(b.buf))
		b.buf = append(b.buf, p[:n]...)
		p = p[n:]
	}
	return nil
}

// end writes what is left, with the end mark in the same write. Content that is not whole is not ended.
func (b *body) end() error {
	switch {
	case b.left < 0:
		return errTooLong
	case b.left > 0:
		return errTooShort
	case b.stuffed:
		b.buf = append(b.buf, b.stuffer.End()...)
	}
	return b.flush()
}

// flush writes the block, unless the server has answered before it had all.
func (b *body) flush() error {
	if b.stopped {
		return errStopped
	}
	c := b.conn
	if b.began && c.link.answered() {
		b.stopped = true
		return errStopped
	}
	b.began = true
	if b.err = c.link.write(b.buf, c.by(c.backend.settings.Timeouts.Block)); b.err != nil {
		b.stopped = true
		return b.err
	}
	b.buf = b.buf[:0]
	return nil
}
