package smtp

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// pieces gives its data in pieces of random sizes, now and then an empty one.
type pieces struct {
	data []byte
	rand *rand.Rand
}

func newPieces(data []byte, seed uint16) *pieces {
	return &pieces{data, rand.New(rand.NewPCG(uint64(seed), 0))}
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.data[:min(p.rand.IntN(12), len(p.data))])
	p.data = p.data[n:]
	return n, nil
}

// stream gives one of its parts a read, then its error.
type stream struct {
	parts []string
	err   error
	reads int
}

func (s *stream) Read(b []byte) (int, error) {
	s.reads++
	if len(s.parts) == 0 {
		return 0, s.err
	}
	n := copy(b, s.parts[0])
	if s.parts[0] = s.parts[0][n:]; s.parts[0] == "" {
		s.parts = s.parts[1:]
	}
	return n, nil
}

// withError gives its data and its error in one read, then io.EOF.
type withError struct {
	data string
	err  error
}

func (w *withError) Read(b []byte) (int, error) {
	n, err := copy(b, w.data), w.err
	w.data, w.err = w.data[n:], io.EOF
	return n, err
}

// readLines is what Line says, until the first error but ErrBareLine; that error is the last entry.
func readLines(r *Reader, limit int) []string {
	var got []string
	for {
		line, err := r.Line(limit)
		switch {
		case err == nil:
			got = append(got, string(line))
		case err == ErrBareLine:
			got = append(got, "!bare")
		default:
			return append(got, "!"+err.Error())
		}
	}
}

func TestReaderLine(t *testing.T) {
	long := strings.Repeat("x", 98)
	tests := []struct {
		name, in string
		want     []string
	}{
		{"lines", "EHLO a\r\n\r\nQUIT\r\n", []string{"EHLO a", "", "QUIT", "!EOF"}},
		{"cut short", "EHLO a\r\nQU", []string{"EHLO a", "!EOF"}},
		{"bare LF is never two commands", "NOOP\nRSET\r\nQUIT\r\n", []string{"!bare", "QUIT", "!EOF"}},
		{"bare LF alone", "NOOP\n", []string{"!bare", "!EOF"}},
		{"bare LF, then CR LF", "NOOP\n\r\nQUIT\r\n", []string{"!bare", "QUIT", "!EOF"}},
		{"bare CR", "NOOP\rRSET\r\nQUIT\r\n", []string{"!bare", "QUIT", "!EOF"}},
		{"CR CR LF", "NOOP\r\r\nQUIT\r\n", []string{"!bare", "QUIT", "!EOF"}},
		{"NUL", "NO\x00OP\r\nQUIT\r\n", []string{"!bare", "QUIT", "!EOF"}},
		{"NUL at the start", "\x00NOOP\r\nQUIT\r\n", []string{"!bare", "QUIT", "!EOF"}},
		{"NUL between CR and LF", "NOOP\r\x00\nRSET\r\nQUIT\r\n", []string{"!bare", "QUIT", "!EOF"}},
		{"many faults in a line are one", "a\nb\rc\x00d\ne\r\nQUIT\r\n", []string{"!bare", "QUIT", "!EOF"}},
		{"longest line", long + "\r\nQUIT\r\n", []string{long, "QUIT", "!EOF"}},
		{"too long", long + "x\r\nQUIT\r\n", []string{"!line too long"}},
		{"too long without an end", strings.Repeat("x", 1<<17), []string{"!line too long"}},
		{"the rest of a faulty line is too long", "a\nb" + strings.Repeat("x", 1<<17), []string{"!bare", "!line too long"}},
	}
	for _, tt := range tests {
		for name, src := range map[string]io.Reader{
			"whole":    strings.NewReader(tt.in),
			"bytes":    iotest.OneByteReader(strings.NewReader(tt.in)),
			"with EOF": iotest.DataErrReader(strings.NewReader(tt.in)),
		} {
			if got := readLines(NewReader(src), 100); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s, %s: %q, want %q", tt.name, name, got, tt.want)
			}
		}
	}
}

