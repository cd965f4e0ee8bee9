package proxy

import (
	"strings"

	"gatepost/policy"
)

// appendAuthResults adds the Authentication-Results field for the findings (RFC 8601 section 2.2), folded. Every word in it is
// a token, a quoted-string or a cleaned comment, so nothing from outside can end the field or speak in our name.
func appendAuthResults(b []byte, hostname string, findings []policy.Finding) []byte {
	b = append(b, "Authentication-Results: "...)
	b = append(b, hostname...)
	n := 0
	for i := range findings {
		for j := range findings[i].Auth {
			b = appendResult(b, &findings[i].Auth[j])
			n++
		}
	}
	if n == 0 {
		b = append(b, "; none"...)
	}
	return append(b, "\r\n"...)
}

// appendResult adds one method's result on a line of its own, and its properties on others where they would make it long.
func appendResult(b []byte, r *policy.AuthResult) []byte {
	b = append(b, ";\r\n\t"...)
	b = appendToken(b, r.Method)
	b = append(b, '=')
	b = appendToken(b, r.Result)
	if r.Comment != "" {
		b = append(b, " ("...)
		b = appendComment(b, r.Comment)
		b = append(b, ')')
	}
	line := 0
	add := func(key, value string) {
		sep := " "
		if line += len(key) + len(value) + 2; line > 60 {
			sep, line = "\r\n\t\t", len(key)+len(value)
		}
		b = append(b, sep...)
		b = appendToken(b, key)
		b = append(b, '=')
		b = appendValue(b, value)
	}
	if r.Reason != "" {
		add("reason", r.Reason)
	}
	for _, p := range r.Props {
		if p.Value != "" {
			add(p.Key, p.Value)
		}
	}
	return b
}

const tokenChars = "!#$%&'*+-.^_`{|}~"

func isToken(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(tokenChars, c) >= 0
}

// appendToken adds a word of ours; what is no token character is left out.
func appendToken(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if isToken(s[i]) {
			b = append(b, s[i])
		}
	}
	return b
}

// maxValue bounds a value from outside, in octets.
const maxValue = 256

// appendValue adds a value: as it is where it is made of token characters and "@", else as a quoted-string
// (RFC 8601 section 2.2: value, or a domain, or an address). Control bytes become "?".
func appendValue(b []byte, s string) []byte {
	s = s[:min(len(s), maxValue)]
	plain := s != ""
	for i := 0; i < len(s); i++ {
		plain = plain && (isToken(s[i]) || s[i] == '@')
	}
	if plain {
		return append(b, s...)
	}
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == '\uFFFD':
			b = append(b, '?')
		case r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069':
			b = append(b, '?')
		default:
			b = append(b, string(r)...)
		}
	}
	return append(b, '"')
}

// appendComment adds the text of a comment: printable ASCII without parentheses and backslashes.
func appendComment(b []byte, s string) []byte {
	for i := 0; i < len(s) && i < maxValue; i++ {
		c := s[i]
		if c < ' ' || c > '~' || c == '(' || c == ')' || c == '\\' {
			c = '?'
		}
		b = append(b, c)
	}
	return b
}
