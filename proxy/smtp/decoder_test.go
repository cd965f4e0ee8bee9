package smtp

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const smuggled = "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nforged\r\n"

func TestDecoder(t *testing.T) {
	tests := []struct {
		name, in, want string
		faults         Faults
	}{
		{"lines", "a\r\nbc\r\n\r\n.\r\n", "a\r\nbc\r\n\r\n", Faults{}},
		{"empty message", ".\r\n", "", Faults{}},
		{"stuffed dots", "..\r\n..a\r\n...\r\n.b\r\n.\r\n", ".\r\n.a\r\n..\r\nb\r\n", Faults{}},
		{"dots inside lines", "a.\r\nb.c\r\n.\r\n", "a.\r\nb.c\r\n", Faults{}},
		{"bare LF", "a\nb\n\r\n.\r\n", "a\r\nb\r\n\r\n", Faults{BareLF: 2}},
		{"a dot behind a bare LF is content", "a\n.b\r\n.\r\n", "a\r\n.b\r\n", Faults{BareLF: 1}},
		{"bare CR", "a\rb\r\r\n.\r\n", "a\rb\r\r\n", Faults{BareCR: 2}},
		{"NUL", "a\x00b\r\n.\r\n", "a\x00b\r\n", Faults{NUL: 1}},
		{"a stuffed dot and a bare CR", "..\r.x\r\n.\r\n", ".\r.x\r\n", Faults{BareCR: 1}},

		{"LF . LF", "a\n.\n" + smuggled + ".\r\n", "a\r\n.\r\n" + smuggled, Faults{BareLF: 2, Near: true}},
		{"LF . CR LF", "a\n.\r\n" + smuggled + ".\r\n", "a\r\n.\r\n" + smuggled, Faults{BareLF: 1, Near: true}},
		{"CR LF . LF", "a\r\n.\n" + smuggled + ".\r\n", "a\r\n\r\n" + smuggled, Faults{BareLF: 1, Near: true}},
		{"CR . CR", "a\r.\r" + smuggled + ".\r\n", "a\r.\r" + smuggled, Faults{BareCR: 2, Near: true}},
		{"CR . CR LF", "a\r.\r\n" + smuggled + ".\r\n", "a\r.\r\n" + smuggled, Faults{BareCR: 1, Near: true}},
		{"CR . LF", "a\r.\n" + smuggled + ".\r\n", "a\r.\r\n" + smuggled, Faults{BareCR: 1, BareLF: 1, Near: true}},
		{"CR LF NUL . CR LF", "a\r\n\x00.\r\n" + smuggled + ".\r\n", "a\r\n\x00.\r\n" + smuggled, Faults{NUL: 1, Near: true}},
		{"CR LF . NUL CR LF", "a\r\n.\x00\r\n" + smuggled + ".\r\n", "a\r\n\x00\r\n" + smuggled, Faults{NUL: 1, Near: true}},
		{"CR LF . CR CR LF", "a\r\n.\r\r\n" + smuggled + ".\r\n", "a\r\n\r\r\n" + smuggled, Faults{BareCR: 1, Near: true}},
		{"CR LF . CR", "a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", Faults{BareCR: 1, Near: true}},
		{"CR LF CR . CR LF", "a\r\n\r.\r\n.\r\n", "a\r\n\r.\r\n", Faults{BareCR: 1, Near: true}},
		{"CR LF NUL . CR LF behind a bare LF", "a\nb\r\n\x00.\r\n.\r\n", "a\r\nb\r\n\x00.\r\n", Faults{NUL: 1, BareLF: 1, Near: true}},
		{". LF . CR LF first", ".\n.\r\n\r\n.\r\n", "\r\n.\r\n\r\n", Faults{BareLF: 1, Near: true}},
	}
	for _, tt := range tests {
		var d Decoder
		out, used, done := d.Decode(nil, []byte(tt.in+"\x00QUIT\n"))
		if string(out) != tt.want || used != len(tt.in) || !done || d.Faults != tt.faults {
			t.Errorf("%s: %q, %d of %d, %v, %+v; want %q, %+v", tt.name, out, used, len(tt.in), done, d.Faults, tt.want, tt.faults)
		}
		checkDotted(t, out, d.Dotted)
		for cut := 1; cut < len(tt.in); cut++ {
			checkCut(t, tt.in, cut, tt.want, tt.faults)
		}
	}
}

// checkCut decodes in cut at one place, and from there on byte by byte.
func checkCut(t *testing.T, in string, cut int, want string, faults Faults) {
	t.Helper()
	var d Decoder
	out, used, done := d.Decode(nil, []byte(in[:cut]))
	for at := cut; at < len(in) && !done; at++ {
		if used != at {
			t.Fatalf("%q cut at %d: %d used", in, cut, used)
		}
		var n int
		out, n, done = d.Decode(out, []byte(in[at:at+1]))
		used += n
	}
	if string(out) != want || used != len(in) || !done || d.Faults != faults {
		t.Errorf("%q cut at %d: %q, %d used, %v, %+v", in, cut, out, used, done, d.Faults)
	}
	checkDotted(t, out, d.Dotted)
}

