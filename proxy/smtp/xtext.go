package smtp

import "unicode/utf8"

// isXtext says whether b is xtext (RFC 3461 section 4) of printable ASCII. What decodes to a control byte is refused here,
// so that no reader of ours can ever put a line end on a wire by decoding.
func isXtext(b []byte) bool {
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c <= ' ' || c >= 0x7f || c == '=' {
			return false
		}
		if c != '+' {
			continue
		}
		high, low := hexAt(b, i+1), hexAt(b, i+2)
		if high < 0 || low < 0 || high<<4|low < ' ' || high<<4|low >= 0x7f {
			return false
		}
		i += 2
	}
	return true
}

// decodeXtext is the text that b stands for. It must be xtext, and the text free of control characters, but unlike isXtext
// this one takes UTF-8.
func decodeXtext(b []byte) (text string, ok bool) {
	plain := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c <= ' ' || c >= 0x7f || c == '=' {
			return "", false
		}
		if c == '+' {
			high, low := hexAt(b, i+1), hexAt(b, i+2)
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		plain = append(plain, c)
	}
	text = string(plain)
	return text, isPrintable(text)
}

// appendXtext adds s as xtext.
func appendXtext(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF" // RFC 3461 section 4: upper case
	for i := range len(s) {
		c := s[i]
		if c > ' ' && c < 0x7f && c != '+' && c != '=' {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '+', digits[c>>4], digits[c&15])
	}
	return dst
}

// isUTF8Addr says whether b is the address in an ORCPT of type utf-8 (RFC 6533 section 3): xtext with \x{HEX} for other
// characters, or these as they are where MAIL had SMTPUTF8. Like xtext it must not stand for a control character.
func isUTF8Addr(b []byte, raw bool) bool {
	for len(b) > 0 {
		switch c := b[0]; {
		case c >= utf8.RuneSelf && raw:
			b = b[1:] // isLegal has seen to UTF-8 and controls
		case c == '\\':
			n := escapeLen(b)
			if n == 0 {
				return false
			}
			b = b[n:]
		case c == '+':
			if len(b) < 3 || !isXtext(b[:3]) {
				return false
			}
			b = b[3:]
		case c > ' ' && c < 0x7f && c != '=':
			b = b[1:]
		default:
			return false
		}
	}
	return true
}

// escapeLen is the length of the \x{HEX} at the start of b; 0 where it is broken or stands for a control character.
func escapeLen(b []byte) int {
	if len(b) < len(`\x{A}`) || b[1] != 'x' || b[2] != '{' {
		return 0
	}
	c := rune(0)
	for i := 3; i < len(b) && i <= 9; i++ {
		if b[i] == '}' && i > 3 && !isControl(c) && utf8.ValidRune(c) {
			return i + 1
		}
		digit := hexAt(b, i)
		if digit < 0 {
			return 0
		}
		c = c<<4 | rune(digit)
	}
	return 0
}

// hexAt is the value of the hexadecimal digit at b[i], in any case; -1 where there is none.
func hexAt(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch c := upper(b[i]); {
	case isDigit(c):
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
