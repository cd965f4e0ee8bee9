package smtp

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestReplyAppend(t *testing.T) {
	long := strings.Repeat("x", 600)
	tests := []struct {
		name string
		in   Reply
		want string
	}{
		{"one line", Reply{250, "2.0.0 OK"}, "250 2.0.0 OK\r\n"},
		{"no text keeps the space", Reply{354, ""}, "354 \r\n"},
		{"several lines", Reply{250, "mx\nSIZE 10\nDSN"}, "250-mx\r\n250-SIZE 10\r\n250 DSN\r\n"},
		{"line ends can't be put in", Reply{550, "a\r250 b"}, "550 a?250 b\r\n"},
		{"terminal sequences", Reply{550, "\x1b[2J\x7f"}, "550 ?[2J?\r\n"},
		{"C1 controls in UTF-8", Reply{550, "a\u009b2J"}, "550 a?2J\r\n"},
		{"not UTF-8", Reply{550, "a\xffb\xc3"}, "550 a?b?\r\n"},
		{"tab and UTF-8 stay", Reply{550, "a\tü"}, "550 a\tü\r\n"},
		{"cut to 512 octets", Reply{550, long}, "550 " + long[:506] + "\r\n"},
		{"cut between characters", Reply{550, "x" + strings.Repeat("ü", 300)}, "550 x" + strings.Repeat("ü", 252) + "\r\n"},
		{"cut where nothing is a character", Reply{550, strings.Repeat("\x80", 600)}, "550 " + strings.Repeat("?", 506) + "\r\n"},
	}
	for _, tt := range tests {
		if got := string(tt.in.Append(nil)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestReplyAppendBoundsLines(t *testing.T) {
	wire := string(Reply{250, strings.Repeat("x\n", 5000)}.Append(nil))
	if n := strings.Count(wire, "\r\n"); n != maxReplyLines {
		t.Fatalf("%d lines, want %d", n, maxReplyLines)
	}
	if !strings.HasSuffix(wire, "250 x\r\n") {
		t.Error("the last line does not end the reply")
	}
}

func TestReplyWithRef(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"one line", "5.7.1 no", "5.7.1 no [8F3K]"},
		{"the last of several", "5.7.1 a\n5.7.1 b", "5.7.1 a\n5.7.1 b [8F3K]"},
		{"a long line is cut", strings.Repeat("x", 600), strings.Repeat("x", 499) + " [8F3K]"},
		{"lines that would be dropped", strings.Repeat("x\n", 200), strings.Repeat("x\n", 99) + "x [8F3K]"},
		{"no text", "", " [8F3K]"},
	}
	for _, tt := range tests {
		got := Reply{550, tt.text}.WithRef("8F3K")
		if want := (Reply{550, tt.want}); got != want {
			t.Errorf("%s: %v, want %v", tt.name, got, want)
		}
		if wire := string(got.Append(nil)); !strings.HasSuffix(wire, " [8F3K]\r\n") {
			t.Errorf("%s: the ref is not at the end of %q", tt.name, wire)
		}
	}
}

func TestReplyEnhanced(t *testing.T) {
	tests := []struct {
		in   Reply
		want string
	}{
		{Reply{550, "5.7.1 no"}, "5.7.1"},
		{Reply{250, "2.0.0"}, "2.0.0"},
		{Reply{451, "4.7.999\n4.7.1 b"}, "4.7.999"},
		{Reply{550, "4.7.1 the class is wrong"}, ""},
		{Reply{354, "3.0.0 no such class"}, ""},
		{Reply{0, "0.0.0"}, ""},
		{Reply{550, "5.7 no"}, ""},
		{Reply{550, "5.7.1234 no"}, ""},
		{Reply{550, "5.7.1.2 no"}, ""},
		{Reply{550, "5..1 no"}, ""},
		{Reply{550, "5.+7.1 no"}, ""},
		{Reply{550, " 5.7.1 no"}, ""},
		{Reply{550, ""}, ""},
	}
	for _, tt := range tests {
		if got := tt.in.Enhanced(); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestReplyError(t *testing.T) {
	if got := (Reply{550, "5.7.1 a\n5.7.1 b"}).Error(); got != "550 5.7.1 a 5.7.1 b" {
		t.Errorf("%q", got)
	}
}

func FuzzReplyAppend(f *testing.F) {
	f.Add("5.7.1 no\nü\r\x00\xff")
	f.Add(strings.Repeat("ü", 600))
	f.Fuzz(func(t *testing.T, text string) {
		wire := string(Reply{550, text}.WithRef("REF").Append(nil))
		lines := strings.Split(strings.TrimSuffix(wire, "\r\n"), "\r\n")
		for i, line := range lines {
			if len(line) > 510 || strings.ContainsAny(line, "\r\n\x00\x1b\x7f") || !utf8.ValidString(line) {
				t.Errorf("bad line %q", line)
			}
			if last := i == len(lines)-1; last != strings.HasPrefix(line, "550 ") || last && !strings.HasSuffix(line, " [REF]") {
				t.Errorf("line %d of %d: %q", i, len(lines), line)
			}
		}
	})
}

func TestReplyAppendAllocates(t *testing.T) {
	dst := make([]byte, 0, 1024)
	r := Reply{550, "5.7.1 grüß\x00e\n5.7.1 b"}
	if n := testing.AllocsPerRun(100, func() { dst = r.Append(dst[:0]) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
