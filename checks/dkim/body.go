package dkim

import (
	"bytes"
	"crypto/sha256"
	"hash"
)

// bodyHash hashes a body in one canonical form (RFC 6376 section 3.4), once for all signatures that ask for this form. Stretches that are
// canonical as they stand, nearly all of most mail, are hashed where they lie. A bare CR or LF, which BINARYMIME lets through, is an octet as any other.
type bodyHash struct {
	sum     hash.Hash
	relaxed bool
	out     []byte // to be hashed, where it could not be hashed in place

	// What is kept back, since it may be the end of a line or of the body:
	lines int  // ends of lines
	space bool // and white space behind them; in the relaxed form only
	cr    bool // and a CR behind that
	some  bool // the body has more than what is kept back
}

// outSize bounds what is gathered before it is hashed, in octets; blockSize is how much of a body is looked at in one piece.
const (
	outSize   = 4 << 10
	blockSize = 2 << 10
)

func newBodyHash(relaxed bool) *bodyHash {
	return &bodyHash{sum: sha256.New(), relaxed: relaxed}
}

// write adds p to the body.
func (b *bodyHash) write(p []byte) {
	for len(p) > 0 {
		n := min(len(p), blockSize)
		b.block(p[:n])
		p = p[n:]
	}
}

// block adds a piece whose middle is hashed in place where it is canonical.
func (b *bodyHash) block(p []byte) {
	white := "\r\n"
	if b.relaxed {
		white = wsp
	}
	rest := bytes.TrimLeft(p, white)
	b.octets(p[:len(p)-len(rest)])
	middle := bytes.TrimRight(rest, white)
	switch {
	case len(middle) == 0:
	case b.canonical(middle):
		b.release()
		b.drain()
		b.sum.Write(middle)
	default:
		b.octets(middle)
	}
	b.octets(rest[len(middle):])
}

// canonical says whether p, which neither starts nor ends with white space, is surely canonical as it stands, whatever surrounds it.
func (b *bodyHash) canonical(p []byte) bool {
	return !b.relaxed || bytes.IndexByte(p, '\t') < 0 && !bytes.Contains(p, []byte("  ")) && !bytes.Contains(p, []byte(" \r"))
}

// octets adds p octet by octet.
func (b *bodyHash) octets(p []byte) {
	for _, c := range p {
		switch {
		case c == '\n' && b.cr:
			b.space, b.cr = false, false
			b.lines++
		case c == '\r' && !b.cr:
			b.cr = true
		case b.relaxed && (c == ' ' || c == '\t') && !b.cr:
			b.space = true
		default:
			b.octet(c)
		}
	}
}

// octet adds one that shows that what was kept back is not the end.
func (b *bodyHash) octet(c byte) {
	b.release()
	switch {
	case c == '\r':
		b.cr = true
		return
	case b.relaxed && (c == ' ' || c == '\t'):
		b.space = true
		return
	case len(b.out) >= outSize:
		b.drain()
	}
	b.out = append(b.out, c)
}

// release adds what was kept back.
func (b *bodyHash) release() {
	b.some = true
	for ; b.lines > 0; b.lines-- {
		if len(b.out) >= outSize {
			b.drain()
		}
		b.out = append(b.out, "\r\n"...)
	}
	if b.space {
		b.out = append(b.out, ' ')
	}
	if b.cr {
		b.out = append(b.out, '\r')
	}
	b.space, b.cr = false, false
}

// drain hashes what was gathered.
func (b *bodyHash) drain() {
	b.sum.Write(b.out)
	b.out = b.out[:0]
}

// end is the hash of the body, which has come whole. Empty lines at its end do not count, but for one CR LF: of an empty body in the
// simple form, and of any other (RFC 6376 sections 3.4.3 and 3.4.4).
func (b *bodyHash) end() []byte {
	if b.cr {
		b.release()
	}
	if b.some || !b.relaxed {
		b.out = append(b.out, "\r\n"...)
	}
	b.drain()
	return b.sum.Sum(nil)
}
