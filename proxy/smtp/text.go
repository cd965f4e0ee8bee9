package smtp

import (
	"strings"
	"unicode/utf8"
)

// isLegal says whether b may stand in a command line: no control character but tab, and bytes over 127 in UTF-8 only. The
// controls of Latin-1 count as controls, for some terminals obey them.
func isLegal(b []byte) bool {
	for i, c := range b {
		if c >= utf8.RuneSelf {
			return isLegalUTF8(b[i:])
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func isLegalUTF8(b []byte) bool {
	for len(b) > 0 {
		c, size := utf8.DecodeRune(b)
		if c == utf8.RuneError && size == 1 || isControl(c) && c != '\t' {
			return false
		}
		b = b[size:]
	}
	return true
}

// isPrintable says whether s is UTF-8 without any control character.
func isPrintable(s string) bool { return isLegal([]byte(s)) && strings.IndexByte(s, '\t') < 0 }

// isFold says whether b is the upper-case ASCII word, in any case. Unlike bytes.EqualFold it knows ASCII alone, so no
// Kelvin sign is a K.
func isFold(b []byte, word string) bool { return len(b) == len(word) && hasFoldPrefix(b, word) }

// hasFoldPrefix says whether b starts with the upper-case ASCII word, in any case.
func hasFoldPrefix(b []byte, word string) bool {
	if len(b) < len(word) {
		return false
	}
	for i := range len(word) {
		if upper(b[i]) != word[i] {
			return false
		}
	}
	return true
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isAlnum(c byte) bool { return isDigit(c) || upper(c) >= 'A' && upper(c) <= 'Z' }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isASCII says whether no byte of s is over 127.
func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// trimBlanks drops spaces and tabs at the start of b.
func trimBlanks(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	return b
}

// nextWord is b up to the first space or tab, and what follows the white space behind it.
func nextWord(b []byte) (word, rest []byte) {
	for i, c := range b {
		if isBlank(c) {
			return b[:i], trimBlanks(b[i:])
		}
	}
	return b, nil
}

// parseDigits reads b as a decimal number without a sign, of at most max digits, that fits an int64.
func parseDigits(b []byte, max int) (n int64, ok bool) {
	if len(b) == 0 || len(b) > max {
		return 0, false
	}
	for _, c := range b {
		digit := int64(c) - '0'
		if !isDigit(c) || n > (1<<63-1-digit)/10 {
			return 0, false
		}
		n = 10*n + digit
	}
	return n, true
}
