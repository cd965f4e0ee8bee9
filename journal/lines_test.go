package journal

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// unread takes nothing until it is opened.
type unread struct{ open chan struct{} }

func (u unread) Write(b []byte) (int, error) { <-u.open; return len(b), nil }
func (u unread) Close() error                { return nil }

// testLines writes to out, and gives what is logged.
func testLines(out io.WriteCloser) (*Lines, *safeLog) {
	said := &safeLog{}
	l := newLines("lines", nil, slog.New(slog.NewTextHandler(said, nil)))
	go l.run(out)
	return l, said
}

// TestLinesUnread: lines that nobody reads do not hold up the end; what is left is counted, and said. None is counted again when it is read after all.
func TestLinesUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := unread{make(chan struct{})}
		l, said := testLines(out)
		l.Append(at(noon(), "FIRST"))
		synctest.Wait() // that one is on its way
		for i := range 9 {
			l.Append(at(noon(), fmt.Sprint(i)))
		}
		began := time.Now()
		l.Close()
		if took := time.Since(began); took > grace {
			t.Errorf("the end took %v", took)
		}
		if n, lost := l.Counts(); n != 0 || lost != 10 || strings.Count(said.String(), "records=10") != 1 {
			t.Errorf("%d written, %d lost; %s", n, lost, said)
		}
		close(out.open)
		<-l.done
		if n, lost := l.Counts(); n != 0 || lost != 10 {
			t.Errorf("read at last: %d written, %d lost", n, lost)
		}
	})
}
