package smtp

import "bytes"

// Faults are the faults of form that a Decoder met; it goes on to the true end whatever it meets.
type Faults struct {
	BareLF int  // lines that ended in LF alone
	BareCR int  // CR without an LF behind it
	NUL    int  // NUL bytes
	Near   bool // a line that another server could take for the end mark: a dot with a bare LF, bare CR or NUL around it
}

// Decoder turns the data stream behind DATA into content: the dots that the sender added are taken away, and the end
// mark is found. Only CR LF . CR LF ends the content (RFC 5321 section 4.1.1.4; the CR LF of the DATA command
// counts, so ".CR LF" as the first bytes is an empty message). A bare LF becomes CR LF; a bare CR and NUL are copied
// and counted. The zero Decoder is ready to use and keeps its place over calls, so input may be cut anywhere.
//
// A dot is taken away only behind CR LF. Behind a bare LF it is content: servers don't agree on whether that is the start of
// a line. As the bare LF becomes CR LF, that dot stands at the start of a line then, and the Stuffer puts one before it.
type Decoder struct {
	Faults Faults
	Dotted bool // a line of the content may start with a dot; false: none does, and nothing is to be stuffed again
	place  place
	seg    segment
}

// place is where in a line the input was cut.
type place uint8

const (
	lineStart   place = iota // behind CR LF, or before the first byte
	behindDot                // behind a dot at the start of a line, which was not copied
	behindDotCR              // behind such a dot and a CR, which is held back
	behindCR                 // behind any other CR, which was copied
	inLine                   // anywhere else, the start of a line behind a bare LF included
)

// segment is what stands in the input since the last CR or LF, in the eyes of a server that takes either for the end of a
// line and does not see NUL.
type segment uint8

const (
	nothing  segment = iota // no byte but NUL
	loneDot                 // one dot, and NUL
	ordinary                // anything else
)

// add is the segment with b behind it.
func (s segment) add(b []byte) segment {
	for _, c := range b {
		switch {
		case s == ordinary:
			return ordinary
		case c == 0:
		case c == '.' && s == nothing:
			s = loneDot
		default:
			s = ordinary
		}
	}
	return s
}

// Decode appends the content in src to dst, and returns it with the number of bytes of src it used. done says that the end mark was
// read; what follows in src is then not content. With done false all of src is used. It does not allocate while dst
// has room: content grows by one byte at most for each byte of src, and by one more for what an earlier call held back.
func (d *Decoder) Decode(dst, src []byte) (out []byte, used int, done bool) {
	for used < len(src) && !done {
		var n int
		if dst, n = d.lines(dst, src[used:]); n == 0 {
			dst, n, done = d.step(dst, src[used:])
		}
		used += n
	}
	d.Faults.NUL += bytes.Count(src[:used], []byte{0})
	return dst, used, done
}

// Reset makes the decoder ready for the next message.
func (d *Decoder) Reset() { *d = Decoder{} }

// lines takes in the whole lines at the start of src that hold nothing odd; step does what it leaves.
func (d *Decoder) lines(dst, src []byte) (out []byte, used int) {
	if d.place != lineStart {
		return dst, 0
	}
	dots := 0
	if bytes.HasPrefix(src, []byte("..")) {
		dots = 1 // the one that the sender added
	}
	plain := plainLines
	if d.Faults.BareLF > 0 {
		plain = plainLinesAmongBare
	}
	n := plain(src[dots:], dots > 0)
	if n == 0 {
		return dst, 0
	}
	d.Dotted = d.Dotted || dots > 0
	return append(dst, src[dots:dots+n]...), dots + n
}

// plainLines is the length of the whole lines at the start of b that are content as they stand: each ends in CR LF, holds no other
// CR or LF, and starts with neither NUL nor a dot, which the first may where dotted is true.
func plainLines(b []byte, dotted bool) int {
	n, lines := 0, 0
	for n < len(b) && b[n] != 0 && (b[n] != '.' || dotted && n == 0) {
		cr := bytes.IndexByte(b[n:], '\r')
		if cr < 0 || n+cr+1 == len(b) || b[n+cr+1] != '\n' {
			break
		}
		n += cr + len("\r\n")
		lines++
	}
	if bytes.Count(b[:n], []byte{'\n'}) != lines { // counting all is far cheaper than a second search in each line
		return plainLinesAmongBare(b, dotted)
	}
	return n
}

// plainLinesAmongBare is plainLines where LF without CR may be frequent.
func plainLinesAmongBare(b []byte, dotted bool) int {
	n := 0
	for {
		line := b[n:]
		lf := bytes.IndexByte(line, '\n')
		if lf < 1 || line[lf-1] != '\r' || line[0] == 0 || line[0] == '.' && (n > 0 || !dotted) || bytes.IndexByte(line[:lf-1], '\r') >= 0 {
			return n
		}
		n += lf + 1
	}
}

// step takes in the next bytes of src, which is not empty, up to where the place changes.
func (d *Decoder) step(dst, src []byte) (out []byte, used int, done bool) {
	switch c := src[0]; {
	case d.place == lineStart && c == '.': // RFC 5321 section 4.5.2: the first dot is not content
		d.place = behindDot
		return dst, 1, false
	case d.place == behindDot && c == '\r':
		d.place = behindDotCR
		return dst, 1, false
	case d.place == behindDotCR && c == '\n': // RFC 5321 section 4.1.1.4: the end of mail data
		d.place = lineStart
		return dst, 1, true
	case d.place == behindDotCR:
		d.Faults.Near = true
		d.place = behindCR
		return append(dst, '\r'), 0, false
	case d.place == behindDot && c == '.':
		d.Dotted = true
	case d.place == behindCR && c == '\n':
		d.place = lineStart
		return append(dst, '\n'), 1, false
	}
	d.enterLine()
	dst, used = d.line(dst, src)
	return dst, used, false
}

// enterLine leaves the place behind a special byte, since an ordinary one follows.
func (d *Decoder) enterLine() {
	switch d.place {
	case lineStart:
		d.seg = nothing
	case behindDot:
		d.seg = loneDot
	case behindCR:
		d.Faults.BareCR++
		d.seg = nothing
	}
	d.place = inLine
}

// line takes in src up to and including the next LF, or all of it where there is none.
func (d *Decoder) line(dst, src []byte) (out []byte, used int) {
	lf := bytes.IndexByte(src, '\n')
	if lf < 0 {
		if d.segments(src) {
			d.place = behindCR
		}
		return append(dst, src...), len(src)
	}
	dst = append(dst, src[:lf]...)
	if d.segments(src[:lf]) {
		d.place = lineStart
		return append(dst, '\n'), lf + 1
	}
	d.Faults.BareLF++
	d.Dotted = true // what follows it is the start of a line now
	d.endSegment(nil)
	return append(dst, "\r\n"...), lf + 1
}

// segments looks at a line, or a part of one, without its LF, for bare CRs and lone dots between them. It says whether a CR
// stands at the end, which is not counted: it belongs to the LF that may follow.
func (d *Decoder) segments(line []byte) (endsInCR bool) {
	for {
		cr := bytes.IndexByte(line, '\r')
		if cr < 0 {
			d.seg = d.seg.add(line)
			return false
		}
		d.endSegment(line[:cr])
		if cr == len(line)-1 {
			return true
		}
		d.Faults.BareCR++
		line = line[cr+1:]
	}
}

// endSegment ends a segment with b. Here it can't be the end mark any more, so a lone dot is a near miss.
func (d *Decoder) endSegment(b []byte) {
	if d.seg.add(b) == loneDot {
		d.Faults.Near = true
	}
	d.seg = nothing
}
