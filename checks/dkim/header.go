package dkim

import (
	"bytes"
	"hash"
	"strings"

	"gatepost/policy"
)

// index is the fields of a header block by their names in lower case, in order.
type index map[string][]policy.Field

func newIndex(head []byte) index {
	x := index{}
	for f := range policy.Fields(head) {
		name := string(bytes.ToLower(f.Name))
		x[name] = append(x[name], f)
	}
	return x
}

// write hashes the header as a signature covers it (RFC 6376 section 3.7): the fields that its h= names, each time the next from the bottom of those with
// this name, then the signature itself without what its b= says.
func (x index) write(sum hash.Hash, s *signature) {
	picked := map[string]int{}
	var buf []byte
	for _, name := range s.names {
		f, ok := x.pick(name, picked, s)
		if !ok { // RFC 6376 section 3.5: a field that is not there is signed as missing
			continue
		}
		buf = appendField(buf[:0], f.Raw, s.headRelaxed)
		sum.Write(buf)
	}
	buf = appendField(buf[:0], withoutSign(s.raw), s.headRelaxed)
	sum.Write(bytes.TrimRight(buf, "\r\n"))
}

// pick is the next field of a name. RFC 6376 section 3.5: h= never means the signature itself.
func (x index) pick(name string, picked map[string]int, s *signature) (policy.Field, bool) {
	list := x[name]
	for picked[name] < len(list) {
		picked[name]++
		if f := list[len(list)-picked[name]]; &f.Raw[0] != &s.raw[0] {
			return f, true
		}
	}
	return policy.Field{}, false
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
