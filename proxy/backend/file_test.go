package backend

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"gatepost/proxy/smtp"
)

// spooled is content of which the middle lies in a file.
type spooled struct {
	head, middle, tail string
	dotted             bool
	file               *os.File
	behind             func() // called when the file was sent
}

func (s *spooled) Size() int64  { return int64(len(s.head) + len(s.middle) + len(s.tail)) }
func (s *spooled) Dotted() bool { return s.dotted }
func (s *spooled) Pieces(to Sink) error {
	if err := to.Write([]byte(s.head)); err != nil {
		return err
	}
	if err := to.File(s.file, int64(len(s.middle))); err != nil {
		return err
	}
	if s.behind != nil {
		s.behind()
	}
	return to.Write([]byte(s.tail))
}

// lines is n octets of text; with dots, some of its lines start with one.
func lines(n int, dots bool) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		if dots && i%7 == 0 {
			b.WriteString(".")
		}
		fmt.Fprintf(&b, "line %d of a long text\r\n", i)
	}
	return b.String()
}

// TestContentFromAFile sends content over real sockets, where the system sends a file without a copy: what the server reads is the content, stuffed where it must be.
func TestContentFromAFile(t *testing.T) {
	for _, caps := range []string{"PIPELINING", "CHUNKING"} {
		for _, size := range []int{1, blockSize, fileStep, 2*fileStep + 777} {
			for _, dots := range []bool{false, true} {
				t.Run(fmt.Sprint(caps, size, dots), func(t *testing.T) {
					sendSpooled(t, caps, &spooled{head: "Received: x\r\n", middle: lines(size, dots), tail: lines(100, dots), dotted: dots})
				})
			}
			t.Run(fmt.Sprint(caps, size, " ends in the file"), func(t *testing.T) {
				sendSpooled(t, caps, &spooled{head: "Received: x\r\n\r\nmid-li", middle: "ne\r\n" + lines(size, false)})
				sendSpooled(t, caps, &spooled{head: "Received: x\r\n\r\nmid-li", middle: "ne\r\n" + lines(size, false) + "\r", tail: "\n"})
			})
		}
	}
}

func sendSpooled(t *testing.T, caps string, s *spooled) {
	f, err := os.Create(t.TempDir() + "/spool")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(s.middle); err != nil {
		t.Fatal(err)
	}
	s.file = f
	got := make(chan [32]byte, 1)
	if s.tail == "" && caps == "CHUNKING" { // the server has all, and answers before we look
		s.behind = func() {
			for len(got) == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}
	content := s.head + s.middle + s.tail
	wire := "BDAT " + fmt.Sprint(len(content)) + " LAST\r\n" + content
	if caps != "CHUNKING" {
		wire = strings.ReplaceAll(content, "\r\n.", "\r\n..") + ".\r\n"
	}
	addr := serveOnce(t, caps, got, len(wire))
	b := New(Settings{Name: "main", Hostname: "gate.test", Addresses: []string{addr}})
	defer b.Close()
	c := mustOpen(t, b)
	c.Mail(anna, smtp.MailParams{Size: -1}, 0)
	c.Rcpt(amy, smtp.RcptParams{})
	replies(t, c, 2)
	if r, err := c.Send(s); err != nil || r.Class() != 2 {
		t.Fatal(r, err)
	}
	c.Abort()
	if want := sha256.Sum256([]byte(wire)); <-got != want {
		t.Error("the server read another content")
	}
}

// serveOnce takes one connection, and gives the sum of the octets of content that it reads there. They come in parts of given lengths, of which it
// answers each.
func serveOnce(t *testing.T, caps string, got chan<- [32]byte, parts ...int) (addr string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer ln.Close()
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		line := func() string {
			var l []byte
			for one := make([]byte, 1); !bytes.HasSuffix(l, []byte("\n")); l = append(l, one[0]) {
				if _, err := c.Read(one); err != nil {
					return ""
				}
			}
			return string(l)
		}
		io.WriteString(c, "220 mx.test\r\n")
		line()
		io.WriteString(c, "250-mx.test\r\n250 "+caps+"\r\n")
		line()
		io.WriteString(c, "250 ok\r\n")
		line()
		io.WriteString(c, "250 ok\r\n")
		if caps != "CHUNKING" {
			line()
			io.WriteString(c, "354 go\r\n")
		}
		sum := sha256.New()
		for _, n := range parts {
			if _, err := io.CopyN(sum, c, int64(n)); err != nil {
				t.Error(err)
			}
			io.WriteString(c, "250 taken\r\n")
		}
		got <- [32]byte(sum.Sum(nil))
	}()
	return ln.Addr().String()
}
