package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatepost/config"
)

// blocked is a log that nobody reads until it is opened, and then for a while is broken.
type blocked struct {
	said
	open   chan struct{}
	broken int
}

func (b *blocked) Write(line []byte) (int, error) {
	<-b.open
	if b.broken--; b.broken >= 0 {
		return 0, errors.New("broken")
	}
	return b.said.Write(line)
}

// TestBlockedLog: a log that nobody reads costs no time; what does not fit its queue is lost and counted, and told when it goes on.
func TestBlockedLog(t *testing.T) {
	out := &blocked{open: make(chan struct{}), broken: 3}
	w := newLogWriter(config.Log{}, out)
	log := newLogger(config.Log{}, w)
	const lines = logQueue + 500
	began := time.Now()
	for range lines {
		log.Info("a line")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	lost := w.Lost() // the first line may be out of the queue
	if lost < 499 || lost > 500 {
		t.Errorf("%d lines lost, want 499 or 500", lost)
	}
	close(out.open)
	w.Close()
	log.Info("past the end")
	if got := w.Lost(); got != lost+3 {
		t.Errorf("%d lines lost, want %d", got, lost+3)
	}
	text := out.String()
	if strings.Count(text, "lines of the log were lost") != 1 || !strings.Contains(text, " lines=50") || int64(strings.Count(text, "a line")) != lines-lost-3 {
		t.Errorf("%d lines written: %.300s", strings.Count(text, "a line"), text)
	}
}

// TestLogEnds: a log that nobody reads does not hold up the end.
func TestLogEnds(t *testing.T) {
	out := &blocked{open: make(chan struct{})}
	defer close(out.open)
	w := newLogWriter(config.Log{}, out)
	w.Write([]byte("a line\n"))
	began := time.Now()
	w.Close()
	if took := time.Since(began); took > 10*logGrace {
		t.Errorf("it took %v", took)
	}
}

// TestLogIsPlain: no control character gets into the log, in whatever format (promise 7).
func TestLogIsPlain(t *testing.T) {
	const hostile = "a\x1b[31m\u009b31m\u202eb\r\nc\x7f\x00\xff"
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		newLogger(config.Log{Format: format}, &out).Info(hostile, "text", hostile, "error", errors.New(hostile))
		line := strings.TrimSuffix(out.String(), "\n")
		if printable(line) != line {
			t.Errorf("%s: %q", format, line)
		}
	}
}

// TestFullPipe: with a log that nobody reads from the start on, and with one whose reader is gone, mail goes on, and so does the
// end (hazard 85).
func TestFullPipe(t *testing.T) {
	for _, gone := range []bool{false, true} {
		addr := freeAddress(t)
		p := prepare(t, "true", "[listen.smtp]\naddress = [\""+addr+"\"]\n")
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p.Stderr, p.addr = w, addr
		fill(t, w)
		if gone {
			r.Close()
		}
		p.start(t)
		w.Close()
		var s *sender
		for until := time.Now().Add(20 * time.Second); s == nil; time.Sleep(10 * time.Millisecond) {
			if s = p.try(t); s == nil && time.Now().After(until) {
				t.Fatalf("reader gone %v: it does not listen", gone)
			}
		}
		if err := s.mail("x"); err != nil {
			t.Errorf("reader gone %v: %v", gone, err)
		}
		s.Close()
		p.stop(t)
		r.Close()
		if n := p.sink.Committed(); n != 1 {
			t.Errorf("reader gone %v: %d messages, want 1", gone, n)
		}
	}
}

// fill writes to a pipe until nothing more goes in.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := w.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the pipe is not full: %v", err)
	}
	if err := syscall.SetNonblock(int(w.Fd()), false); err != nil { // as a shell would give it
		t.Fatal(err)
	}
}
