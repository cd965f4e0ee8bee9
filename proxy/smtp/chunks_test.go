package smtp

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestChunks(t *testing.T) {
	tests := []struct {
		name   string
		chunks []string
		want   string
		faults Faults
	}{
		{"lines", []string{"a\r\nb\r\n"}, "a\r\nb\r\n", Faults{}},
		{"a lone dot is content", []string{"a\r\n.\r\n..b\r\n"}, "a\r\n.\r\n..b\r\n", Faults{}},
		{"cut in a line end", []string{"a\r", "\nb\r", "\n"}, "a\r\nb\r\n", Faults{}},
		{"empty chunks", []string{"", "a\r", "", "\n", ""}, "a\r\n", Faults{}},
		{"bare LF", []string{"a\n\nb", "\nc\r\n"}, "a\r\n\r\nb\r\nc\r\n", Faults{BareLF: 3}},
		{"bare CR", []string{"a\r", "b\rc\r\r\n"}, "a\rb\rc\r\r\n", Faults{BareCR: 3}},
		{"CR at the end", []string{"a\r"}, "a\r", Faults{BareCR: 1}},
		{"CR CR in two chunks", []string{"a\r", "\r", "\n"}, "a\r\r\n", Faults{BareCR: 1}},
		{"NUL", []string{"\x00.\r\n"}, "\x00.\r\n", Faults{NUL: 1}},
		{"last line without an end", []string{"a\r\nb"}, "a\r\nb", Faults{}},
	}
	for _, tt := range tests {
		var c Chunks
		var out []byte
		for _, chunk := range tt.chunks {
			out = c.Decode(out, []byte(chunk))
		}
		if out = c.End(out); string(out) != tt.want || c.Faults != tt.faults {
			t.Errorf("%s: %q, %+v, want %q, %+v", tt.name, out, c.Faults, tt.want, tt.faults)
		}
	}
}

func FuzzChunks(f *testing.F) {
	f.Add([]byte("a\r\n.\r\n\n\r\r\n\x00"), uint16(1))
	f.Add([]byte("\r\r\r"), uint16(2))
	f.Fuzz(func(t *testing.T, in []byte, seed uint16) {
		text := string(in)
		pairs := strings.Count(text, "\r\n")
		faults := Faults{
			BareLF: strings.Count(text, "\n") - pairs,
			BareCR: strings.Count(text, "\r") - pairs,
			NUL:    strings.Count(text, "\x00"),
		}
		want := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
		var c Chunks
		var out []byte
		random := rand.New(rand.NewPCG(uint64(seed), 0))
		for len(in) > 0 {
			n := random.IntN(min(9, len(in)) + 1)
			out = c.Decode(out, in[:n])
			in = in[n:]
		}
		if out = c.End(out); string(out) != want || c.Faults != faults {
			t.Errorf("%q, %+v, want %q, %+v", out, c.Faults, want, faults)
		}
	})
}

func TestChunksAllocates(t *testing.T) {
	in := []byte(strings.Repeat("..a\r\nb\nc\rd\x00\r\n", 100))
	dst := make([]byte, 0, 2*len(in)+1)
	var c Chunks
	if n := testing.AllocsPerRun(10, func() { c = Chunks{}; c.Decode(dst, in) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
