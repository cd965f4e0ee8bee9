package smtp

import (
	"bytes"
	"errors"
)

// ErrNotReply says that what a server sent is not an SMTP reply.
var ErrNotReply = errors.New("not an SMTP reply")

const (
	maxServerLine  = 2048     // octets of a line that a server may send, CR LF included
	maxServerReply = 16 << 10 // octets of a whole reply
)

// ReadReply reads one reply, possibly of several lines, from a server. Lines are told apart by LF (CR before it is
// dropped); all lines must carry the same code (RFC 5321 section 4.2.1). A reply of more than 100 lines, 2,048 octets a
// line or 16 KiB in all, or one that is not a reply, gives ErrNotReply; other errors are the Reader's. The text is cleaned as in
// Append. After an error the connection is of no more use.
func ReadReply(r *Reader) (Reply, error) {
	var room [512]byte // most replies fit, so that the text is the one allocation
	text, code, total := room[:0], 0, 0
	for n := 1; n <= maxReplyLines; n++ {
		line, err := r.serverLine()
		if err != nil {
			return Reply{}, err
		}
		c, more, ok := parseReplyLine(line)
		total += len(line)
		if !ok || n > 1 && c != code || total > maxServerReply { // RFC 5321 section 4.2.1: the same code on each line
			return Reply{}, ErrNotReply
		}
		code = c
		if n > 1 {
			text = append(text, '\n')
		}
		text = append(text, line[min(len(line), len("250 ")):]...)
		if !more {
			return Reply{Code: code, Text: clean(string(text))}, nil
		}
	}
	return Reply{}, ErrNotReply
}

// serverLine is the next line up to LF, without the LF and one CR before it. It is valid until the next call on r.
func (r *Reader) serverLine() ([]byte, error) {
	for {
		b := r.buf[r.start:r.end]
		i := bytes.IndexByte(b, '\n')
		if i >= maxServerLine || i < 0 && len(b) >= maxServerLine {
			return nil, ErrNotReply
		}
		if i >= 0 {
			r.Consume(i + 1)
			return bytes.TrimSuffix(b[:i], []byte{'\r'}), nil
		}
		if err := r.await(); err != nil {
			return nil, err
		}
	}
}

// parseReplyLine reads the code at the start of a reply line (RFC 5321 section 4.2); more says that another line follows.
func parseReplyLine(line []byte) (code int, more, ok bool) {
	if len(line) < 3 {
		return 0, false, false
	}
	for _, c := range line[:3] {
		if !isDigit(c) {
			return 0, false, false
		}
		code = 10*code + int(c-'0')
	}
	ok = code >= 200 && code < 600
	if len(line) > 3 {
		more = line[3] == '-'
		ok = ok && (more || line[3] == ' ')
	}
	return code, more, ok
}
