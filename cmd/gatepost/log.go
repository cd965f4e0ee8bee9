package main

import (
	"io"
	"log/slog"
	"sync/atomic"

	"gatepost/config"
)

// logWriter hands log lines to a writer of its own, so that a log nobody reads never holds up a session: past its queue
// lines are dropped, and the next one that gets through says how many.
type logWriter struct {
	lines   chan []byte
	dropped atomic.Int64
	done    chan struct{}
}

func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{lines: make(chan []byte, 1024), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for l := range w.lines {
			out.Write(l)
		}
	}()
	return w
}

// Write queues one line.
func (w *logWriter) Write(b []byte) (int, error) {
	select {
	case w.lines <- append([]byte(nil), b...):
	default:
		w.dropped.Add(1)
	}
	return len(b), nil
}

// Close writes what is queued. No Write may follow.
func (w *logWriter) Close() {
	close(w.lines)
	<-w.done
}

// newLogger makes the log as the config wants it. slog quotes what holds control bytes, in both formats.
func newLogger(c config.Log, out io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, opts))
	}
	return slog.New(slog.NewTextHandler(out, opts))
}
