package dkim

import (
	"bytes"
	"hash"
	"slices"
	"strings"

	"gatepost/policy"
)

// index is the fields of a header block in order.
type index []policy.Field

func newIndex(head []byte) index { return slices.AppendSeq(make(index, 0, 32), policy.Fields(head)) }

// write hashes the header as a signature covers it (RFC 6376 section 3.7): the fields that its h= names, each time the next from the bottom of those with
// this name, then the signature itself without what its b= says.
func (x index) write(sum hash.Hash, s *signature) {
	places := make([]int, len(s.names))
	buf := make([]byte, 0, 512)
	for i, name := range s.names {
		below := len(x)
		for j := i - 1; j >= 0; j-- {
			if s.names[j] == name {
				below = places[j]
				break
			}
		}
		if places[i] = x.pick(name, below, s); places[i] < 0 { // RFC 6376 section 3.5: a field that is not there is signed as missing
			continue
		}
		buf = appendField(buf[:0], x[places[i]].Raw, s.headRelaxed)
		sum.Write(buf)
	}
	buf = appendField(buf[:0], withoutSign(s.raw), s.headRelaxed)
	sum.Write(bytes.TrimRight(buf, "\r\n"))
}

// pick is the place of the last field of a name before a place; -1 where there is none. RFC 6376 section 3.5: h= never means the signature itself.
func (x index) pick(name string, below int, s *signature) int {
	for i := below - 1; i >= 0; i-- {
		if x[i].Is(name) && &x[i].Raw[0] != &s.raw[0] {
			return i
		}
	}
	return -1
}

// appendField adds a field in its canonical form (RFC 6376 sections 3.4.1 and 3.4.2).
func appendField(dst, raw []byte, relaxed bool) []byte {
	if !relaxed {
		return append(dst, raw...)
	}
	name, value, _ := bytes.Cut(raw, []byte(":"))
	dst = append(dst, bytes.ToLower(bytes.TrimRight(name, wsp))...)
	dst = append(dst, ':')
	from := len(dst)
	space := false
	for _, c := range value {
		if strings.IndexByte(wsp, c) >= 0 {
			space = true
			continue
		}
		if space && len(dst) > from {
			dst = append(dst, ' ')
		}
		dst, space = append(dst, c), false
	}
	return append(dst, "\r\n"...)
}

// withoutSign is a signature's field without the value of its b= (RFC 6376 section 3.7).
func withoutSign(raw []byte) []byte {
	at := bytes.IndexByte(raw, ':') + 1
	for tag := range bytes.SplitAfterSeq(raw[at:], []byte(";")) {
		if name, _, ok := bytes.Cut(tag, []byte("=")); ok && string(bytes.Trim(name, wsp)) == "b" {
			rest := raw[at+len(bytes.TrimSuffix(tag, []byte(";"))):]
			return append(append([]byte(nil), raw[:at+len(name)+1]...), rest...)
		}
		at += len(tag)
	}
	return raw
}
