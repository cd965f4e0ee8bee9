package smtp

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxReplyLine is the octets of a reply line with its code and CR LF: RFC 5321 section 4.5.3.1.5.
	maxReplyLine = 512
	// maxReplyText is what is left of a reply line for its text.
	maxReplyText = maxReplyLine - len("250 ") - len("\r\n")
	// maxReplyLines bounds a reply in both directions; no server known to us says as much as this.
	maxReplyLines = 100
)

// Reply is one SMTP reply, as sent or as received (RFC 5321 section 4.2).
// It is comparable, and it is an error: a parser refuses input by returning the reply that the sender should get.
type Reply struct {
	Code int    // 200 to 599; 0 is no reply
	Text string // what follows the code; "\n" parts the lines of a multi-line reply; an enhanced status code stands at the start of each
}

// Class is the first digit of the code: 2, 3, 4 or 5; 0 for no reply.
func (r Reply) Class() int { return r.Code / 100 }

// Error makes a Reply usable as an error: code and text on one line.
func (r Reply) Error() string {
	return strconv.Itoa(r.Code) + " " + strings.ReplaceAll(r.Text, "\n", " ")
}

// Append adds the wire form of the reply to dst, CR LF at each end of line. Control characters and bytes that are not UTF-8
// in the text become "?", a line is cut to 512 octets (RFC 5321 section 4.5.3.1.5), and after maxReplyLines lines the
// rest is dropped, so the text may come from outside. It does not allocate when dst has room.
func (r Reply) Append(dst []byte) []byte {
	rest, more := r.Text, true
	for n := 1; more; n++ {
		var line string
		line, rest, more = strings.Cut(rest, "\n")
		more = more && n < maxReplyLines
		dst = append(dst, byte('0'+r.Code/100%10), byte('0'+r.Code/10%10), byte('0'+r.Code%10))
		if more {
			dst = append(dst, '-')
		} else {
			dst = append(dst, ' ') // RFC 5321 section 4.2: a space even where no text follows
		}
		dst = appendClean(dst, cut(line, maxReplyText))
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// WithRef returns the reply with " [ref]" at the end of its last line. Where that line is too long for one reply line, its
// own text is cut, never the ref; lines that Append would drop are dropped here, so that the ref is not among them.
func (r Reply) WithRef(ref string) Reply {
	text := firstLines(r.Text, maxReplyLines)
	tail := " [" + ref + "]"
	last := strings.LastIndexByte(text, '\n') + 1
	r.Text = text[:last] + cut(text[last:], max(0, maxReplyText-len(tail))) + tail
	return r
}

// Enhanced is the enhanced status code at the start of the text, as "5.7.1", or "" where there is none that fits the
// class of the reply (RFC 2034 section 4).
func (r Reply) Enhanced() string {
	word := r.Text
	if i := strings.IndexAny(word, " \n"); i >= 0 {
		word = word[:i]
	}
	class, rest, _ := strings.Cut(word, ".")
	subject, detail, _ := strings.Cut(rest, ".")
	if len(class) != 1 || int(class[0]-'0') != r.Class() || !strings.Contains("245", class) { // RFC 3463 section 2
		return ""
	}
	if !isStatusNumber(subject) || !isStatusNumber(detail) {
		return ""
	}
	return word
}

// isStatusNumber: RFC 3463 section 2 has one to three digits for subject and detail.
func isStatusNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 3
}

// firstLines is the first n lines of text.
func firstLines(text string, n int) string {
	for i := range len(text) {
		if text[i] != '\n' {
			continue
		}
		if n--; n == 0 {
			return text[:i]
		}
	}
	return text
}

// cut is the first n octets of s, fewer where a character would be cut in two.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := n; i > n-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:n] // not UTF-8
}

// clean is s as appendClean would add it.
func clean(s string) string {
	for i := range len(s) {
		if isDirty(s[i]) {
			return string(appendClean(nil, s))
		}
	}
	return s
}

// appendClean adds s with "?" in place of each control character and each byte that is not UTF-8. Tabs stay, for RFC
// 5321 section 4.2 has them in a textstring; so do LFs, which part the lines of a Reply.
func appendClean(dst []byte, s string) []byte {
	from := 0
	for i := 0; i < len(s); {
		if !isDirty(s[i]) {
			i++
			continue
		}
		c, size := utf8.DecodeRuneInString(s[i:])
		if isControl(c) || c == utf8.RuneError && size == 1 {
			dst = append(dst, s[from:i]...)
			dst = append(dst, '?')
			from = i + size
		}
		i += size
	}
	return append(dst, s[from:]...)
}

// isDirty says whether c must be looked at as a part of a character.
func isDirty(c byte) bool { return c < 0x20 && c != '\t' && c != '\n' || c >= 0x7f }

// isControl says whether c is a control character of ASCII or of Latin-1 (C1), which some terminals obey.
func isControl(c rune) bool { return c < 0x20 || c >= 0x7f && c < 0xa0 }
