package backend

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"gatepost/proxy/smtp"
)

const (
	blockSize = 64 << 10 // octets in one write of content
	blockRoom = 64       // behind a block, so that the end mark never needs a write of its own
	stuffStep = 8 << 10  // octets that are stuffed at a time, which bounds the list of pieces

	largePiece = blockSize / 2 // octets that are worth a write of their own
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
	data    bool   // for DATA, which has an end mark
	stuffed bool   // and dots are to be put before dots
	part    bool   // more comes behind it: no end mark
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
	if err := content.Pieces(b); err != nil {
		return err
	}
	return b.end()
}

// Write takes the next piece of content.
func (b *body) Write(p []byte) error {
	if b.left -= int64(len(p)); b.left < 0 {
		return errTooLong
	}
	if !b.stuffed {
		b.stuffer.Pass(p)
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

// add copies p into blocks and writes each that is full when more comes. Large pieces are not copied: they are written behind what
// stands before them, in the same call where the socket can do that.
func (b *body) add(p []byte) error {
	for len(p) > 0 {
		if len(b.buf) >= blockSize {
			if err := b.flush(); err != nil {
				return err
			}
		}
		large := len(p) > blockSize || len(p) >= largePiece && b.left > 0
		if large && (len(b.buf) == 0 || b.conn.link.gathers()) {
			n := min(len(p), blockSize)
			if err := b.put(p[:n]); err != nil {
				return err
			}
			p = p[n:]
			continue
		}
		n := min(len(p), blockSize-len(b.buf))
		b.buf = append(b.buf, p[:n]...)
		p = p[n:]
	}
	return nil
}

// File takes n octets of a file. Where nothing in them changes and nothing stands between, the system sends them without a copy.
func (b *body) File(f *os.File, n int64) error {
	socket, ok := b.conn.link.conn.(*net.TCPConn)
	if !ok || b.stuffed {
		return b.copyFile(f, n)
	}
	if b.left -= n; b.left < 0 {
		return errTooLong
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := b.passEnd(f, n); err != nil {
		return err
	}
	for n > 0 {
		if err := b.flush(); err != nil { // what came before, and a look whether the server still listens
			return err
		}
		step := min(n, fileStep)
		if err := b.sendFile(socket, f, step); err != nil {
			return err
		}
		n -= step
	}
	return nil
}

// passEnd tells the stuffer how a file ends that it does not see.
func (b *body) passEnd(f *os.File, n int64) error {
	var end [2]byte
	last := end[:min(n, 2)]
	if _, err := f.ReadAt(last, n-int64(len(last))); err != nil {
		return fmt.Errorf("read the spool file: %w", err)
	}
	b.stuffer.Pass(last)
	return nil
}

// fileStep is how many octets of a file are sent under one deadline.
const fileStep = 4 << 20

func (b *body) sendFile(socket *net.TCPConn, f *os.File, n int64) error {
	if b.err = socket.SetWriteDeadline(b.conn.by(b.conn.backend.settings.Timeouts.Block)); b.err != nil {
		b.stopped = true
		return b.err
	}
	sent, err := socket.ReadFrom(&io.LimitedReader{R: f, N: n})
	switch {
	case err != nil:
		b.stopped, b.err = true, err
	case sent < n:
		err = io.ErrUnexpectedEOF // the file is shorter than it was
	}
	return err
}

// copyFile reads n octets of a file as pieces.
func (b *body) copyFile(f *os.File, n int64) error {
	p := make([]byte, blockSize)
	for at := int64(0); at < n; {
		k, err := f.ReadAt(p[:min(blockSize, n-at)], at)
		if k == 0 && err != nil {
			return fmt.Errorf("read the spool file: %w", err)
		}
		if err := b.Write(p[:k]); err != nil {
			return err
		}
		at += int64(k)
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
	case b.data && !b.part:
		b.buf = append(b.buf, b.stuffer.End()...)
	case len(b.buf) == 0 && !b.stopped: // a file was the last: the server has all, and its answer is no early one
		return nil
	}
	return b.flush()
}

// flush writes the block.
func (b *body) flush() error { return b.put(nil) }

// put writes the block and p behind it, unless the server has answered before it had all.
func (b *body) put(p []byte) error {
	if b.stopped {
		return errStopped
	}
	c := b.conn
	if b.began && c.link.answered() {
		b.stopped = true
		return errStopped
	}
	b.began = true
	if len(b.buf)+len(p) == 0 {
		return nil
	}
	b.err = c.link.writeBoth(b.buf, p, c.by(c.backend.settings.Timeouts.Block))
	b.buf = b.buf[:0]
	if b.err != nil {
		b.stopped = true
	}
	return b.err
}