func TestReaderLineAtOnce(t *testing.T) {
	for _, first := range [][]string{{"NOOP\n"}, {"NO\x00"}, {"NO\rO"}, {"NO\r", "O"}, {"NO", "\n"}, {"NO\r", "\x00"}} {
		src := &stream{parts: append(slices.Clone(first), "RSET\r\nQUIT\r\n"), err: io.EOF}
		r := NewReader(src)
		if _, err := r.Line(100); err != ErrBareLine || src.reads != len(first) {
			t.Errorf("%q: %v after %d reads", first, err, src.reads)
		}
		if r.HasLine() {
			t.Errorf("%q: a line while the rest of the faulty one is due", first)
		}
		if line, err := r.Line(100); string(line) != "QUIT" || err != nil {
			t.Errorf("%q: then %q, %v", first, line, err)
		}
	}
}

func TestReaderHasLine(t *testing.T) {
	tests := []struct {
		in   string
		want bool
	}{
		{"", false}, {"NOOP", false}, {"NOOP\r", false}, {"NOOP\r\n", true}, {"\r\n", true},
		{"NOOP\n", true}, {"NO\rO", true}, {"N\x00", true}, {"\x00", true},
	}
	for _, tt := range tests {
		r := NewReader(&stream{parts: []string{"RSET\r\n" + tt.in}, err: io.EOF})
		if _, err := r.Line(100); err != nil {
			t.Fatal(err)
		}
		for range 2 { // asking changes nothing
			if got := r.HasLine(); got != tt.want {
				t.Errorf("%q: %v", tt.in, got)
			}
		}
		if r.Buffered() != len(tt.in) {
			t.Errorf("%q: %d buffered", tt.in, r.Buffered())
		}
	}
}

func TestReaderReadsOnlyWhenItMust(t *testing.T) {
	src := &stream{parts: []string{"a\r\nb\r\nc"}, err: io.EOF}
	r := NewReader(src)
	for range 2 {
		if _, err := r.Line(100); err != nil || src.reads != 1 {
			t.Fatalf("%v after %d reads", err, src.reads)
		}
	}
	if b, err := r.Fill(); string(b) != "c" || err != nil || src.reads != 1 {
		t.Errorf("%q, %v after %d reads", b, err, src.reads)
	}
}

func TestReaderErrors(t *testing.T) {
	broken := errors.New("broken")
	r := NewReader(&stream{parts: []string{"QUIT\r\n"}, err: broken})
	if _, err := r.Line(100); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.Line(100); err != broken {
			t.Errorf("%v", err)
		}
	}
	r = NewReader(&withError{"QUIT\r\n", broken})
	if line, err := r.Line(100); string(line) != "QUIT" || err != nil {
		t.Errorf("bytes come before the error: %q, %v", line, err)
	}
	for _, want := range []error{broken, io.EOF} {
		if _, err := r.Line(100); err != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
	r = NewReader(&stream{}) // 0, nil for ever
	if _, err := r.Line(100); err != io.ErrNoProgress {
		t.Errorf("%v", err)
	}
	r = NewReader(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("ab\r\n"))))
	if _, err := r.Line(100); err != iotest.ErrTimeout {
		t.Errorf("%v", err)
	}
	if line, err := r.Line(100); string(line) != "ab" || err != nil { // what came before the time-out is kept
		t.Errorf("%q, %v", line, err)
	}
}

