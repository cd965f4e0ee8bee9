package proxy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatepost/proxy/smtp"
)

// plain is a decoder that changes nothing.
func plain(dst, src []byte) ([]byte, int, bool) { return append(dst, src...), len(src), false }

// spoolLimits are limits with a budget of memory octets, and spoolMemory of them for one message.
func spoolLimits(t testing.TB, memory, spoolMemory int64) (*budget, *Limits) {
	l := Limits{SpoolMemory: spoolMemory, SpoolDir: t.TempDir()}.withDefaults()
	b := new(budget)
	b.limit.Store(memory)
	return b, &l
}

// message is a header and n octets in all, no two stretches of it alike.
func message(n int) []byte {
	b := []byte("Subject: x\r\n\r\n")
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "line %d\r\n", i)
	}
	return b[:n]
}

// kept is what pieces give back.
func kept(t testing.TB, sp *spool) []byte {
	t.Helper()
	var g gather
	if err := sp.pieces(&g); err != nil {
		t.Fatal(err)
	}
	return g
}

// gather is where pieces go to in tests.
type gather []byte

func (g *gather) Write(p []byte) error { *g = append(*g, p...); return nil }

func (g *gather) File(f *os.File, n int64) error {
	b := make([]byte, n)
	_, err := f.ReadAt(b, 0)
	*g = append(*g, b...)
	return err
}

// TestSpoolPassesOn: what is kept is passed on where it gets too much, or on demand where the sender is slow, and once only; then little is kept.
func TestSpoolPassesOn(t *testing.T) {
	mem, lim := spoolLimits(t, 1<<30, 3*chunkSize)
	sp := newSpool(mem, lim, 1<<30)
	defer sp.close()
	var got gather
	calls := 0
	sp.passOn = func() error {
		calls++
		return sp.pieces(&got)
	}
	in := message(2 << 20)
	first := in[:firstSize+chunkSize/2]
	sp.write(plain, first)
	if sp.pass(); !bytes.Equal(got, first) || calls != 1 || sp.left() != 0 {
		t.Fatalf("%d octets of %d in %d calls, %d left", len(got), len(first), calls, sp.left())
	}
	if sp.pass(); !bytes.Equal(got, first) { // it may be a sign of life only
		t.Error("what was passed on was passed on once more")
	}
	for rest := in[len(first):]; len(rest) > 0; {
		n := min(len(rest), 5000)
		sp.write(plain, rest[:n])
		rest = rest[n:]
		if used := mem.used.Load(); used > firstSize+passAhead*chunkSize+100 {
			t.Fatalf("%d octets of memory", used)
		}
	}
	if sp.left() == 0 || sp.left() > passAhead*chunkSize {
		t.Errorf("%d octets are kept", sp.left())
	}
	if got = append(got, kept(t, sp)...); !bytes.Equal(got, in) || sp.file != nil {
		t.Errorf("%d octets of %d, or others", len(got), len(in))
	}
}

// TestSpoolSizes has messages end around each edge of the buffers: what comes out is what went in, the memory is given back, and
// no file is left.
func TestSpoolSizes(t *testing.T) {
	const spoolMemory = firstSize + 2*chunkSize
	edges := []int{14, firstSize - roomLeft, firstSize, firstSize + chunkSize, spoolMemory, spoolMemory + chunkSize, 5 * chunkSize}
	in := message(6 * chunkSize)
	for _, edge := range edges {
		for _, step := range []int{997, 64 << 10, 1 << 20} {
			for _, d := range []int{-1, 0, 1} {
				spoolOnce(t, in[:edge+d], step, spoolMemory)
			}
		}
	}
}

func spoolOnce(t *testing.T, in []byte, step int, spoolMemory int64) {
	t.Helper()
	mem, lim := spoolLimits(t, 1<<30, spoolMemory)
	sp := newSpool(mem, lim, 1<<30)
	size := len(in)
	for at := 0; at < len(in); at += step {
		sp.write(plain, in[at:min(at+step, len(in))])
	}
	if got := kept(t, sp); !bytes.Equal(got, in) || sp.size != int64(size) || sp.full != nil {
		t.Errorf("size %d in steps of %d: %d octets of size %d, full %v", size, step, len(got), sp.size, sp.full)
	}
	if used := mem.used.Load(); used > spoolMemory+chunkSize {
		t.Errorf("size %d: %d octets of memory", size, used)
	}
	sp.close()
	if used := mem.used.Load(); used != 0 {
		t.Errorf("size %d: %d octets of memory are not given back", size, used)
	}
	if files, _ := os.ReadDir(lim.SpoolDir); len(files) > 0 {
		t.Errorf("size %d: files are left", size)
	}
}

