package dkim

import (
	"errors"
	"strings"
)

var (
	errTagSyntax = errors.New("its tags cannot be read")
	errTagTwice  = errors.New("a tag stands twice")
)

// parseTags reads a tag list (RFC 6376 section 3.2) as a signature and a key record have it. White space around names and values is
// dropped, that inside a value is kept. An empty element is passed over, since some signers end their list in two semicolons.
func parseTags(s string) (map[string]string, error) {
	tags := map[string]string{}
	for spec := range strings.SplitSeq(s, ";") {
		spec = strings.Trim(spec, wsp)
		if spec == "" {
			continue
		}
		name, value, ok := strings.Cut(spec, "=")
		name, value = strings.TrimRight(name, wsp), strings.TrimLeft(value, wsp)
		if !ok || !isTagName(name) || !isTagValue(value) {
			return nil, errTagSyntax
		}
		if _, twice := tags[name]; twice { // RFC 6376 section 3.2: the whole list is invalid
			return nil, errTagTwice
		}
		tags[name] = value
	}
	return tags, nil
}

// wsp is what folding white space is made of.
const wsp = " \t\r\n"

func isTagName(s string) bool {
	for i, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// isTagValue allows octets over 127 too (RFC 8616 section 5: internationalised signatures).
func isTagValue(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f {
			return false
		}
	}
	return true
}

// solid is s without white space, which may stand anywhere in many values.
func solid(s string) string {
	if !strings.ContainsAny(s, wsp) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if strings.IndexByte(wsp, s[i]) < 0 {
			b = append(b, s[i])
		}
	}
	return string(b)
}
