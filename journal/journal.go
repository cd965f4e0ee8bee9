// Package journal keeps the record of every transaction. Writing is done apart from the sessions: a record is queued and
// never waited for, and what cannot be kept is counted and said. Store keeps records where Reader finds them again; Lines
// writes them as JSON for others.
package journal

import (
	"bufio"
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
	done    chan struct{}
	once    sync.Once
	written atomic.Int64
	dropped atomic.Int64
}

const (
	queueSize = 4096                  // records that may wait for the disk
	pause     = 20 * time.Millisecond // between two looks at them: a session that wakes nobody is cheaper
)

// OpenLines opens the file for appending ("-" is stdout) and starts the writer. A file that cannot be opened is an error.
func OpenLines(path string, filter *Filter, log *slog.Logger) (*Lines, error) {
	out, err := openAppend(path)
	if err != nil {
		return nil, err
	}
	l := &Lines{path: path, filter: filter, log: log, queue: make(chan *policy.Record, queueSize), reopen: make(chan struct{}, 1), done: make(chan struct{})}
	go l.write(out)
	return l, nil
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

// Close writes what is queued and closes the file. No Append may follow.
func (l *Lines) Close() {
	l.once.Do(func() { close(l.queue) })
	<-l.done
}

// write is the one writer. What is queued is written together.
func (l *Lines) write(out io.WriteCloser) {
	defer close(l.done)
	w := bufio.NewWriterSize(out, 64<<10)
	var pending int64
	flush := func() {
		if err := w.Flush(); err != nil {
			l.lost(pending, err)
			w.Reset(out)
		} else {
			l.written.Add(pending)
		}
		pending = 0
	}
	for {
		select {
		case r, ok := <-l.queue:
			if !ok {
				flush()
				out.Close()
				return
			}
			l.encode(w, r, &pending)
			if len(l.queue) == 0 {
				flush()
				time.Sleep(pause)
			}
		case <-l.reopen:
			flush()
			if next, err := openAppend(l.path); err != nil {
				l.log.Error("the journal file cannot be opened anew; the old one is kept", "file", l.path, "error", err)
			} else {
				out.Close()
				out = next
				w.Reset(out)
			}
		}
	}
}

func (l *Lines) encode(w io.Writer, r *policy.Record, pending *int64) {
	b, err := Line(l.filter.Apply(r))
	if err != nil {
		l.lost(1, err)
		return
	}
	*pending++
	w.Write(b) // the error shows at Flush
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
