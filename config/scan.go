package config

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// spot is where a key and its value begin, as octets into the text. A table that no header names has no value of its own.
type spot struct{ key, value int }

// scanner finds the place of every key in a TOML text, since the library tells none once a text is decoded. It is meant
// for a text that the library has accepted; on any other it ends, without a panic, with places that mean little.
type scanner struct {
	text  string
	at    int             // octets read so far
	spots map[string]spot // by path; the elements of a list stand under `path[0]` and so on
	count map[string]int  // of the tables in each [[list of tables]]
}

// scan is the place of every key of the text, by path.
func scan(text string) map[string]spot {
	s := &scanner{text: text, spots: map[string]spot{}, count: map[string]int{}}
	table := ""
	for s.blank(); s.at < len(s.text); s.blank() {
		if s.next() == '[' {
			table = s.header()
		} else {
			s.pair(table)
		}
	}
	return s.spots
}

// next is the octet to be read next, or 0 at the end.
func (s *scanner) next() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// skip reads the word if it comes next.
func (s *scanner) skip(word string) bool {
	if !strings.HasPrefix(s.text[s.at:], word) {
		return false
	}
	s.at += len(word)
	return true
}

// skipAny reads as many of the octets as come next.
func (s *scanner) skipAny(octets string) {
	for s.at < len(s.text) && strings.IndexByte(octets, s.text[s.at]) >= 0 {
		s.at++
	}
}

// skipTo reads up to the first of the octets, or to the end.
func (s *scanner) skipTo(octets string) {
	if i := strings.IndexAny(s.text[s.at:], octets); i >= 0 {
		s.at += i
	} else {
		s.at = len(s.text)
	}
}

// blank reads white space, line ends and comments.
func (s *scanner) blank() {
	for s.skipAny(" \t\r\n"); s.next() == '#'; s.skipAny(" \t\r\n") {
		s.skipTo("\n")
	}
}

// header reads `[a.b]` or `[[a.b]]` and returns the path of the table that it opens.
func (s *scanner) header() string {
	start := s.at
	s.skip("[")
	list := s.skip("[")
	path, key := s.key("")
	if list {
		s.count[path]++
		s.note(path, spot{key, start})
		path = element(path, s.count[path]-1)
	}
	s.spots[path] = spot{key, start}
	s.skipAny(" \t")
	s.skip("]")
	if list {
		s.skip("]")
	}
	return path
}

// pair reads `a.b = value` in the table at path.
func (s *scanner) pair(table string) {
	path, key := s.key(table)
	s.skipAny(" \t")
	if !s.skip("=") {
		s.at = min(s.at+1, len(s.text)) // no TOML: move on, lest the scan stand still
		return
	}
	s.skipAny(" \t")
	s.spots[path] = spot{key, s.at}
	s.value(path)
}

// key reads a key, dotted or not, in the table at path; it returns the key's path and where its last part begins.
func (s *scanner) key(path string) (string, int) {
	for {
		if n := s.count[path]; n > 0 {
			path = element(path, n-1) // [a.b] below [[a]] means the last a
		}
		s.skipAny(" \t")
		at := s.at
		path = under(path, s.part())
		s.skipAny(" \t")
		if !s.skip(".") {
			return path, at
		}
		s.note(path, spot{at, at})
	}
}

// part reads one part of a key, without its quotes.
func (s *scanner) part() string {
	start := s.at
	switch quote := s.next(); quote {
	case '"', '\'':
		s.quoted(string(quote))
		body := strings.TrimSuffix(s.text[start+1:s.at], string(quote))
		if quote == '"' {
			return unescape(body)
		}
		return body
	}
	for s.at < len(s.text) && isBareRune(rune(s.text[s.at])) {
		s.at++
	}
	return s.text[start:s.at]
}

// value reads the value of the key at path.
func (s *scanner) value(path string) {
	switch c := s.next(); c {
	case '"', '\'':
		mark := string(c)
		if strings.HasPrefix(s.text[s.at:], strings.Repeat(mark, 3)) {
			mark = strings.Repeat(mark, 3)
		}
		s.quoted(mark)
	case '[':
		s.list(path)
	case '{':
		s.inline(path)
	default:
		s.skipTo(",]}#\n") // a date may hold a space
	}
}

// list reads `[value, value]`.
func (s *scanner) list(path string) {
	s.skip("[")
	for n := 0; ; n++ {
		s.blank()
		if s.at == len(s.text) || s.skip("]") {
			return
		}
		from := s.at
		s.spots[element(path, n)] = spot{from, from}
		s.value(element(path, n))
		s.blank()
		if !s.skip(",") && s.at == from {
			s.at++
		}
	}
}

// inline reads `{ key = value, key = value }`.
func (s *scanner) inline(path string) {
	s.skip("{")
	for {
		s.blank()
		if s.at == len(s.text) || s.skip("}") {
			return
		}
		s.pair(path)
		s.blank()
		s.skip(",")
	}
}

// quoted reads a string between two marks: one quotation mark, or three. A backslash counts only in double quotes.
func (s *scanner) quoted(mark string) {
	for s.at += len(mark); s.at < len(s.text); s.at++ {
		if mark[0] == '"' && s.next() == '\\' {
			s.at++
			continue
		}
		if s.skip(mark) {
			if len(mark) == 3 {
				s.skip(mark[:1]) // up to two quotation marks may stand right before the closing three
				s.skip(mark[:1])
			}
			return
		}
	}
	s.at = len(s.text)
}

// note keeps the spot unless the path has one already: a table that is only passed through is where it first appears.
func (s *scanner) note(path string, at spot) {
	if _, ok := s.spots[path]; !ok {
		s.spots[path] = at
	}
}

// element is the path of the list's element n, from 0.
func element(path string, n int) string { return path + "[" + strconv.Itoa(n) + "]" }

// unescape replaces the escapes of a basic string: \n, \x41, \u0041 and so on.
func unescape(body string) string {
	if !strings.Contains(body, `\`) {
		return body
	}
	var b strings.Builder
	for body != "" {
		r, rest := unescapeOne(body)
		b.WriteRune(r)
		body = rest
	}
	return b.String()
}

func unescapeOne(body string) (rune, string) {
	if body[0] != '\\' || len(body) == 1 {
		r, n := utf8.DecodeRuneInString(body)
		return r, body[n:]
	}
	letter, rest := body[1], body[2:]
	if digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[letter]; digits > 0 && len(rest) >= digits {
		n, _ := strconv.ParseUint(rest[:digits], 16, 32) // the library has refused what is no number
		return rune(n), rest[digits:]
	}
	if i := strings.IndexByte("btnfre", letter); i >= 0 {
		return rune("\b\t\n\f\r\x1b"[i]), rest
	}
	return rune(letter), rest
}
