package smtp

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// stuff is the stream for content given in these parts.
func stuff(parts ...string) string {
	var s Stuffer
	var out []byte
	for _, p := range parts {
		out = append(out, bytes.Join(s.Split(nil, []byte(p)), nil)...)
	}
	return string(append(out, s.End()...))
}

func TestStuffer(t *testing.T) {
	tests := []struct {
		name  string
		parts []string
		want  string
	}{
		{"lines", []string{"a\r\nb.\r\n"}, "a\r\nb.\r\n.\r\n"},
		{"no content", nil, ".\r\n"},
		{"empty parts", []string{"", "a\r\n", ""}, "a\r\n.\r\n"},
		{"dots", []string{".\r\n..\r\n.a\r\n"}, "..\r\n...\r\n..a\r\n.\r\n"},
		{"a dot at the start of a part", []string{"a\r\n", ".b", ".c\r", "\n", ".\r\n"}, "a\r\n..b.c\r\n..\r\n.\r\n"},
		{"no line end at the end", []string{"a\r\nb"}, "a\r\nb\r\n.\r\n"},
		{"line end in two parts", []string{"a\r", "\n"}, "a\r\n.\r\n"},
		{"a CR at the end", []string{"a\r"}, "a\r\r\n.\r\n"},
		{"an LF at the end", []string{"a\n"}, "a\n\r\n.\r\n"},
		{"a lone LF", []string{"\n"}, "\n\r\n.\r\n"},
		{"a dot behind a bare LF", []string{"a\n.\r\nb\r\n"}, "a\n..\r\nb\r\n.\r\n"},
	}
	for _, tt := range tests {
		if got := stuff(tt.parts...); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestStufferIsReadyAgain(t *testing.T) {
	var s Stuffer
	s.Split(nil, []byte("a"))
	s.End()
	if got := bytes.Join(s.Split(nil, []byte(".")), nil); string(got) != ".." {
		t.Errorf("%q", got)
	}
}

// Whatever is stuffed is decoded to the same content, with one end mark, at the end.
func FuzzStuffer(f *testing.F) {
	f.Add("a\n.\n..b\n", uint16(1))
	f.Add("\n.", uint16(2))
	f.Add("\x00.\n", uint16(3))
	f.Fuzz(func(t *testing.T, text string, seed uint16) {
		text = strings.ReplaceAll(text, "\r", "")
		content := strings.ReplaceAll(text, "\n", "\r\n")
		random := rand.New(rand.NewPCG(uint64(seed), 0))
		var parts []string
		for rest := content; len(rest) > 0; {
			n := random.IntN(min(9, len(rest)) + 1)
			parts = append(parts, rest[:n])
			rest = rest[n:]
		}
		stream := stuff(parts...)
		want := content
		if !strings.HasSuffix("\r\n"+content, "\r\n") {
			want += "\r\n"
		}
		var d Decoder
		out, used, done := d.Decode(nil, []byte(stream))
		near := d.Faults.Near && d.Faults.NUL == 0 // content with NUL may come near by itself
		if string(out) != want || used != len(stream) || !done || near {
			t.Errorf("%q: %q, %d of %d, %v", stream, out, used, len(stream), done)
		}
	})
}

func TestStufferAllocates(t *testing.T) {
	src := []byte(strings.Repeat(".a\r\nb\r\n", 100))
	dst := make([][]byte, 0, 300)
	var s Stuffer
	if n := testing.AllocsPerRun(10, func() { s.Split(dst, src) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
