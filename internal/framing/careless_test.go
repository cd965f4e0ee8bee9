package framing

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
)

// careless is a mail server that is as wrong about line ends as servers have ever been, all at once: CR, LF and CR LF each end a
// line, in commands and in content, NUL is dropped, and a line with one dot ends the content. What was smuggled past
// the proxy shows here as another message.
type careless struct {
	mu   sync.Mutex
	kept []message
}

// listen serves on a port of the loopback address until stop is called.
func (s *careless) listen() (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go (&carelessSession{server: s, in: bufio.NewReaderSize(c, 1<<16), out: bufio.NewWriter(c)}).run(c)
		}
	}()
	return l.Addr().String(), func() { l.Close() }, nil
}

// take gives what was committed since the last call.
func (s *careless) take() []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.kept
	s.kept = nil
	return kept
}

type carelessSession struct {
	server  *careless
	in      *bufio.Reader
	out     *bufio.Writer
	afterCR bool // an LF that comes now belongs to the CR before
	open    message
}

func (c *carelessSession) run(conn io.Closer) {
	defer conn.Close()
	c.out.WriteString("220 careless.example\r\n")
	for {
		line, err := c.line()
		if err != nil {
			return
		}
		switch word, _, _ := strings.Cut(strings.ToUpper(line), " "); word {
		case "EHLO":
			c.open = message{}
			c.out.WriteString("250-careless.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
		case "MAIL":
			c.open = message{from: within(line)}
			c.out.WriteString("250 Ok\r\n")
		case "RCPT":
			c.open.rcpts = append(c.open.rcpts, within(line))
			c.out.WriteString("250 Ok\r\n")
		case "DATA":
			c.out.WriteString("354 Go\r\n")
			if c.content() != nil {
				return
			}
		case "QUIT":
			c.out.WriteString("221 Bye\r\n")
			c.out.Flush()
			return
		case "": // what is left of a line that ended in more than one way
		default:
			c.open = message{}
			c.out.WriteString("250 Ok\r\n")
		}
	}
}

// within is what stands between < and >.
func within(line string) string {
	_, rest, _ := strings.Cut(line, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}

// content reads content and commits it.
func (c *carelessSession) content() error {
	var b strings.Builder
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		if line == "." {
			break
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
	}
	c.open.content = []byte(b.String())
	c.server.mu.Lock()
	c.server.kept = append(c.server.kept, c.open)
	c.server.mu.Unlock()
	c.open = message{}
	c.out.WriteString("250 Ok: queued as 1\r\n")
	return nil
}

// line reads up to anything that looks like the end of one.
func (c *carelessSession) line() (string, error) {
	var b []byte
	for {
		if c.in.Buffered() == 0 {
			c.out.Flush()
		}
		o, err := c.in.ReadByte()
		if err != nil {
			return "", err
		}
		ours := o == '\n' && c.afterCR
		c.afterCR = o == '\r'
		switch {
		case ours, o == 0:
		case o == '\r', o == '\n':
			return string(b), nil
		default:
			b = append(b, o)
		}
	}
}
