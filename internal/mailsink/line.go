package mailsink

import (
	"bufio"
	"errors"
	"strings"
)

// maxLine bounds a command line, in octets with its end: REPLIES' limit with AUTH, so that nothing legal is too long.
const maxLine = 12288

var (
	errBroken = errors.New("bare CR, bare LF or NUL in a line")
	errLong   = errors.New("line too long")
)

// readLine gives the next command line without its end. With errBroken the line was read to its end and is given as it
// came; after errLong the place in the stream is lost.
func (c *session) readLine() (string, error) {
	var line []byte
	for {
		part, err := c.in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return "", errLong
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
		if c.ended(string(line)) {
			break
		}
	}
	text := trim(string(line))
	c.sink.note(c.id, 'C', text)
	if strings.ContainsAny(text, "\r\n\x00") {
		return text, errBroken
	}
	return text, nil
}

// ended reports whether line has its end.
func (c *session) ended(line string) bool {
	// RFC 5321 section 2.3.8: nothing but CR LF ends a line.
	return strings.HasSuffix(line, "\r\n") || c.sink.Lenient && strings.HasSuffix(line, "\n")
}

func trim(line string) string {
	if text, ok := strings.CutSuffix(line, "\r\n"); ok {
		return text
	}
	return strings.TrimSuffix(line, "\n")
}
