package smtp

import "bytes"

// Stuffer turns content into the data stream for DATA: a dot is put before each dot at the start of a line (RFC 5321 section 4.5.2). The zero
// Stuffer is ready and keeps its place over calls. Content from Decoder and Chunks has no bare LF; if it did, a dot
// behind one would get its dot too, so that no reader can ever see an end mark in content.
type Stuffer struct {
	tail [2]byte // the last two bytes so far
	some bool    // there was content
}

// Split appends to dst the pieces of src with single dots between them, ready for one vectored write; src is not copied: where a
// dot is added, the piece before ends with the dot that the next piece starts with.
// It does not allocate while dst has room.
func (s *Stuffer) Split(dst [][]byte, src []byte) [][]byte {
	if len(src) == 0 {
		return dst
	}
	from := 0
	for at := nextDot(src, 0); at < len(src); at = nextDot(src, at+1) {
		if at > 0 && src[at-1] == '\n' || at == 0 && (!s.some || s.tail[1] == '\n') {
			dst = append(dst, src[from:at+1])
			from = at
		}
	}
	s.remember(src)
	return append(dst, src[from:])
}

// Pass is for content that goes out as it stands, since none of its lines starts with a dot.
func (s *Stuffer) Pass(src []byte) {
	if len(src) > 0 {
		s.remember(src)
	}
}

// nextDot is the place of the next dot in b from at on; len(b) where there is none. Most content has fewer dots than lines.
func nextDot(b []byte, at int) int {
	dot := bytes.IndexByte(b[at:], '.')
	if dot < 0 {
		return len(b)
	}
	return at + dot
}

// remember keeps the last two bytes of what was sent.
func (s *Stuffer) remember(src []byte) {
	s.some = true
	if n := len(src); n >= 2 {
		s.tail = [2]byte(src[n-2:])
	} else {
		s.tail = [2]byte{s.tail[1], src[0]}
	}
}

// End is the end mark: ".CR LF", with a CR LF before it where the content did not end with one. The Stuffer is then ready
// for the next message.
func (s *Stuffer) End() []byte {
	ended := !s.some || s.tail == [2]byte{'\r', '\n'} // RFC 5321 section 4.1.1.4: the CR LF of the last line counts
	*s = Stuffer{}
	if ended {
		return []byte(".\r\n")
	}
	return []byte("\r\n.\r\n")
}
