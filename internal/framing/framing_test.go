package framing

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rounds is how many streams TestFraming plays; GATEPOST_FRAMING_ROUNDS asks for another number, and GATEPOST_FRAMING_SEED for
// other streams.
const rounds = 5000

// TestFraming plays streams made at random to each kind of backend.
func TestFraming(t *testing.T) {
	n, seed := number(t, "GATEPOST_FRAMING_ROUNDS", rounds), number(t, "GATEPOST_FRAMING_SEED", 1)
	for kind, s := range stands(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			seen := map[string]int{}
			for round := kind; round < n; round += 3 {
				in := source{rand.New(rand.NewPCG(uint64(seed), uint64(round)))}.stream()
				if !s.check(t, in, seen) {
					t.Fatalf("seed %d, round %d", seed, round)
				}
			}
			t.Log(seen)
			for _, what := range []string{"kept", "refused", "dropped", "aborted"} {
				if seen[what] < n/3/20 {
					t.Errorf("too few of %d streams were %s: %v", n/3, what, seen)
				}
			}
		})
	}
}

func number(t *testing.T, name string, standard int) int {
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(name, err)
	}
	return n
}

// check plays a stream. One that goes wrong is made as small as it gets before it is shown.
func (s *stand) check(t *testing.T, in stream, seen map[string]int) bool {
	p := in.plan()
	if unfit(in, p) {
		seen["unfit"]++
		return true
	}
	seen["kept"] += len(p.kept)
	seen["refused"] += p.refused
	switch {
	case !p.over:
		seen["aborted"]++
	case p.replies[len(p.replies)-1] != "221":
		seen["dropped"]++
	}
	why := s.play(p)
	if why == "" {
		return true
	}
	if s.play(stream{}.plan()) == "" { // else what went wrong has spoilt the stand too, and nothing can be tried any more
		if small := s.smallest(in); s.play(small.plan()) != "" {
			in, why = small, s.play(small.plan())
		}
	}
	t.Errorf("before a backend of kind %s:\n%v\n%s", s.name, in, why)
	return false
}

// unfit says whether a stream is none for this test: fields that the proxy takes out are another matter.
func unfit(in stream, p *plan) bool {
	bare := strings.ToLower(strings.Join(strings.Fields(string(in.bytes)), ""))
	return p.unsure || strings.Contains(bare, "x-spam") || strings.Contains(bare, "authentication-results") || len(p.writes) > 5000
}

// smallest takes away from a stream what it can, as long as it goes wrong and there is time.
func (s *stand) smallest(in stream) stream {
	end := time.Now().Add(patience)
	late := func() bool { return time.Now().After(end) }
	wrong := func(c stream) bool {
		p := c.plan()
		return !unfit(c, p) && s.play(p) != ""
	}
	for _, c := range []stream{{in.bytes, nil, true, false}, {in.bytes, nil, in.waits, in.aborts}, {in.bytes, []byte{0}, in.waits, in.aborts}} {
		if wrong(c) {
			in = c
			break
		}
	}
	for size := len(in.bytes) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(in.bytes) && !late(); {
			c := in
			if c.bytes = append(append([]byte{}, in.bytes[:at]...), in.bytes[at+size:]...); wrong(c) {
				in = c
			} else {
				at += size
			}
		}
	}
	return in
}

// FuzzFraming plays any stream to one of the backends: kind says which. Of manner the first bit is to go on without a wait for
// replies, the second to hang up where the stream ends in content.
func FuzzFraming(f *testing.F) {
	all := stands(f)
	f.Fuzz(func(t *testing.T, bytes, pieces []byte, kind, manner byte) {
		if len(bytes) > 4<<10 || len(pieces) > 64 {
			return
		}
		in := stream{bytes, pieces, manner&1 == 0, manner&2 != 0}
		all[int(kind)%len(all)].check(t, in, map[string]int{})
	})
}
