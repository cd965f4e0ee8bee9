package dkim

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"gatepost/policy"
)

// Bounds of a header block whose signatures are verified.
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
	errNoField    = errors.New("the header has a line that is no field")
	errBareEnd    = errors.New("the header has a bare CR or LF")
)

// readHead reads the header block and the empty line behind it, which is left out. A bare LF ends no line. With errLargeHead comes what was read
// by then; any other error is the reader's.
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
		case string(line) == "\r\n":
			return head[:start], nil
		case !bytes.HasSuffix(line, []byte("\r\n")):
			continue
		}
		start = len(head)
	}
}

// guard is the error of a header block that goes over a bound, or that is not a list of fields (RFC 6376 section 3.8): a server that
// takes a line which is none for the first of the body would show it above what was signed.
func guard(head []byte) error {
	ends := bytes.Count(head, []byte("\r\n"))
	if bytes.Count(head, []byte("\r")) != ends || bytes.Count(head, []byte("\n")) != ends { // BINARYMIME lets them through
		return errBareEnd
	}
	fields := 0
	for f := range policy.Fields(head) {
		fields++
		switch {
		case f.Name == nil:
			return errNoField
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
