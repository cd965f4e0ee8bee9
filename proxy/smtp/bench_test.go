package smtp

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// ordinaryContent is 64 KiB of lines of 76 octets and CR LF.
func ordinaryContent() []byte {
	line := strings.Repeat("x", 76) + "\r\n"
	return []byte(strings.Repeat(line, 64<<10/len(line)))
}

// endless gives the same bytes again and again.
type endless struct {
	data []byte
	at   int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.data[e.at:])
	e.at = (e.at + n) % len(e.data)
	return n, nil
}

var _ io.Reader = (*endless)(nil)

func BenchmarkReaderLine(b *testing.B) {
	r := NewReader(&endless{data: []byte("RCPT TO:<someone@example.com>\r\n")})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Line(2048); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseCommand(b *testing.B) {
	line := []byte("RCPT TO:<someone@example.com> NOTIFY=NEVER")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseCommand(line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseRcpt(b *testing.B) {
	arg := []byte("TO:<someone@example.com> NOTIFY=NEVER")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseRcpt(arg, offerAll, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReplyAppend(b *testing.B) {
	r := Reply{250, "2.1.5 <someone@example.com> is a recipient here"}
	dst := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		dst = r.Append(dst[:0])
	}
}

func BenchmarkReadReply(b *testing.B) {
	r := NewReader(&endless{data: []byte("250 2.1.5 OK\r\n")})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadReply(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, bb := range []struct {
		name string
		src  []byte
	}{
		{"ordinary", ordinaryContent()},
		{"dots", bytes.Repeat([]byte("..a line with a dot that the sender put before it\r\n"), 1000)},
		{"bare LF", bytes.ReplaceAll(ordinaryContent(), []byte("\r"), nil)},
		{"one long line", bytes.Repeat([]byte("x"), 64<<10)},
		{"all CR", bytes.Repeat([]byte("\r"), 64<<10)},
		{"all NUL", make([]byte, 64<<10)},
		{"short lines", bytes.Repeat([]byte("\r\n"), 32<<10)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			dst := make([]byte, 0, 2*len(bb.src)+1)
			var d Decoder
			b.SetBytes(int64(len(bb.src)))
			b.ReportAllocs()
			for b.Loop() {
				d.Decode(dst, bb.src)
			}
		})
	}
}

func BenchmarkChunks(b *testing.B) {
	src := ordinaryContent()
	dst := make([]byte, 0, 2*len(src)+1)
	var c Chunks
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		c.Decode(dst, src)
	}
}

func BenchmarkSplit(b *testing.B) {
	src := ordinaryContent()
	dst := make([][]byte, 0, 16)
	var s Stuffer
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		s.Split(dst, src)
	}
}
