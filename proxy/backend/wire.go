package backend

import (
	"encoding/binary"
	"net"
	"os"
	"time"
)

// wire is the socket as TLS reads it. It can be read without a wait, and knows where records end.
type wire struct {
	net.Conn
	ready  func(net.Conn) bool // whether a record that has not begun is read now; nil: wait for it
	by     time.Time           // with ready: how long to wait for the rest of one that has begun
	header [5]byte
	seen   int // octets of header
	left   int // octets of the record behind it that are still to come
}

// never is for wire.ready: TLS sees what it has read already.
func never(net.Conn) bool { return false }

// Read reads, or fails as at a deadline where nothing is ready. crypto/tls goes on behind such an error, and loses nothing.
func (w *wire) Read(p []byte) (int, error) {
	switch {
	case w.ready == nil:
	case w.midway():
		if err := w.SetReadDeadline(w.by); err != nil {
			return 0, err
		}
	case !w.ready(w.Conn):
		return 0, os.ErrDeadlineExceeded
	}
	n, err := w.Conn.Read(p)
	w.follow(p[:n])
	return n, err
}

// midway says that a record has begun and not ended.
func (w *wire) midway() bool { return w.seen > 0 || w.left > 0 }

// follow counts p. RFC 8446 section 5.1, RFC 5246 section 6.2.1: the header ends in the length of what follows.
func (w *wire) follow(p []byte) {
	for len(p) > 0 {
		if w.left > 0 {
			n := min(w.left, len(p))
			w.left -= n
			p = p[n:]
			continue
		}
		n := copy(w.header[w.seen:], p)
		w.seen += n
		p = p[n:]
		if w.seen == len(w.header) {
			w.seen, w.left = 0, int(binary.BigEndian.Uint16(w.header[3:]))
		}
	}
}