// TestSpoolHead finds the header wherever the input is cut.
func TestSpoolHead(t *testing.T) {
	tests := []struct{ name, in, head string }{
		{"a header and a body", "A: b\r\n\r\nbody\r\n\r\nx", "A: b\r\n"},
		{"no header", "\r\nbody\r\n\r\nx", ""},
		{"no empty line: all is header", "A: b\r\n", "A: b\r\n"},
		{"nothing", "", ""},
		{"two empty lines", "A: b\r\n\r\n\r\nx", "A: b\r\n"},
	}
	for _, test := range tests {
		for cut := range len(test.in) + 1 {
			mem, lim := spoolLimits(t, 1<<20, 0)
			sp := newSpool(mem, lim, 1<<20)
			sp.write(plain, []byte(test.in[:cut]))
			sp.write(plain, []byte(test.in[cut:]))
			if got := string(sp.head()); got != test.head {
				t.Errorf("%s, cut at %d: head %q, want %q", test.name, cut, got, test.head)
			}
			sp.close()
		}
	}
}

// TestSpoolLongHead keeps a header that is longer than the first buffer in one piece.
func TestSpoolLongHead(t *testing.T) {
	mem, lim := spoolLimits(t, 1<<30, 0)
	sp := newSpool(mem, lim, 1<<30)
	head := bytes.Repeat([]byte("Field: some text\r\n"), 5000) // 90 kB
	in := append(bytes.Clone(head), "\r\nbody"...)
	sp.write(plain, in)
	if !bytes.Equal(sp.head(), head) || !bytes.Equal(kept(t, sp), in) {
		t.Errorf("head of %d octets, content of %d", len(sp.head()), len(kept(t, sp)))
	}
	sp.close()
	if mem.used.Load() != 0 {
		t.Error("memory is not given back")
	}
}

// TestSpoolLargeHeadsLeaveRoom: headers of 500 KB, however many, take no more than half of the memory and what they had by then.
func TestSpoolLargeHeadsLeaveRoom(t *testing.T) {
	mem, lim := spoolLimits(t, 8<<20, 0)
	refused := 0
	var all []*spool
	for range 40 {
		sp := newSpool(mem, lim, 1<<30)
		sp.write(plain, bytes.Repeat([]byte("Field: some text\r\n"), 500_000/18))
		if sp.full == errNoMemory {
			refused++
		}
		all = append(all, sp)
	}
	if left := mem.limit.Load() - mem.used.Load(); refused == 0 || left < 1<<20 {
		t.Errorf("%d of 40 were refused, %d octets of 8 MiB are left", refused, left)
	}
	sp := newSpool(mem, lim, 1<<30)
	if sp.write(plain, message(40<<10)); sp.full != nil {
		t.Errorf("a message of 40 KB: %v", sp.full)
	}
	for _, sp := range append(all, sp) {
		sp.close()
	}
	if n := mem.used.Load(); n != 0 {
		t.Errorf("%d octets were not given back", n)
	}
}

// TestSpoolCountsCopy: the copy of the header that the checks keep counts as memory, and where there is none left for it they never begin.
func TestSpoolCountsCopy(t *testing.T) {
	for _, room := range []bool{true, false} {
		memory, limits := spoolLimits(t, firstSize+2000, 1<<20)
		if !room {
			memory.limit.Store(firstSize + 500)
		}
		sp := newSpool(memory, limits, 1<<20)
		began := 0
		sp.begin = func([]byte) io.Writer { began++; return nil }
		head := "Subject: " + strings.Repeat("x", 1000) + "\r\n"
		sp.write(plain, []byte(head+"\r\nx\r\n"))
		if used, want := memory.used.Load(), int64(firstSize+len(head)); room && (used != want || began != 1 || sp.full != nil) {
			t.Errorf("%d octets in use, want %d; begun %d times, %v", used, want, began, sp.full)
		} else if !room && (began > 0 || sp.full != errNoMemory) {
			t.Errorf("begun %d times, %v", began, sp.full)
		}
		sp.close()
		if n := memory.used.Load(); n != 0 {
			t.Errorf("%d octets were not given back", n)
		}
	}
}