func TestDecoderReset(t *testing.T) {
	var d Decoder
	d.Decode(nil, []byte("a\n.\r"))
	d.Reset()
	out, _, done := d.Decode(nil, []byte(".\r\n"))
	if len(out) != 0 || !done || d.Faults != (Faults{}) {
		t.Errorf("%q, %v, %+v", out, done, d.Faults)
	}
}

// model is the Decoder in small words: it looks at all of the input at once.
func model(in string) (content string, faults Faults, used int, done bool) {
	body := in
	used = len(in)
	if i := strings.Index("\r\n"+in, "\r\n.\r\n"); i >= 0 {
		body, used, done = in[:i], i+len(".\r\n"), true
	}
	faults.NUL = strings.Count(body, "\x00")
	undecided := strings.HasSuffix(body, "\r") && !done
	faults.BareCR = strings.Count(body, "\r") - strings.Count(body, "\r\n")
	if undecided {
		faults.BareCR--
	}
	faults.BareLF = strings.Count(body, "\n") - strings.Count(body, "\r\n")
	lines := strings.SplitAfter(body, "\r\n")
	if last := &lines[len(lines)-1]; *last == ".\r" && !done {
		*last = "."
	}
	for _, line := range lines {
		content += strings.TrimPrefix(line, ".")
		faults.Near = faults.Near || hasLoneDot(line)
	}
	content = strings.ReplaceAll(content, "\r\n", "\n")
	return strings.ReplaceAll(content, "\n", "\r\n"), faults, used, done
}

// hasLoneDot says whether a dot stands alone before a CR or LF.
func hasLoneDot(line string) bool {
	line = strings.ReplaceAll(line, "\x00", "")
	pieces := strings.SplitAfter(strings.ReplaceAll(line, "\r", "\n"), "\n")
	return slices.Contains(pieces, ".\n")
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte("a\r\n.\r\nb"), uint16(1))
	f.Add([]byte("a\n.\n.\r.\r\x00\r\n.\x00\r\n.\r\r\n..\r\n.\r\n"), uint16(2))
	f.Add([]byte(".\r"), uint16(3))
	f.Add([]byte("\n.\r\n\r\n.\r\n"), uint16(4))
	f.Fuzz(func(t *testing.T, in []byte, seed uint16) {
		content, faults, used, done := model(string(in))
		var d Decoder
		out, n, end := d.Decode(make([]byte, 0, 2*len(in)), in)
		if string(out) != content || d.Faults != faults || n != used || end != done {
			t.Fatalf("whole: %q, %+v, %d, %v; want %q, %+v, %d, %v", out, d.Faults, n, end, content, faults, used, done)
		}
		checkContent(t, out, d.Faults)
		checkDotted(t, out, d.Dotted)
		d.Reset()
		out, n, end = decodePieces(&d, in, seed)
		if string(out) != content || d.Faults != faults || n != used || end != done {
			t.Fatalf("pieces: %q, %+v, %d, %v; want %q, %+v, %d, %v", out, d.Faults, n, end, content, faults, used, done)
		}
		checkDotted(t, out, d.Dotted)
	})
}

// checkDotted: content that is not called dotted needs no stuffing, else the backend could take a line of it for the end mark.
func checkDotted(t *testing.T, content []byte, dotted bool) {
	t.Helper()
	if !dotted && (bytes.HasPrefix(content, []byte(".")) || bytes.Contains(content, []byte("\n."))) {
		t.Fatalf("%q is called free of dots", content)
	}
}

// decodePieces decodes in cut at random.
func decodePieces(d *Decoder, in []byte, seed uint16) (out []byte, used int, done bool) {
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	for used < len(in) && !done {
		n := random.IntN(min(9, len(in)-used) + 1)
		out, n, done = d.Decode(out, in[used:used+n])
		used += n
	}
	return out, used, done
}

// checkContent: no bare LF, and a bare CR only where it was counted. One at the end may still get its LF.
func checkContent(t *testing.T, content []byte, faults Faults) {
	t.Helper()
	pairs := bytes.Count(content, []byte("\r\n"))
	if n := bytes.Count(content, []byte("\n")); n != pairs {
		t.Errorf("%d bare LFs in %q", n-pairs, content)
	}
	bare := bytes.Count(bytes.TrimSuffix(content, []byte("\r")), []byte("\r")) - pairs
	if bare > faults.BareCR {
		t.Errorf("%d bare CRs in %q, %d counted", bare, content, faults.BareCR)
	}
}

func TestDecoderAllocates(t *testing.T) {
	in := []byte(strings.Repeat("..a\r\nb\nc\rd\x00\r\n", 100))
	dst := make([]byte, 0, 2*len(in)+1)
	var d Decoder
	if n := testing.AllocsPerRun(10, func() { d.Reset(); d.Decode(dst, in) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
