package dkim

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"gatepost/policy"
)

// Bounds of a header block whose signatures are verified. The time that the library takes grows with the square of some of them.
const (
	maxHead   = 512 << 10 // octets
	maxFields = 1000
	maxField  = 64 << 10 // octets
	maxLines  = 1000     // of one field
)

var (
	errLargeHead  = errors.New("the header is larger than 512 KiB")
	errManyFields = errors.New("the header has more than 1000 fields")
	errLargeField = errors.New("a header field is larger than 64 KiB")
	errManyLines  = errors.New("a header field has more than 1000 lines")
)

// readHead reads the header block and the empty line behind it, which is left out. With errLargeHead comes what was read by then; any
// other error is the reader's.
func readHead(r *bufio.Reader) ([]byte, error) {
	head, start := []byte(nil), 0 // of the line under way
	for {
		part, err := r.ReadSlice('\n')
		head = append(head, part...)
		line := head[start:]
		switch {
		case len(head) > maxHead:
			return head[:start], errLargeHead
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && len(line) > 0:
			return append(head, "\r\n"...), nil
		case err == io.EOF: // RFC 5322 section 3.5: the body may be missing, with its empty line
			return head, nil
		case err != nil:
			return nil, err
		case string(line) == "\r\n", string(line) == "\n":
			return head[:start], nil
		}
		start = len(head)
	}
}

// guard is the error of a header block that goes over a bound.
func guard(head []byte) error {
	fields := 0
	for f := range policy.Fields(head) {
		fields++
		switch {
		case fields > maxFields:
			return errManyFields
		case len(f.Raw) > maxField:
			return errLargeField
		case bytes.Count(f.Raw, []byte("\n")) > maxLines:
			return errManyLines
		}
	}
	return nil
}

// headFor is the part of the header that one signature is about, for the library: the signature on top, so that it is the one that is verified,
// and the fields that its h= names. The rest cannot change the result. What is no field by policy.Fields is never among them.
func headFor(s *signature, head []byte) []byte {
	named := map[string]bool{}
	for _, name := range s.names {
		named[name] = true
	}
	b := append([]byte(nil), s.raw...)
	for f := range policy.Fields(head) {
		// RFC 6376 section 3.5: h= never means the signature itself.
		if named[lower(f.Name)] && f.Name != nil && &f.Raw[0] != &s.raw[0] {
			b = append(b, f.Raw...)
		}
	}
	return append(b, "\r\n"...)
}

func lower(name []byte) string { return string(bytes.ToLower(name)) }
