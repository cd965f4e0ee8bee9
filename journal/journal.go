// Package journal keeps the record of every transaction. Writing is done apart from the sessions: a record is queued and
// never waited for, and what cannot be kept is counted and said. Store keeps records where Reader finds them again; Lines
// writes them as JSON for others.
package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
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
	pending atomic.Int64 // records that the writer has taken, and not yet written; who takes them from here counts them
	written atomic.Int64
	dropped atomic.Int64
}

const (
	queueSize = 4096                  // records that may wait for the disk
	pause     = 20 * time.Millisecond // between two looks at them: a session that wakes nobody is cheaper
	grace     = 5 * time.Second       // for what waits at the end
)

// errUnread is why records are lost that wait for somebody to read them.
var errUnread = errors.New("nobody reads it")

// OpenLines opens the file for appending ("-" is stdout) and starts the writer. A file that cannot be opened is an error.
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
		stop: make(chan struct{}), done: make(chan struct{})}
}

// Append queues a record. It never blocks; a record that finds the queue full is dropped and counted.
func (l *Lines) Append(r *policy.Record) {
	select {
	case l.queue <- r:
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

// Close writes what is queued, as far as it is taken within the grace, and closes the file. What is left is dropped. No Append may follow.
func (l *Lines) Close() {
	l.once.Do(func() { close(l.stop) })
	select {
	case <-l.done:
	case <-time.After(grace):
		if n := l.pending.Swap(0) + drain(l.queue); n > 0 {
			l.lost(n, errUnread)
		}
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
	defer func() { out.Close() }()
	w := bufio.NewWriterSize(out, 64<<10)
	for {
		select {
		case r := <-l.queue:
			l.encode(w, r)
			if len(l.queue) == 0 {
				l.flush(w, out)
				time.Sleep(pause)
			}
		case <-l.reopen:
			l.flush(w, out)
			if next, err := openAppend(l.path); err != nil {
				l.log.Error("the journal file cannot be opened anew; the old one is kept", "file", l.path, "error", err)
			} else {
				out.Close()
				out = next
				w.Reset(out)
			}
		case <-l.stop:
			for len(l.queue) > 0 {
				l.encode(w, <-l.queue)
			}
			l.flush(w, out)
			return
		}
	}
}

func (l *Lines) flush(w *bufio.Writer, out io.Writer) {
	err := w.Flush()
	n := l.pending.Swap(0)
	if err != nil {
		l.lost(n, err)
		w.Reset(out)
		return
	}
	l.written.Add(n)
}

func (l *Lines) encode(w io.Writer, r *policy.Record) {
	b, err := Line(l.filter.Apply(r))
	if err != nil {
		l.lost(1, err)
		return
	}
	l.pending.Add(1)
	w.Write(b) // the error shows at flush
}

// lost counts records that could not be written, and says so.
func (l *Lines) lost(n int64, err error) {
	l.dropped.Add(n)
	l.log.Error("journal records were lost", "file", l.path, "records", n, "error", err)
}

func openAppend(path string) (io.WriteCloser, error) {
	if path == "-" {
		return nopCloser{os.Stdout}, nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return f, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
