package smtp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadReply(t *testing.T) {
	tests := []struct {
		name, wire string
		want       Reply
		err        error
	}{
		{"one line", "250 2.0.0 OK\r\n", Reply{250, "2.0.0 OK"}, nil},
		{"no text", "250\r\n", Reply{250, ""}, nil},
		{"several lines", "250-mx\r\n250-\r\n250 DSN\r\n", Reply{250, "mx\n\nDSN"}, nil},
		{"bare LF", "250-mx\n250 DSN\n", Reply{250, "mx\nDSN"}, nil},
		{"last line without text", "250-mx\r\n250\r\n", Reply{250, "mx\n"}, nil},
		{"control characters", "550 a\x1b[2Jb\rc\x00\r\n", Reply{550, "a?[2Jb?c?"}, nil},
		{"latin-1", "550 gr\xfc\xdfe\r\n", Reply{550, "gr??e"}, nil},
		{"longest line", "250 " + strings.Repeat("x", 2042) + "\r\n", Reply{250, strings.Repeat("x", 2042)}, nil},
		{"line too long", "250 " + strings.Repeat("x", 2043) + "\r\n", Reply{}, ErrNotReply},
		{"endless line", strings.Repeat("x", 1<<20), Reply{}, ErrNotReply},
		{"100 lines", strings.Repeat("250-x\r\n", 99) + "250 x\r\n", Reply{250, strings.Repeat("x\n", 99) + "x"}, nil},
		{"101 lines", strings.Repeat("250-x\r\n", 100) + "250 x\r\n", Reply{}, ErrNotReply},
		{"17 KiB", strings.Repeat("250-"+strings.Repeat("x", 1020)+"\r\n", 17) + "250 x\r\n", Reply{}, ErrNotReply},
		{"two digits", "25\r\n", Reply{}, ErrNotReply},
		{"code too high", "999 x\r\n", Reply{}, ErrNotReply},
		{"code too low", "199 x\r\n", Reply{}, ErrNotReply},
		{"four digits", "2500 x\r\n", Reply{}, ErrNotReply},
		{"no digits", "SSH-2.0-OpenSSH\r\n", Reply{}, ErrNotReply},
		{"empty line", "\r\n", Reply{}, ErrNotReply},
		{"mixed codes", "250-a\r\n550 b\r\n", Reply{}, ErrNotReply},
		{"cut short", "250-", Reply{}, io.EOF},
		{"cut after a line", "250-a\r\n", Reply{}, io.EOF},
	}
	for _, tt := range tests {
		for _, src := range []io.Reader{strings.NewReader(tt.wire), iotest.OneByteReader(strings.NewReader(tt.wire))} {
			got, err := ReadReply(NewReader(src))
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%s: %q, %v, want %q, %v", tt.name, got, err, tt.want, tt.err)
			}
		}
	}
}

func TestReadReplyLeavesTheNext(t *testing.T) {
	r := NewReader(strings.NewReader("250 a\r\n550 b\r\n"))
	for _, want := range []Reply{{250, "a"}, {550, "b"}} {
		if got, err := ReadReply(r); got != want || err != nil {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add([]byte("250-mx\r\n250 DSN\r\n"), uint16(3))
	f.Add([]byte("550 \xff\x00\rx\n250"), uint16(1))
	f.Add([]byte("250-\n250 \n"), uint16(7))
	f.Fuzz(func(t *testing.T, wire []byte, seed uint16) {
		got, err := ReadReply(NewReader(newPieces(wire, seed)))
		again, errAgain := ReadReply(NewReader(bytes.NewReader(wire)))
		if got != again || !errors.Is(err, errAgain) {
			t.Fatalf("cut: %v, %v; whole: %v, %v", got, err, again, errAgain)
		}
		if err != nil {
			if err != io.EOF && err != ErrNotReply {
				t.Fatal(err)
			}
			return
		}
		sent := got.Append(nil)
		back, err := ReadReply(NewReader(bytes.NewReader(sent)))
		if len(sent) < maxServerReply && len(got.Text) < maxReplyText && (back != got || err != nil) {
			t.Errorf("%q came back as %q, %v", got, back, err)
		}
	})
}
