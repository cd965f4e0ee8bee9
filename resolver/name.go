package resolver

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// RFC 1035 section 2.3.4, as text without the final dot.
const (
	maxLabel = 63
	maxName  = 253
)

// maxGiven is more than any name takes as it is given: no octet of an A-label stands for more than four in UTF-8. The
// mapping to A-labels takes quadratic time, so what is longer isn't mapped.
const maxGiven = 4 * maxName

// canonical gives a name as it is asked and kept: lower case, A-labels, no final dot, special characters escaped as in
// a zone file (so does the DNS library in what it reads). ok is false for what can't be a name.
func canonical(name string) (_ string, ok bool) {
	if wellFormed(name) && plain(name) {
		return name, true // The common case costs no memory.
	}
	if name = strings.TrimSuffix(name, "."); len(name) > maxGiven {
		return "", false
	}
	if !ascii(name) {
		// RFC 5891 section 5: a U-label is asked as its A-label. Underscores stay, so STD 3 can't be applied.
		lookup := idna.New(idna.MapForLookup(), idna.StrictDomainName(false))
		mapped, err := lookup.ToASCII(name)
		if err != nil || !utf8.ValidString(name) { // The library takes stray bytes for a letter.
			return "", false
		}
		name = mapped
	}
	if !wellFormed(name) {
		return "", false
	}
	return escape(strings.ToLower(name)), true
}

// wellFormed says whether the lengths of a name are in bounds and its bytes are printable ASCII.
func wellFormed(name string) bool {
	if len(name) > maxName {
		return false
	}
	label := 0
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.' && label == 0, c < ' ', c > '~':
			return false
		case c == '.':
			label = 0
		default:
			label++
		}
		if label > maxLabel {
			return false
		}
	}
	return label > 0
}

// plain says whether a name is asked just as it is.
func plain(name string) bool {
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' || special(c) {
			return false
		}
	}
	return true
}

func ascii(name string) bool {
	for i := range len(name) {
		if name[i] > '~' {
			return false
		}
	}
	return true
}

// special says whether c is written with a backslash in the text of a name. The DNS library does it for the same ones, and
// names are compared as text.
func special(c byte) bool {
	return strings.IndexByte(` '@;()"\`, c) >= 0
}

func escape(name string) string {
	var b strings.Builder
	b.Grow(len(name))
	for i := range len(name) {
		if special(name[i]) {
			b.WriteByte('\\')
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

// hostName gives a name of an answer as the caller sees it: lower case, without the final dot. ok is false where it has
// a byte that had to be escaped: a control byte, a quote, a dot inside a label.
func hostName(name string) (_ string, ok bool) {
	if strings.IndexByte(name, '\\') >= 0 {
		return "", false
	}
	return trimmed(name), true
}

// trimmed gives a name of an answer as questions have it.
func trimmed(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// shown gives a name as errors have it, which may end up in a log: short, and printable whatever the name is.
func shown(name string) string {
	if len(name) > maxName {
		name = name[:maxName]
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, name)
}
