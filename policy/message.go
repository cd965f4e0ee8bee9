package policy

import (
	"bytes"
	"iter"
)

// Message is the content of a transaction as far as a policy looks at it.
type Message struct {
	Head []byte // the header block: each line ends in CR LF; without the empty line behind it
	Size int64  // octets of the whole content; 0 for all checks but a Whole one
	// FromDomain is the domain of the author, lower case, A-labels; "" where there is not exactly one.
	FromDomain string
}

// Field is one header field (RFC 5322 section 2.2), or a line of the header block that is none.
type Field struct {
	Name []byte // as written; nil where the line is no field
	Raw  []byte // the whole field, folded lines and the last CR LF included
}

// Body is the field's body as it stands, folding included, without the last CR LF.
func (f Field) Body() []byte {
	return bytes.TrimSuffix(f.Raw[bytes.IndexByte(f.Raw, ':')+1:], []byte("\r\n"))
}

// Is compares the field's name with one in lower case.
func (f Field) Is(name string) bool {
	return len(f.Name) == len(name) && bytes.EqualFold(f.Name, []byte(name))
}

// Fields yields the fields of a header block in order. A line that starts with white space belongs to the field before it (RFC
// 5322 section 2.2.3); at the very top, where there is none, it is no field.
func Fields(head []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for len(head) > 0 {
			n := fieldLen(head)
			if !yield(Field{Name: fieldName(head[:n]), Raw: head[:n]}) {
				return
			}
			head = head[n:]
		}
	}
}

// fieldLen is the length of the field at the start of b, with its folded lines.
func fieldLen(b []byte) int {
	n := 0
	for {
		i := bytes.IndexByte(b[n:], '\n')
		if i < 0 {
			return len(b)
		}
		n += i + 1
		if n == len(b) || b[n] != ' ' && b[n] != '\t' {
			return n
		}
	}
}

// fieldName is what stands before the colon. White space before the colon is obsolete syntax (RFC 5322 section 4.5)
// that many servers still read as the field, so it is one here too.
func fieldName(line []byte) []byte {
	i := bytes.IndexByte(line, ':')
	if i <= 0 {
		return nil
	}
	name := bytes.TrimRight(line[:i], " \t")
	for _, c := range name {
		if c <= ' ' || c >= 127 { // RFC 5322 section 2.2: printable ASCII
			return nil
		}
	}
	if len(name) == 0 {
		return nil
	}
	return name
}

// Field is the first field with this name in lower case; false where there is none.
func (m *Message) Field(name string) (Field, bool) {
	for f := range Fields(m.Head) {
		if f.Is(name) {
			return f, true
		}
	}
	return Field{}, false
}
