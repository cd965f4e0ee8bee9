// Package journal keeps the record of every transaction. Writing is done apart from the sessions: a record is queued and
// never waited for, and what cannot be kept is counted and said. Store keeps records where Reader finds them again; Lines
// writes them as JSON for others.
package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gatepost/policy"
)

// Lines writes records as JSON, one a line, to a file or to stdout.
type Lines struct {
	path    string // "-" for stdout
	filter  *Filter
	log     *slog.Logger
	queue   chan *policy.Record
	reopen  chan struct{}
	stop    chan struct{}
	done    chan struct{}
	once    sync.Once
	ended   atomic.Bool  // nobody reads the queue any more
	pending atomic.Int64 // records that the writer has taken, and not yet written; who takes them from here counts them
	written atomic.Int64
	dropped atomic.Int64
	said    losses

	// Of the writer alone:
	out  io.WriteCloser
	line bytes.Buffer // the one that is made
	buf  bytes.Buffer // lines that are written together
	torn bool         // out ends within a line, so buf begins with a line end
	why  error        // records were lost last
}

const (
	queueSize = 4096                  // records that may wait for the disk
	pause     = 20 * time.Millisecond // between two looks at them: a session that wakes nobody is cheaper
	flushAt   = 64 << 10              // octets that are written at once, about
	grace     = 5 * time.Second       // for what waits at the end
)

// Why records are lost, besides what the system says.
var (
	errSlow   = errors.New("more came than could be written")
	errUnread = errors.New("nobody reads it")
)

// OpenLines opens the file for appending ("-" is stdout) and starts the writer. A file that cannot be opened is an error; a named pipe
// without a reader is none.
func OpenLines(path string, filter *Filter, log *slog.Logger) (*Lines, error) {
	out, err := openAppend(path)
	if err != nil {
		return nil, err
	}
	l := newLines(path, filter, log)
	go l.run(out)
	return l, nil
}

func newLines(path string, filter *Filter, log *slog.Logger) *Lines {
	return &Lines{path: path, filter: filter, log: log, queue: make(chan *policy.Record, queueSize), reopen: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}), why: errSlow}
}

// Append queues a record. It never blocks; a record that finds the queue full, or comes after Close, is dropped and counted.
func (l *Lines) Append(r *policy.Record) {
	select {
	case l.queue <- r:
		if l.ended.Load() {
			l.dropped.Add(drain(l.queue))
		}
	default:
		l.dropped.Add(1)
	}
}

// Counts are the records written and dropped so far.
func (l *Lines) Counts() (written, dropped int64) { return l.written.Load(), l.dropped.Load() }

// Reopen opens the file anew, after it was moved away.
func (l *Lines) Reopen() {
	select {
	case l.reopen <- struct{}{}:
	default:
	}
}

// Close writes what is queued, as far as it is taken within the grace, and closes the file. What is left is dropped.
func (l *Lines) Close() {
	l.once.Do(func() { close(l.stop) })
	select {
	case <-l.done:
	case <-time.After(grace):
		l.ended.Store(true)
		l.dropped.Add(l.pending.Swap(0) + drain(l.queue))
		l.say(errUnread, true)
	}
}

// drain takes what waits in a queue, and returns how much that was.
func drain(queue <-chan *policy.Record) (n int64) {
	for {
		select {
		case <-queue:
			n++
		default:
			return n
		}
	}
}

// run is the one writer. What is queued is written together.
func (l *Lines) run(out io.WriteCloser) {
	defer close(l.done)
	l.use(out)
	defer func() { l.out.Close() }()
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	for {
		select {
		case r := <-l.queue:
			l.encode(r)
			if len(l.queue) == 0 {
				l.flush()
				time.Sleep(pause)
			}
		case <-tick.C:
			l.say(l.why, false)
		case <-l.reopen:
			l.flush()
			if next, err := openAppend(l.path); err != nil {
				l.log.Error("the journal file cannot be opened anew; the old one is kept", "file", l.path, "error", err)
			} else {
				l.out.Close()
				l.use(next)
			}
		case <-l.stop:
			for left := true; left; {
				select {
				case r := <-l.queue:
					l.encode(r)
				default: // Close or Append may have taken the last
					left = false
				}
			}
			l.flush()
			l.ended.Store(true)
			l.dropped.Add(drain(l.queue)) // what has come since
			l.say(l.why, true)
			return
		}
	}
}

// use writes to out from here on.
func (l *Lines) use(out io.WriteCloser) {
	l.out, l.torn = out, endsTorn(out)
	l.begin()
}

// begin empties the buffer. A line that was torn is ended first, so that it spoils no other.
func (l *Lines) begin() {
	l.buf.Reset()
	if l.torn {
		l.buf.WriteByte('\n')
	}
}

// encode puts a record into the buffer.
func (l *Lines) encode(r *policy.Record) {
	l.line.Reset()
	b, err := lineIn(&l.line, l.filter.Apply(r))
	if err != nil {
		l.lost(1, err)
		return
	}
	l.pending.Add(1)
	l.buf.Write(b)
	if l.buf.Len() >= flushAt {
		l.flush()
	}
}

// flush writes the buffer. Lines that went out whole are written, whatever became of the others.
func (l *Lines) flush() {
	if l.buf.Len() == 0 {
		return
	}
	n, err := l.out.Write(l.buf.Bytes())
	whole := int64(0)
	if went := l.buf.Bytes()[:n]; n > 0 {
		whole = int64(bytes.Count(went, []byte{'\n'}))
		if l.torn {
			whole-- // the first ended what was torn before
		}
		l.torn = went[n-1] != '\n'
	}
	l.begin()
	if all := l.pending.Swap(0); all > 0 { // else Close has counted them
		l.written.Add(whole)
		if err != nil {
			l.lost(all-whole, err)
		}
	}
	l.say(l.why, false)
}

// lost counts records that could not be written.
func (l *Lines) lost(n int64, err error) {
	l.dropped.Add(n)
	l.why = err
}

// say tells how many records were lost since it last did, at most once a minute; at the end in any case.
func (l *Lines) say(why error, last bool) {
	if n := l.said.news(l.dropped.Load(), time.Now(), last); n > 0 {
		l.log.Error("journal records were lost", "file", l.path, "records", n, "error", why)
	}
}

// endsTorn says whether a file ends within a line, as a full disk leaves it.
func endsTorn(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	in, err := os.Open(f.Name())
	if err != nil {
		return false
	}
	defer in.Close()
	var last [1]byte
	_, err = in.ReadAt(last[:], info.Size()-1)
	return err == nil && last[0] != '\n'
}

func openAppend(path string) (io.WriteCloser, error) {
	if path == "-" {
		return nopCloser{os.Stdout}, nil
	}
	f, err := openNow(path)
	if errors.Is(err, syscall.ENXIO) {
		if info, err := os.Stat(path); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
			return &pipe{path: path}, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return f, nil
}

// openNow opens a file without waiting, as else for the reader of a named pipe.
func openNow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY|syscall.O_NONBLOCK, 0o640)
}

// pipe is a named pipe that had no reader. What is written before it has one is lost.
type pipe struct {
	path string
	f    *os.File // nil until then
}

// Write opens the pipe if need be.
func (p *pipe) Write(b []byte) (int, error) {
	if p.f == nil {
		f, err := openNow(p.path)
		if errors.Is(err, syscall.ENXIO) {
			return 0, errUnread
		}
		if err != nil {
			return 0, err
		}
		p.f = f
	}
	return p.f.Write(b)
}

// Close closes the pipe.
func (p *pipe) Close() error {
	if p.f == nil {
		return nil
	}
	return p.f.Close()
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
