package smtp

import "bytes"

// Chunks does for the content of BDAT chunks what Decoder does for DATA, without dots and end mark: a lone dot on a line is content (RFC
// 3030 section 2). Bare LFs become CR LF and faults are counted; Near is never set. It is not for BODY=BINARYMIME, whose content is not lines. The zero
// Chunks is ready to use and keeps its place over calls.
type Chunks struct {
	Faults Faults
	heldCR bool // the last byte was a CR, which was not copied yet
}

// Decode appends the content in src to dst; all of src is used. A CR at the end is held back until its LF may come: call End after the last chunk.
// It does not allocate while dst has room: twice the length of src and one byte is enough.
func (c *Chunks) Decode(dst, src []byte) []byte {
	if len(src) == 0 {
		return dst
	}
	c.Faults.NUL += bytes.Count(src, []byte{0})
	if c.heldCR && src[0] == '\n' {
		c.heldCR = false
		dst = append(dst, "\r\n"...)
		src = src[1:]
	}
	dst = c.End(dst)
	if n := len(src); n > 0 && src[n-1] == '\r' {
		c.heldCR = true
		src = src[:n-1]
	}
	return c.lines(dst, src)
}

// lines appends src, which does not end in CR.
func (c *Chunks) lines(dst, src []byte) []byte {
	bareCR := bytes.Count(src, []byte{'\r'})
	from, at := 0, 0 // src[from:at] is content as it stands
	for {
		lf := bytes.IndexByte(src[at:], '\n')
		if lf < 0 {
			break
		}
		at += lf
		if at > 0 && src[at-1] == '\r' {
			bareCR--
		} else {
			c.Faults.BareLF++
			dst = append(dst, src[from:at]...)
			dst = append(dst, '\r')
			from = at
		}
		at++
	}
	c.Faults.BareCR += bareCR
	return append(dst, src[from:]...)
}

// End appends what was held back.
func (c *Chunks) End(dst []byte) []byte {
	if !c.heldCR {
		return dst
	}
	c.heldCR = false
	c.Faults.BareCR++
	return append(dst, '\r')
}