func TestReaderContent(t *testing.T) {
	body := strings.Repeat("0123456789", 10_000)
	r := NewReader(strings.NewReader("DATA\r\n" + body + "QUIT\r\n"))
	if _, err := r.Line(100); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for len(got) < len(body) {
		b, err := r.Fill()
		if err != nil {
			t.Fatal(err)
		}
		n := min(len(b), len(body)-len(got))
		got = append(got, b[:n]...)
		r.Consume(n)
	}
	if string(got) != body {
		t.Error("the content changed")
	}
	if len(r.buf) != largeBuffer {
		t.Errorf("content was read into %d octets", len(r.buf))
	}
	r.Shrink()
	if len(r.buf) != smallBuffer {
		t.Errorf("%d octets are held after Shrink", len(r.buf))
	}
	if line, err := r.Line(100); string(line) != "QUIT" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
}

func TestReaderMore(t *testing.T) {
	src := &stream{parts: []string{"ab", "cd", strings.Repeat("x", 2<<16)}, err: io.EOF}
	r := NewReader(src)
	for i, want := range []string{"ab", "abcd"} {
		if b, err := r.More(); string(b) != want || err != nil || src.reads != i+1 {
			t.Errorf("%q, %v, %d reads", b, err, src.reads)
		}
	}
	r.Consume(1)
	var err error
	var b []byte
	for n := 0; err == nil && n < 100; n++ {
		if b, err = r.More(); err == nil && !bytes.HasPrefix(b, []byte("bcdxxx")) {
			t.Fatalf("%.10q", b)
		}
	}
	if err != ErrLineTooLong || r.Buffered() != largeBuffer {
		t.Errorf("%v with %d octets buffered", err, r.Buffered())
	}
}

func TestReaderIdleHoldsNothing(t *testing.T) {
	long := strings.Repeat("x", 5000)
	src := &stream{parts: []string{long[:900], long[900:] + "\r\n", "NOOP\r\n"}, err: io.EOF}
	r := NewReader(src)
	if line, err := r.Line(12288); string(line) != long || err != nil {
		t.Fatal(err)
	}
	if len(r.buf) != lineBuffer {
		t.Errorf("a line of 5,000 octets in a buffer of %d", len(r.buf))
	}
	if _, err := r.Line(12288); err != nil || len(r.buf) != smallBuffer {
		t.Errorf("%d octets are held while a command is awaited, %v", len(r.buf), err)
	}
}

func TestReaderReset(t *testing.T) {
	r := NewReader(strings.NewReader("STARTTLS\r\nMAIL\nFROM"))
	if _, err := r.Line(100); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Line(100); err != ErrBareLine {
		t.Fatal(err)
	}
	r.Reset(strings.NewReader("EHLO a\r\n"))
	if r.Buffered() != 0 {
		t.Error("plaintext is still there")
	}
	if line, err := r.Line(100); string(line) != "EHLO a" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
}

// modelLines is what readLines should give, by looking at all of the input at once.
func modelLines(in string) []string {
	var want []string
	for {
		line, rest, found := strings.Cut(in, "\r\n")
		bad := line
		if !found {
			bad = strings.TrimSuffix(line, "\r") // its LF could still have come
		}
		if strings.ContainsAny(bad, "\r\n\x00") {
			want = append(want, "!bare")
		} else if found {
			want = append(want, line)
		}
		if !found {
			return append(want, "!EOF")
		}
		in = rest
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("EHLO a\r\nNOOP\nRSET\r\nQUIT\r\n"), uint16(1))
	f.Add([]byte("a\r\r\n\x00\r\n\n\r\nb"), uint16(2))
	f.Add(bytes.Repeat([]byte("x\ry\r\n"), 400), uint16(3))
	f.Fuzz(func(t *testing.T, in []byte, seed uint16) {
		if len(in) > 12288 {
			return
		}
		want := modelLines(string(in))
		if got := readLines(NewReader(newPieces(in, seed)), 12289); !reflect.DeepEqual(got, want) {
			t.Errorf("in pieces: %q, want %q", got, want)
		}
		if got := readLines(NewReader(bytes.NewReader(in)), 12289); !reflect.DeepEqual(got, want) {
			t.Errorf("whole: %q, want %q", got, want)
		}
	})
}