// TestSpoolSetHead takes a part of the header out, with content in memory and in the file.
func TestSpoolSetHead(t *testing.T) {
	for _, size := range []int{100, firstSize, 300 << 10} {
		mem, lim := spoolLimits(t, 1<<30, 100<<10)
		sp := newSpool(mem, lim, 1<<30)
		body := message(size)[len("Subject: x\r\n"):]
		sp.write(plain, append([]byte("A: 1\r\nB: 2\r\nC: 3\r\n"), body...))
		sp.setHead([]byte("A: 1\r\nC: 3\r\n"))
		want := append([]byte("A: 1\r\nC: 3\r\n"), body...)
		if got := kept(t, sp); !bytes.Equal(got, want) || sp.size != int64(len(want)) || string(sp.head()) != "A: 1\r\nC: 3\r\n" {
			t.Errorf("size %d: %d octets, size says %d, head %q", size, len(got), sp.size, sp.head())
		}
		sp.close()
	}
}

// TestSpoolFull says why nothing is kept any more, and takes the rest all the same.
func TestSpoolFull(t *testing.T) {
	tests := []struct {
		name    string
		memory  int64
		maxSize int64
		dir     string
		in      []byte
		want    error
	}{
		{"a message over its limit", 1 << 30, 1000, "", message(1001), errTooLarge},
		{"a message at its limit", 1 << 30, 1000, "", message(1000), nil},
		{"a header over its limit", 1 << 30, 1 << 30, "", bytes.Repeat([]byte("a"), 513<<10), errHeadTooLarge},
		{"no memory for the first buffer", firstSize - 1, 1 << 30, "", message(10), errNoMemory},
		{"no memory for a chunk", firstSize, 1 << 30, "", message(firstSize + 1000), errNoMemory},
		{"memory for one chunk, the file has the rest", firstSize + chunkSize, 1 << 30, "", message(1 << 20), nil},
		{"no room for the file", 1 << 30, 1 << 30, "missing", message(1 << 20), os.ErrNotExist},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mem, lim := spoolLimits(t, test.memory, 128<<10)
			lim.SpoolDir = filepath.Join(lim.SpoolDir, test.dir)
			sp := newSpool(mem, lim, test.maxSize)
			if used, _ := sp.write(plain, test.in); used != len(test.in) {
				t.Errorf("%d of %d octets were taken", used, len(test.in))
			}
			if !errors.Is(sp.full, test.want) {
				t.Errorf("full is %v, want %v", sp.full, test.want)
			}
			if test.want == nil && !bytes.Equal(kept(t, sp), test.in) {
				t.Error("the content is another")
			}
			sp.close()
			if mem.used.Load() != 0 {
				t.Error("memory is not given back")
			}
		})
	}
}

// TestSpoolLeavesRoom: large messages under way, of which each could have all the memory, leave room for one more.
func TestSpoolLeavesRoom(t *testing.T) {
	for _, size := range []int{900 << 10, 3 << 20} { // within the limit of one message, and beyond
		mem, lim := spoolLimits(t, 4<<20, 1<<20)
		in := message(size)
		var all []*spool
		for range 20 {
			sp := newSpool(mem, lim, 1<<30)
			all = append(all, sp)
			sp.write(plain, in)
		}
		small := newSpool(mem, lim, 1<<30)
		all = append(all, small)
		small.write(plain, message(100))
		for i, sp := range all {
			if sp.full != nil {
				t.Errorf("%d octets: message %d is not kept: %v", size, i, sp.full)
			} else if sp != small && !bytes.Equal(kept(t, sp), in) {
				t.Errorf("%d octets: message %d has changed", size, i)
			}
			sp.close()
		}
		if n := mem.used.Load(); n != 0 {
			t.Errorf("%d octets are not given back", n)
		}
	}
}

