package proxy

import (
	"bytes"
	"strings"
	"time"

	"gatepost/policy"
	"gatepost/proxy/backend"
	"gatepost/proxy/smtp"
)

// content is what goes to the backend: our headers, and what the sender sent.
type content struct {
	top []byte
	tx  *transaction
}

// Size is the number of octets that were not passed on yet.
func (c *content) Size() int64 { return int64(len(c.top)) + c.tx.spool.left() }

// Dotted is false where no line that came so far starts with a dot; our own never do. Nobody looked at those of BDAT.
func (c *content) Dotted() bool { return c.tx.chunks != nil || c.tx.dots.Dotted }

// Pieces gives them in order.
func (c *content) Pieces(to backend.Sink) error {
	if err := to.Write(c.top); err != nil {
		return err
	}
	return c.tx.spool.pieces(to)
}

// badHeader is the reply to a header that is refused for its form (REPLIES).
func (s *session) badHeader(head []byte) smtp.Reply {
	if len(head) > 0 && (head[0] == ' ' || head[0] == '\t') { // it would become part of the headers we put on top
		return replyTopFold
	}
	if s.tx.params.Body == smtp.BodyBinaryMIME { // RFC 3030 section 3 frees the body from the form of lines, not the header
		f := headFaults(head)
		if s.noteFaults(f); f != (smtp.Faults{}) {
			return replyBinaryHead
		}
	}
	fields, received := 0, 0
	l := &s.set.Limits
	for f := range policy.Fields(head) {
		fields++
		if f.Is("received") {
			received++
		}
		if len(f.Raw) > l.FieldSize || fields > l.HeaderFields {
			return replyHeadLarge
		}
	}
	if received > l.Received { // RFC 5321 section 6.3
		return replyLoop
	}
	return smtp.Reply{}
}

// headFaults are the faults of form in a header that no decoder looked at.
func headFaults(head []byte) smtp.Faults {
	ends := bytes.Count(head, []byte("\r\n"))
	return smtp.Faults{BareCR: bytes.Count(head, []byte{'\r'}) - ends, BareLF: bytes.Count(head, []byte{'\n'}) - ends, NUL: bytes.Count(head, []byte{0})}
}

// wrap takes forged trace headers out of the message and puts ours on top (promise 3: all else stays byte for byte).
func (s *session) wrap(m *policy.Message, d policy.Decision) *content {
	if head, changed := strip(m.Head, s.set.Hostname); changed {
		s.tx.spool.setHead(head)
	}
	findings := s.run.Findings()
	top := s.appendReceived(make([]byte, 0, 512+128*len(findings)))
	top = appendAuthResults(top, s.set.Hostname, findings)
	top = s.appendTag(top, d)
	return &content{top, s.tx}
}

// appendTag adds the headers of a tagged message. A tag of RCPT counts as well as one of the content: the mail goes on as one.
func (s *session) appendTag(b []byte, d policy.Decision) []byte {
	by := ""
	if d.Done == policy.Tag {
		by = d.By
	}
	for i := range s.tx.rcpts {
		if r := &s.tx.rcpts[i]; by == "" && r.taken && r.rec.Verdict == policy.Tagged {
			by = r.rec.By
		}
	}
	if by == "" {
		return b
	}
	b = append(b, "X-Spam: Yes\r\nX-Spam-Reason: "...)
	b = appendToken(b, by)
	if f := s.tagged(by, d); f.Text != "" {
		b = append(append(b, "; "...), f.Outcome...)
		b = append(b, " ("...)
		b = append(appendComment(b, f.Text), ')')
	}
	return append(b, "\r\n"...)
}

// tagged is the finding that led to the tag.
func (s *session) tagged(by string, d policy.Decision) policy.Finding {
	for _, st := range d.Steps {
		if st.Finding.Check == by {
			return st.Finding
		}
	}
	for i := range s.tx.rcpts {
		for _, f := range s.tx.rcpts[i].rec.Findings {
			if f.Check == by {
				return f
			}
		}
	}
	return policy.Finding{}
}

