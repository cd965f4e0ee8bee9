package main

import (
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"gatepost/config"
)

// logWriter hands log lines to a writer of its own, so that a log nobody reads never holds up a session: past its queue
// lines are dropped and counted, and once one gets through again the log says how many were lost.
type logWriter struct {
	out   io.Writer
	lines chan []byte
	lost  atomic.Int64
	tell  *slog.Logger // says on out, past the queue, what was lost
	end   chan struct{}
	done  chan struct{}
}

const (
	logQueue = 1024        // lines
	logGrace = time.Second // for what is queued at the end
)

func newLogWriter(c config.Log, out io.Writer) *logWriter {
	w := &logWriter{out: out, lines: make(chan []byte, logQueue), tell: newLogger(c, out), end: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

// Write queues one line.
func (w *logWriter) Write(b []byte) (int, error) {
	select {
	case w.lines <- append([]byte(nil), b...):
	default:
		w.lost.Add(1)
	}
	return len(b), nil
}

// Lost is how many lines were lost so far.
func (w *logWriter) Lost() int64 {
	if w == nil {
		return 0
	}
	return w.lost.Load()
}

// run writes until Close, and then what is queued.
func (w *logWriter) run() {
	defer close(w.done)
	told := int64(0)
	for {
		select {
		case l := <-w.lines:
			told = w.write(l, told)
		case <-w.end:
			for len(w.lines) > 0 {
				told = w.write(<-w.lines, told)
			}
			return
		}
	}
}

// write writes a line, and how many were lost since the last told.
func (w *logWriter) write(line []byte, told int64) int64 {
	if _, err := w.out.Write(line); err != nil {
		w.lost.Add(1)
		return told
	}
	lost := w.lost.Load()
	if lost > told {
		w.tell.Error("lines of the log were lost: nobody read it, or it could not be written", "lines", lost-told)
	}
	return lost
}

// Close writes what is queued, as far as somebody reads it. What is written to the log later is lost.
func (w *logWriter) Close() {
	close(w.end)
	select {
	case <-w.done:
	case <-time.After(logGrace):
	}
}

// newLogger makes the log as the config wants it, without control characters in whatever format: the text format quotes what holds
// any, and JSON leaves some as they are.
func newLogger(c config.Log, out io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		opts.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
			switch v := a.Value.Any().(type) {
			case string:
				a.Value = slog.StringValue(printable(v))
			case error:
				a.Value = slog.StringValue(printable(v.Error()))
			}
			return a
		}
		return slog.New(slog.NewJSONHandler(out, opts))
	}
	return slog.New(slog.NewTextHandler(out, opts))
}