// TestSpoolWasteIsClean: what was thrown away of one message must not turn up at the start of another, which gets the same buffer.
func TestSpoolWasteIsClean(t *testing.T) {
	for range 100 {
		mem, lim := spoolLimits(t, 1<<30, 1<<20)
		sp := newSpool(mem, lim, 20)
		sp.write(plain, message(100))
		sp.write(plain, []byte("more of a message that was refused"))
		sp.close()
		next := newSpool(mem, lim, 1<<20)
		next.write(plain, []byte("A: b\r\n"))
		if got := kept(t, next); string(got) != "A: b\r\n" {
			t.Fatalf("content %q", got)
		}
		next.close()
	}
}

// TestSpoolDecodes cuts a message of dots and bare LF at each place: the decoder may write more than it reads.
func TestSpoolDecodes(t *testing.T) {
	in := append(bytes.Repeat([]byte("\n"), 3*firstSize), "\r\n..x\r\n.\r\nbehind"...)
	mem, lim := spoolLimits(t, 1<<30, 1<<20)
	var want [32]byte
	for i, step := range []int{1, 7, 4096, 1 << 20} {
		sp := newSpool(mem, lim, 1<<30)
		var dec smtp.Decoder
		done, at := false, 0
		for !done {
			var n int
			n, done = sp.write(dec.Decode, in[at:min(at+step, len(in))])
			at += n
		}
		if left := string(in[at:]); left != "behind" {
			t.Errorf("in steps of %d: %q is left", step, left)
		}
		sum := sha256.Sum256(kept(t, sp))
		if i == 0 {
			want = sum
		}
		if sum != want || sp.size != 6*firstSize+2+4 {
			t.Errorf("in steps of %d: other content, size %d", step, sp.size)
		}
		sp.close()
	}
}

// TestFits fills buffers to the brim: what fits must not make them grow, and must be all where it can be.
func TestFits(t *testing.T) {
	for _, x := range []struct {
		name, src  string
		room, want int
	}{
		{"less than half", "\n\n\n", 6, 3},
		{"lines", "0123456\r\n", 10, 9},
		{"lines, exactly", "0123456\n", 9, 8},
		{"lines, one too many", "0123456\n", 8, 7},
		{"nothing but line feeds", "\n\n\n\n\n\n\n\n", 8, 4},
		{"more than there is room", "0123456789", 8, 8},
	} {
		if got := fits([]byte(x.src), x.room); got != x.want {
			t.Errorf("%s: %d, want %d", x.name, got, x.want)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		src := make([]byte, 200)
		for i := range src {
			src[i] = "\n\n\r.0000000"[random.IntN(11)]
		}
		var d smtp.Decoder
		out := make([]byte, 0, 2+random.IntN(300))
		size := cap(out)
		out, _, _ = d.Decode(out, src[:fits(src, size-2)])
		if cap(out) != size {
			t.Fatalf("%q does not fit into %d", src, size)
		}
	}
}

// FuzzSpool cuts any input in pieces of any size; what comes out is what went in.
func FuzzSpool(f *testing.F) {
	f.Add([]byte("A: b\r\n\r\nbody"), uint16(3), uint16(20))
	f.Add(bytes.Repeat([]byte("x\r\n"), 10), uint16(1), uint16(10000))
	f.Fuzz(func(t *testing.T, in []byte, step, times uint16) {
		if len(in) == 0 || step == 0 || int(times)*len(in) > 1<<20 {
			t.Skip()
		}
		in = bytes.Repeat(in, int(times)+1)
		mem, lim := spoolLimits(t, 1<<30, 1<<17)
		lim.HeaderSize = 1 << 30
		sp := newSpool(mem, lim, 1<<30)
		for at := 0; at < len(in); at += int(step) {
			sp.write(plain, in[at:min(at+int(step), len(in))])
		}
		if !bytes.Equal(kept(t, sp), in) || sp.size != int64(len(in)) {
			t.Fatal("the content is another")
		}
		sp.close()
		if mem.used.Load() != 0 {
			t.Fatal("memory is not given back")
		}
	})
}

// BenchmarkSpool takes in a message of 4 KiB, as most are.
func BenchmarkSpool(b *testing.B) {
	mem, lim := spoolLimits(b, 1<<30, 1<<20)
	in := message(4096)
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		sp := newSpool(mem, lim, 1<<20)
		sp.write(plain, in)
		sp.close()
	}
}
