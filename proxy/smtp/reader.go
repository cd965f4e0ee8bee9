package smtp

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

var (
	// ErrLineTooLong says that a line went over its limit before its end was seen.
	ErrLineTooLong = errors.New("line too long")
	// ErrBareLine says that a line held a CR, LF or NUL that is not part of its CR LF.
	ErrBareLine = errors.New("bare CR, LF or NUL in a line")
)

// The sizes of a Reader's buffer, in octets. An idle session holds the small one; the middle one takes the longest command
// line, so that a stranger's long line doesn't cost as much as content.
const (
	smallBuffer = 1 << 10
	lineBuffer  = 16 << 10
	largeBuffer = 64 << 10
)

// maxEmptyReads is how often a source may give neither a byte nor an error before it is taken for broken.
const maxEmptyReads = 100

// The pools that all sessions borrow from.
var (
	lineBuffers  = sync.Pool{New: func() any { return new([lineBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// Reader buffers what a peer sends. It holds a small buffer while commands are awaited and borrows a large one from a
// pool for content, so an idle session costs little. It is for one goroutine.
type Reader struct {
	src        io.Reader
	err        error  // came with the last bytes, due at the next read
	buf        []byte // small, or borrowed
	start, end int    // buf[start:end] is buffered
	seen       int    // the first of these that hold no LF for sure
	skipping   bool   // what comes up to CR LF is the rest of a faulty line
	skipped    int    // octets of that rest dropped so far
	small      [smallBuffer]byte
}

// NewReader reads from src.
func NewReader(src io.Reader) *Reader {
	r := &Reader{src: src}
	r.buf = r.small[:]
	return r
}

// Line returns the next command line without its CR LF. The slice is valid until the next call. Only CR LF ends a line.
// A line with a bare LF, CR or NUL gives ErrBareLine as soon as that byte is seen, and everything up to the next CR LF
// belongs to that line and is dropped, also when it arrives later: one line is never two commands. A line longer
// than limit octets (CR LF included) gives ErrLineTooLong, as does a dropped rest longer than that; the caller then ends the
// session. Other errors are the source's, unchanged.
func (r *Reader) Line(limit int) ([]byte, error) {
	for {
		if line, err := r.bufferedLine(limit); line != nil || err != nil {
			return line, err
		}
		if err := r.await(); err != nil {
			return nil, err
		}
	}
}

// bufferedLine is Line on what is buffered; nil and no error: more must be read.
func (r *Reader) bufferedLine(limit int) ([]byte, error) {
	if !r.skip() {
		if r.skipped > limit {
			return nil, ErrLineTooLong
		}
		return nil, nil
	}
	n, err := r.look()
	switch {
	case n > limit, n == 0 && err == nil && r.Buffered() >= limit:
		return nil, ErrLineTooLong
	case err != nil:
		r.skipping = true
		r.skip()
		return nil, err
	case n == 0:
		return nil, nil
	}
	end := r.start + n - len("\r\n")
	line := r.buf[r.start:end:end]
	r.Consume(n)
	return line, nil
}

// look finds the first line in what is buffered: n is its length with CR LF, or 0 where its end is not there yet. A CR, LF or
// NUL out of place is ErrBareLine.
func (r *Reader) look() (n int, err error) {
	b := r.buf[r.start:r.end]
	lf := bytes.IndexByte(b[r.seen:], '\n')
	if lf < 0 {
		fresh := b[max(r.seen-1, 0):] // a CR that came last could still have been the one of CR LF
		if len(fresh) > 0 && (hasBare(fresh[:len(fresh)-1]) || fresh[len(fresh)-1] == 0) {
			return 0, ErrBareLine
		}
		r.seen = len(b)
		return 0, nil
	}
	lf += r.seen
	if lf == 0 || b[lf-1] != '\r' || hasBare(b[:lf-1]) { // RFC 5321 section 2.3.8: CR LF alone ends a line
		return 0, ErrBareLine
	}
	return lf + 1, nil
}

func hasBare(b []byte) bool { return bytes.IndexByte(b, '\r') >= 0 || bytes.IndexByte(b, 0) >= 0 }

// skip drops the rest of a faulty line as far as it is buffered, and says whether there is nothing left to drop.
func (r *Reader) skip() bool {
	if !r.skipping {
		return true
	}
	b := r.buf[r.start:r.end]
	if i := bytes.Index(b, []byte("\r\n")); i >= 0 {
		r.Consume(i + 2)
		r.skipping, r.skipped = false, 0
		return true
	}
	n := len(b)
	if n > 0 && b[n-1] == '\r' {
		n-- // its LF may come
	}
	r.Consume(n)
	r.skipped += n
	return false
}

// Buffered is how many bytes have been read from the source and not been returned yet.
func (r *Reader) Buffered() int { return r.end - r.start }

// Peek returns at most n octets of what is buffered, and leaves them there. The slice is valid until the next call on the Reader.
func (r *Reader) Peek(n int) []byte {
	b := r.bytes()
	return b[:min(n, len(b))]
}

// HasLine says whether Line would return without reading from the source. It knows no limit: a line that is too long
// but not complete is none.
func (r *Reader) HasLine() bool {
	if !r.skip() {
		return false
	}
	n, err := r.look()
	return n > 0 || err != nil
}

// Fill returns what is buffered; with nothing buffered it reads once from the source into a large borrowed buffer.
// The slice is valid until the next call on the Reader. The caller says with Consume how much of it was used.
func (r *Reader) Fill() ([]byte, error) {
	if r.Buffered() > 0 {
		return r.bytes(), nil
	}
	if len(r.buf) < largeBuffer {
		r.move(largeBuffers.Get().(*[largeBuffer]byte)[:])
	}
	return r.More()
}

// More reads once from the source behind what is already buffered and returns all of it. With 64 KiB buffered and none
// consumed it gives ErrLineTooLong.
func (r *Reader) More() ([]byte, error) {
	if err := r.makeRoom(); err != nil {
		return nil, err
	}
	if err := r.read(); err != nil {
		return nil, err
	}
	return r.bytes(), nil
}

// Consume drops the first n buffered bytes, at most all of them.
func (r *Reader) Consume(n int) {
	r.start += min(n, r.Buffered())
	r.seen = 0
}

// Shrink gives a borrowed large buffer back to the pool; what is buffered is kept. Call it when content has ended.
func (r *Reader) Shrink() {
	switch n := r.Buffered(); {
	case n <= smallBuffer && len(r.buf) > smallBuffer:
		r.move(r.small[:])
	case n <= lineBuffer && len(r.buf) > lineBuffer:
		r.move(lineBuffers.Get().(*[lineBuffer]byte)[:])
	}
}

// Reset drops everything buffered and reads from src from now on (after STARTTLS: RFC 3207 section 4.2).
func (r *Reader) Reset(src io.Reader) {
	r.Consume(r.Buffered())
	r.Shrink()
	r.src, r.err, r.skipping, r.skipped = src, nil, false, 0
}

// bytes is what is buffered, closed to appends.
func (r *Reader) bytes() []byte { return r.buf[r.start:r.end:r.end] }

// await reads once for a line. A session that waits with nothing buffered holds no borrowed buffer.
func (r *Reader) await() error {
	if r.Buffered() == 0 {
		r.Shrink()
	}
	_, err := r.More()
	return err
}

// makeRoom moves what is buffered to the front, and into a larger buffer where it fills this one.
func (r *Reader) makeRoom() error {
	switch n := r.Buffered(); {
	case n < len(r.buf):
		if r.start > 0 {
			copy(r.buf, r.buf[r.start:r.end])
			r.start, r.end = 0, n
		}
	case n < lineBuffer:
		r.move(lineBuffers.Get().(*[lineBuffer]byte)[:])
	case n < largeBuffer:
		r.move(largeBuffers.Get().(*[largeBuffer]byte)[:])
	default:
		return ErrLineTooLong
	}
	return nil
}

// move takes what is buffered over to buf and gives the old buffer back.
func (r *Reader) move(buf []byte) {
	old := r.buf
	n := copy(buf, old[r.start:r.end])
	r.buf, r.start, r.end = buf, 0, n
	switch len(old) {
	case lineBuffer:
		lineBuffers.Put((*[lineBuffer]byte)(old))
	case largeBuffer:
		largeBuffers.Put((*[largeBuffer]byte)(old))
	}
}

// read reads once into the free end of the buffer. An error that comes with bytes is kept for the next read.
func (r *Reader) read() error {
	if err := r.err; err != nil {
		r.err = nil
		return err
	}
	for range maxEmptyReads {
		n, err := r.src.Read(r.buf[r.end:])
		if n > 0 {
			r.end += n
			r.err = err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}
