package policy

import (
	"bytes"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// AuthorError says why the author of a message can't be told.
type AuthorError string

// The reasons.
const (
	NoFrom        AuthorError = "there is no From field"
	SeveralFrom   AuthorError = "there is more than one From field"
	GroupFrom     AuthorError = "the From field names a group"
	MalformedFrom AuthorError = "the From field is malformed, or can be read in more than one way"
)

// Error is the reason as a clause.
func (e AuthorError) Error() string { return string(e) }

const (
	maxAuthors      = 64 // mailboxes in a From field
	maxCommentDepth = 16 // comments within comments
)

// Authors reads the From field of a message (RFC 5322 section 3.6.2, RFC 6532). It gives one mailbox or several, at most 64, each
// with a domain: as written but for ASCII letters, which are lower case; so it may hold U-labels, or be an address literal in
// brackets. Any error is an AuthorError.
//
// It never guesses, since whoever reads a field otherwise than the server behind vouches for the wrong author. Obsolete
// syntax is refused, but for dots in the phrase before an address and in odd places of its local part, and for white space inside
// of <>: none of them hides a domain. Time is linear in the size of the header.
func Authors(m *Message) ([]Mailbox, error) {
	body, err := fromBody(m.Head)
	if err != nil {
		return nil, err
	}
	text, ok := unfold(body)
	if !ok {
		return nil, MalformedFrom
	}
	p := fromParser{text: text}
	return p.list()
}

// fromBody is the body of the only From field.
func fromBody(head []byte) (body []byte, err error) {
	plain, odd := 0, 0
	for f := range Fields(head) {
		if f.Is("from") && f.Raw[len("from")] == ':' {
			plain++
			body = f.Body()
		} else {
			odd += disguisedFroms(f)
		}
	}
	switch {
	case plain+odd == 0:
		return nil, NoFrom
	case plain+odd > 1: // RFC 5322 section 3.6: one and no more
		return nil, SeveralFrom
	case odd == 1:
		return nil, MalformedFrom
	}
	return body, nil
}

// disguisedFroms counts the From fields that another server may see in f: with white space, NUL or other octets that are
// no part of a name before, in or behind it. Lines that belong to no field may each be one.
func disguisedFroms(f Field) int {
	if likeFrom(f.Raw) {
		return 1
	}
	n := 0
	if f.Name == nil {
		for line := range bytes.Lines(f.Raw) {
			if likeFrom(line) {
				n++
			}
		}
	}
	return n
}

// likeFrom says whether "from" is all that stands before the colon, octets aside that are no printable ASCII.
func likeFrom(raw []byte) bool {
	const name = "from"
	i := 0
	for _, c := range raw {
		switch {
		case c == ':':
			return i == len(name)
		case c <= ' ' || c >= 127:
		case i == len(name) || c|0x20 != name[i]:
			return false
		default:
			i++
		}
	}
	return false
}

// unfold joins the lines of a field's body; false where it holds what no body may: control characters, text that is no UTF-8, or a
// line of white space alone, at which some readers take the header to end.
func unfold(body []byte) (string, bool) {
	if !utf8.Valid(body) { // RFC 6532 section 3.1
		return "", false
	}
	lines := strings.Split(string(body), "\r\n")
	for _, line := range lines[1:] {
		if strings.Trim(line, " \t") == "" { // RFC 5322 section 3.2.2: only obsolete folding leaves such a line
			return "", false
		}
	}
	text := strings.Join(lines, "")
	isControl := func(r rune) bool { return r < ' ' && r != '\t' || r == 127 }
	return text, strings.IndexFunc(text, isControl) < 0
}

// fromParser reads the unfolded body of a From field. What it can't read it marks as bad, and it is at the end then.
type fromParser struct {
	text string
	i    int
	bad  bool
}

// list reads mailbox-list (RFC 5322 section 3.4).
func (p *fromParser) list() ([]Mailbox, error) {
	var boxes []Mailbox
	for len(boxes) < maxAuthors {
		box, err := p.mailbox()
		if err != nil {
			return nil, err
		}
		boxes = append(boxes, box)
		if p.i == len(p.text) {
			return boxes, nil
		}
		if !p.take(',') {
			break
		}
	}
	return nil, MalformedFrom
}

// mailbox reads mailbox (RFC 5322 section 3.4) and the comments around it.
func (p *fromParser) mailbox() (box Mailbox, err error) {
	p.skip()
	start, words := p.i, 0
	for p.word() {
		words++
		p.skip()
	}
	switch c := p.peek(); {
	case c == '<':
		box = p.angle()
	case c == '@' && words == 1:
		p.i = start
		box = p.bare()
	case c == ':' && words > 0 && strings.HasSuffix(strings.TrimRight(p.text, " \t"), ";"):
		return Mailbox{}, GroupFrom
	default:
		p.fail()
	}
	p.skip()
	if p.bad {
		return Mailbox{}, MalformedFrom
	}
	return box, nil
}

// bare reads an address without <>. A mailbox such as a@b <a@b>, which should have quotes, names one author however it is read.
func (p *fromParser) bare() Mailbox {
	box := p.address()
	p.skip()
	if p.peek() == '<' && p.angle() != box {
		p.fail()
	}
	return box
}

// angle reads angle-addr; obsolete routes are refused.
func (p *fromParser) angle() Mailbox {
	p.expect('<')
	p.space()
	box := p.address()
	p.space()
	p.expect('>')
	return box
}

// address reads addr-spec (RFC 5322 section 3.4.1), with nothing between its parts.
func (p *fromParser) address() Mailbox {
	local := p.local()
	p.expect('@')
	return Mailbox{Local: local, Domain: p.domain()}
}

// local reads local-part, and takes its quoting off. Refused is what a careless reader takes for another address.
func (p *fromParser) local() string {
	start := p.i
	if p.peek() == '"' {
		if s := p.quoted(); s != "" && !strings.ContainsAny(s, "@<>,") {
			return s
		}
		p.fail()
		return ""
	}
	p.run(isAtext)
	s := p.text[start:p.i]
	if s == "" || strings.Contains(s, "=?") { // RFC 2047 section 5: no encoded word in an addr-spec
		p.fail()
	}
	return s
}

// domain reads domain: a name or an address literal.
func (p *fromParser) domain() string {
	start := p.i
	if p.take('[') {
		p.run(func(c byte) bool { return c != ']' && c != '[' })
		p.expect(']')
		return p.literal(p.text[start:p.i])
	}
	p.run(isDomainByte)
	name := lowerASCII(p.text[start:p.i])
	if len(name) > 255 || strings.Contains("."+name+".", "..") { // RFC 5321 section 4.5.3.1.2, RFC 1034 section 3.1
		p.fail()
	}
	return name
}

// literal is an address literal (RFC 5321 section 4.1.3) that holds an address.
func (p *fromParser) literal(s string) string {
	s = lowerASCII(s)
	inner := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	inner, six := strings.CutPrefix(inner, "ipv6:")
	if a, err := netip.ParseAddr(inner); err != nil || a.Is4() == six || a.Zone() != "" {
		p.fail()
	}
	return s
}

// word reads a run of atoms and dots, or a quoted string; false where there is none.
func (p *fromParser) word() bool {
	start := p.i
	if p.peek() == '"' {
		p.quoted()
	} else {
		p.run(isAtext)
	}
	return p.i > start && !p.bad
}

// quoted reads quoted-string (RFC 5322 section 3.2.4) and gives what it says.
func (p *fromParser) quoted() string {
	p.expect('"')
	var b strings.Builder
	for p.i < len(p.text) {
		c := p.text[p.i]
		p.i++
		if c == '"' {
			return b.String()
		}
		if c == '\\' && p.i < len(p.text) {
			c = p.text[p.i]
			p.i++
		}
		b.WriteByte(c)
	}
	p.fail()
	return ""
}

// skip passes over white space and comments (RFC 5322 section 3.2.2).
func (p *fromParser) skip() {
	for p.space(); p.peek() == '('; p.space() {
		p.comment()
	}
}

// comment passes over a comment with those in it.
func (p *fromParser) comment() {
	depth := 0
	for p.i < len(p.text) && depth <= maxCommentDepth {
		switch p.text[p.i] {
		case '(':
			depth++
		case ')':
			depth--
		case '\\':
			p.i++
		}
		p.i++
		if depth == 0 {
			return
		}
	}
	p.fail()
}

func (p *fromParser) space() { p.run(func(c byte) bool { return c == ' ' || c == '\t' }) }

func (p *fromParser) run(of func(byte) bool) {
	for p.i < len(p.text) && of(p.text[p.i]) {
		p.i++
	}
}

// peek is the next octet; 0, which is not in the text, at the end.
func (p *fromParser) peek() byte {
	if p.i < len(p.text) {
		return p.text[p.i]
	}
	return 0
}

func (p *fromParser) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.i++
	return true
}

func (p *fromParser) expect(c byte) {
	if !p.take(c) {
		p.fail()
	}
}

func (p *fromParser) fail() { p.bad, p.i = true, len(p.text) }

// isAtext says whether c may stand in an atom (RFC 5322 section 3.2.3, RFC 6532 section 3.2), or is a dot.
func isAtext(c byte) bool {
	return isDomainByte(c) || strings.IndexByte("!#$%&'*+/=?^`{|}~", c) >= 0
}

// isDomainByte says whether c may stand in a domain name, an underscore included: some hosts have one.
func isDomainByte(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c >= utf8.RuneSelf
}

// lowerASCII makes ASCII letters lower case. Others are for IDNA to map: Unicode has capitals whose small letter is ASCII.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