// strip is the header block without the fields that only we may write: X-Spam, X-Spam-Reason, and Authentication-Results
// under our name (RFC 8601 section 5). changed is false where nothing was to be taken out; else head is a copy.
func strip(block []byte, hostname string) (head []byte, changed bool) {
	for f := range policy.Fields(block) {
		if ours(f, hostname) {
			changed = true
			break
		}
	}
	if !changed {
		return block, false
	}
	head = make([]byte, 0, len(block))
	for f := range policy.Fields(block) {
		if !ours(f, hostname) {
			head = append(head, f.Raw...)
		}
	}
	return head, true
}

// ours says whether a field is one that only we may write. The name is looked at without the white space that some
// servers let pass before the colon.
func ours(f policy.Field, hostname string) bool {
	i := bytes.IndexByte(f.Raw, ':')
	if i < 0 || strings.IndexByte("aAxX", f.Raw[0]) < 0 {
		return false
	}
	switch strings.ToLower(strings.Join(strings.Fields(string(f.Raw[:i])), "")) {
	case "x-spam", "x-spam-reason":
		return true
	case "authentication-results":
		return names(f.Raw[i+1:], hostname)
	}
	return false
}

// names says whether the authserv-id at the start of an Authentication-Results body is ours. Comments and folding may stand
// before it, and it may be quoted (RFC 8601 section 2.2). Where it cannot be read, it is ours if our name stands anywhere in the body.
func names(body []byte, hostname string) bool {
	rest, ok := skipCFWS(body)
	if !ok {
		return bytes.Contains(bytes.ToLower(body), []byte(strings.ToLower(hostname)))
	}
	var id []byte
	if len(rest) > 0 && rest[0] == '"' {
		id = unquote(rest)
	} else {
		id = rest
		if n := bytes.IndexAny(rest, " \t\r\n;("); n >= 0 {
			id = rest[:n]
		}
	}
	return strings.EqualFold(strings.TrimSuffix(string(id), "."), hostname)
}

// skipCFWS skips white space and nested comments (RFC 5322 section 3.2.2); false where a comment does not end.
func skipCFWS(b []byte) ([]byte, bool) {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\\' && depth > 0:
			i++
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0, c == ' ', c == '\t', c == '\r', c == '\n':
		default:
			return b[i:], true
		}
	}
	return nil, depth == 0
}

// unquote is the content of a quoted-string at the start of b.
func unquote(b []byte) []byte {
	var out []byte
	for i := 1; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
		}
		out = append(out, b[i])
	}
	return out
}

// appendReceived adds our Received field (RFC 5321 section 4.4). Nothing in it can break out of its place: the HELO name is
// written only if it is a plain name or literal.
func (s *session) appendReceived(b []byte) []byte {
	b = append(b, "Received: from "...)
	b = append(b, plainName(s.helo, s.tx.params.UTF8)...)
	b = append(b, " ("...)
	if s.name != "" {
		b = append(append(b, plainName(s.name, false)...), ' ')
	}
	b = append(b, '[')
	if a := s.client.Addr(); a.Is6() {
		b = append(b, "IPv6:"...)
	}
	b = s.client.Addr().AppendTo(b)
	b = append(b, "])\r\n\tby "...)
	b = append(b, s.set.Hostname...)
	b = append(b, " (gatepost) with "...)
	b = append(b, s.proto()...)
	b = append(b, " id "...)
	b = append(b, s.ref()...)
	if s.tls != "" {
		b = append(b, "\r\n\t("...)
		b = append(b, s.tls...)
		b = append(b, ')')
	}
	if t := s.tx; t.taken == 1 { // with more, one recipient would learn of the others
		b = appendFor(b, t)
	}
	b = append(b, ";\r\n\t"...)
	b = time.Now().AppendFormat(b, "Mon, 2 Jan 2006 15:04:05 -0700")
	return append(b, "\r\n"...)
}

func appendFor(b []byte, t *transaction) []byte {
	for i := range t.rcpts {
		if a := t.rcpts[i].addr; t.rcpts[i].taken && (t.params.UTF8 || !a.NeedsUTF8()) {
			b = append(b, "\r\n\tfor <"...)
			b = append(b, a.String()...)
			b = append(b, '>')
		}
	}
	return b
}

// plainName is a name as it may stand in a header: letters, digits and what belongs to names and address literals; else "unknown".
func plainName(s string, utf8 bool) string {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(".-_:[]", c) >= 0:
		case c >= 0x80 && utf8:
		default:
			return "unknown"
		}
	}
	if s == "" {
		return "unknown"
	}
	return s
}
