package proxy

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"gatepost/proxy/backend"
)

// budget is the memory that content may take, over all sessions.
type budget struct{ used, limit atomic.Int64 }

// take reserves n octets; false where there is no room.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.limit.Load() {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// scarce says whether half of it is in use.
func (b *budget) scarce() bool { return b.used.Load() > b.limit.Load()/2 }

const (
	firstSize = 16 << 10 // of the buffer that most messages fit into whole
	chunkSize = 64 << 10
	roomLeft  = 512 // a buffer with less room than this is full
	largeHead = 64 << 10
	passAhead = 4 // chunks that are passed on together, once the first were
)

var (
	firstPool = sync.Pool{New: func() any { b := make([]byte, 0, firstSize); return &b }}
	chunkPool = sync.Pool{New: func() any { b := make([]byte, 0, chunkSize); return &b }}
)

// empty takes a buffer from a pool. What an earlier message left in it is out of reach.
func empty(p *sync.Pool) *[]byte {
	b := p.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

// spool holds the content of one message: the header and what came with it in one piece, then chunks of memory. Where these get too
// many, or memory is scarce, they are passed on to the backend, where that can be, or an unlinked file takes their place but for the last: large
// messages under way, however slow, leave room for others. Past a limit it throws away what it is given, and says why in full.
type spool struct {
	memory  *budget
	limits  *Limits
	maxSize int64

	begin   func(head []byte) io.Writer // called when the header is whole: where the content is to be written as well; may be nil
	tap     io.Writer                   // that place
	first   *[]byte                     // the header is always in here whole
	headEnd int                         // length of the header block in first, without the empty line; -1 while not found
	chunks  []*[]byte                   // full but for the last
	passOn  func() error                // where set: passes all that is kept on to the backend, errNotYet where that can't be
	passed  int64                       // octets of size that were passed on
	file    *os.File
	inFile  int64 // octets written to file
	size    int64
	taken   int64   // from memory
	waste   *[]byte // decoded into once nothing is kept any more
	full    error   // why not: errTooLarge, errHeadTooLarge, or an error of ours
}

var (
	errTooLarge     = fmt.Errorf("message too large")
	errHeadTooLarge = fmt.Errorf("header too large")
	errNoMemory     = fmt.Errorf("no memory left for content")
	errNotYet       = fmt.Errorf("content cannot be passed on before it is whole")
	errUnwanted     = fmt.Errorf("the message is refused, whatever else of it comes")
)

func newSpool(memory *budget, limits *Limits, maxSize int64) *spool {
	return &spool{memory: memory, limits: limits, maxSize: maxSize, headEnd: -1}
}

// decoder is smtp.Decoder.Decode, or what does the same for chunks.
type decoder func(dst, src []byte) (out []byte, used int, done bool)

// write takes what decode makes of src.
func (sp *spool) write(decode decoder, src []byte) (used int, done bool) {
	for !done && used < len(src) {
		var n int
		n, done = sp.piece(decode, src[used:])
		used += n
	}
	return used, done
}

// fits is how much of src surely makes content of at most room bytes: only an LF may become two.
func fits(src []byte, room int) int {
	n := min(len(src), room)
	return max(min(n, room/2), min(n, room-bytes.Count(src[:n], []byte{'\n'})))
}

// piece decodes as much of src as surely fits into the buffer at hand.
func (sp *spool) piece(decode decoder, src []byte) (used int, done bool) {
	buf := sp.room()
	before := len(*buf)
	*buf, used, done = decode(*buf, src[:fits(src, cap(*buf)-before-2)])
	sp.size += int64(len(*buf) - before)
	if sp.waste != nil {
		return used, done
	}
	switch {
	case sp.tap != nil:
		sp.tap.Write((*buf)[before:])
	case sp.headEnd < 0:
		sp.findHead(before)
	}
	if sp.size > sp.maxSize {
		sp.giveUp(errTooLarge)
	}
	return used, done
}

// headKnown opens the tap, and gives it what has come so far. Those behind begin keep a copy of the header, which counts.
func (sp *spool) headKnown(end int) {
	sp.headEnd = end
	if sp.begin == nil || sp.waste != nil {
		return
	}
	if !sp.reserve(int64(end)) {
		sp.giveUp(errNoMemory)
		return
	}
	if sp.tap = sp.begin((*sp.first)[:end]); sp.tap != nil {
		sp.tap.Write(*sp.first)
	}
}

// end is called when the content has come whole: a message without an empty line is all header.
func (sp *spool) end() {
	if sp.first != nil && sp.waste == nil && sp.headEnd < 0 {
		sp.headKnown(len(*sp.first))
		sp.headEnd = -1
	}
}

// findHead looks for the empty line that ends the header, in what came behind from.
func (sp *spool) findHead(from int) {
	b := *sp.first
	end := -1
	from = max(from-3, 0)
	if from == 0 && bytes.HasPrefix(b, []byte("\r\n")) {
		end = 0
	} else if i := bytes.Index(b[from:], []byte("\r\n\r\n")); i >= 0 {
		end = from + i + 2
	}
	switch {
	case end > sp.limits.HeaderSize, end < 0 && len(b) > sp.limits.HeaderSize:
		sp.giveUp(errHeadTooLarge)
	case end >= 0:
		sp.headKnown(end)
	}
}

// room is a buffer with room for more.
func (sp *spool) room() *[]byte {
	if sp.waste != nil {
		*sp.waste = (*sp.waste)[:0]
		return sp.waste
	}
	if sp.first == nil && !sp.takeFirst() {
		return sp.giveUp(errNoMemory)
	}
	last := sp.first
	if n := len(sp.chunks); n > 0 {
		last = sp.chunks[n-1]
	}
	switch {
	case cap(*last)-len(*last) >= roomLeft:
		return last
	case sp.headEnd < 0: // the header stays in one piece
		return sp.growFirst()
	case sp.file != nil, sp.passed > 0 && len(sp.chunks) == passAhead,
		len(sp.chunks) > 0 && (sp.taken+chunkSize > sp.limits.SpoolMemory || sp.memory.scarce()):
		return sp.spill()
	}
	return sp.addChunk()
}

// takeFirst takes the first buffer; false where there is no memory left for it.
func (sp *spool) takeFirst() bool {
	sp.first = empty(&firstPool)
	return sp.reserve(firstSize)
}

// growFirst doubles the first buffer. A header cannot go to a file, so where memory is scarce a large one has to go: some slow senders of such
// would leave no memory for anybody.
func (sp *spool) growFirst() *[]byte {
	if cap(*sp.first) >= largeHead && sp.memory.scarce() || !sp.reserve(int64(cap(*sp.first))) {
		return sp.giveUp(errNoMemory)
	}
	bigger := make([]byte, len(*sp.first), 2*cap(*sp.first))
	copy(bigger, *sp.first)
	sp.dropFirst()
	sp.first = &bigger
	return sp.first
}

func (sp *spool) dropFirst() {
	if sp.first != nil && cap(*sp.first) == firstSize {
		firstPool.Put(sp.first)
	}
	sp.first = nil
}

// addChunk adds a chunk of memory; where there is none left, the file serves.
func (sp *spool) addChunk() *[]byte {
	if !sp.reserve(chunkSize) {
		if len(sp.chunks) == 0 {
			return sp.giveUp(errNoMemory)
		}
		return sp.spill()
	}
	c := empty(&chunkPool)
	sp.chunks = append(sp.chunks, c)
	return c
}

// reserve takes memory from the budget; false where there is none left.
func (sp *spool) reserve(n int64) bool {
	if !sp.memory.take(n) {
		return false
	}
	sp.taken += n
	return true
}

// spill makes room: the chunks, which are full, go to the backend or to the file. It gives the last of them back empty.
func (sp *spool) spill() *[]byte {
	sp.pass()
	switch {
	case sp.waste != nil:
		return sp.waste
	case sp.passed < sp.size:
		return sp.toFile()
	}
	return sp.chunks[0]
}

// pass passes on what is kept, if that can be.
func (sp *spool) pass() {
	if sp.waste != nil || sp.passOn == nil {
		return
	}
	switch err := sp.passOn(); err {
	case nil:
		sp.passed, sp.tap = sp.size, nil
		sp.dropFile()
		sp.reuse()
	case errNotYet:
	default:
		sp.giveUp(err)
	}
}

// toFile writes the chunks to the file.
func (sp *spool) toFile() *[]byte {
	if sp.file == nil {
		f, err := unlinkedFile(sp.limits.SpoolDir)
		if err != nil {
			return sp.giveUp(err)
		}
		sp.file = f
	}
	for _, c := range sp.chunks {
		if _, err := sp.file.Write(*c); err != nil {
			return sp.giveUp(err)
		}
		sp.inFile += int64(len(*c))
	}
	return sp.reuse()
}

// reuse keeps the last of the chunks, emptied.
func (sp *spool) reuse() *[]byte {
	last := len(sp.chunks) - 1
	sp.free(sp.chunks[:last])
	sp.chunks = sp.chunks[last:]
	*sp.chunks[0] = (*sp.chunks[0])[:0]
	return sp.chunks[0]
}

// giveUp keeps nothing from here on but the first buffer, for the record; it returns a buffer to decode into.
func (sp *spool) giveUp(why error) *[]byte {
	if sp.waste == nil {
		sp.full, sp.tap = why, nil
		sp.freeChunks()
		sp.waste = empty(&firstPool)
	}
	*sp.waste = (*sp.waste)[:0]
	return sp.waste
}

// head is the header block, empty while its end has not come.
func (sp *spool) head() []byte {
	if sp.first == nil {
		return nil
	}
	if sp.headEnd < 0 {
		return *sp.first // no empty line came: all of it is header
	}
	return (*sp.first)[:sp.headEnd]
}

// setHead replaces the header block by a shorter one.
func (sp *spool) setHead(head []byte) {
	old := sp.head()
	rest := (*sp.first)[len(old):]
	n := copy(*sp.first, head)
	n += copy((*sp.first)[n:], rest)
	*sp.first = (*sp.first)[:n]
	sp.size -= int64(len(old) - len(head))
	if sp.headEnd >= 0 {
		sp.headEnd = len(head)
	}
}

// left is how many octets pieces gives.
func (sp *spool) left() int64 { return sp.size - sp.passed }

// pieces gives the content that was not passed on, in order. Where a file was used it holds what comes before the last chunk.
func (sp *spool) pieces(to backend.Sink) error {
	if sp.first == nil {
		return nil
	}
	if sp.passed == 0 {
		if err := to.Write(*sp.first); err != nil {
			return err
		}
	}
	if sp.file != nil {
		if err := to.File(sp.file, sp.inFile); err != nil {
			return err
		}
	}
	for _, c := range sp.chunks {
		if err := to.Write(*c); err != nil {
			return err
		}
	}
	return nil
}

// close gives everything back.
func (sp *spool) close() {
	sp.freeChunks()
	sp.dropFirst()
	if sp.waste != nil {
		firstPool.Put(sp.waste)
		sp.waste = nil
	}
	sp.memory.give(sp.taken)
	sp.taken = 0
}

// free gives chunks back.
func (sp *spool) free(chunks []*[]byte) {
	for _, c := range chunks {
		chunkPool.Put(c)
	}
	freed := int64(len(chunks)) * chunkSize
	sp.memory.give(freed)
	sp.taken -= freed
}

func (sp *spool) freeChunks() {
	sp.free(sp.chunks)
	sp.chunks = nil
	sp.dropFile()
}

func (sp *spool) dropFile() {
	if sp.file != nil {
		sp.file.Close()
		sp.file, sp.inFile = nil, 0
	}
}

// unlinkedFile makes a file that is gone when it is closed, or when the process dies.
func unlinkedFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "gatepost-")
	if err != nil {
		return nil, fmt.Errorf("make a spool file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("unlink the spool file: %w", err)
	}
	return f, nil
}
