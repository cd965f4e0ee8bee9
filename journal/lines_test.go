package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/policy"
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

// tight is a disk with so much room; what is more is torn where the room ends, until there is new room.
type tight struct {
	mu   sync.Mutex
	b    bytes.Buffer
	room int
}

func (d *tight) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(len(b), d.room)
	d.room -= n
	d.b.Write(b[:n])
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (d *tight) Close() error { return nil }

func (d *tight) give(room int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = room
}

// refsIn are the refs of those lines that can be read, and how many others there are.
func refsIn(text string) (refs string, bad int) {
	for line := range strings.Lines(text) {
		var r policy.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			bad++
			continue
		}
		refs = strings.TrimSpace(refs + " " + r.Ref)
	}
	return refs, bad
}

// TestLinesFull: what a full disk takes in part costs the record that was torn, and no other; what is counted as written can be read.
func TestLinesFull(t *testing.T) {
	one, _ := Line(at(noon(), "X"))
	tests := []struct {
		name          string
		room          int
		want          string
		written, lost int64
		torn          int
	}{
		{"the first line is torn", 20, "C", 1, 2, 1},
		{"the second line is torn", len(one) + 20, "A C", 2, 1, 1},
		{"between the two", len(one), "A C", 2, 1, 0},
		{"nothing goes in", 0, "C", 1, 2, 0},
		{"all but the line end", 2*len(one) - 1, "A B C", 2, 1, 0},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			out := &tight{room: tt.room}
			l, said := testLines(out)
			l.Append(at(noon(), "A"))
			l.Append(at(noon(), "B"))
			time.Sleep(time.Second)
			out.give(1 << 20)
			l.Append(at(noon(), "C"))
			l.Close()
			if got, bad := refsIn(out.b.String()); got != tt.want || bad != tt.torn {
				t.Errorf("%s: %d bad lines, and %s", tt.name, bad, got)
			}
			if n, lost := l.Counts(); n != tt.written || lost != tt.lost || !strings.Contains(said.String(), "no space left") {
				t.Errorf("%s: %d written, %d lost; %s", tt.name, n, lost, said)
			}
		})
	}
}

// TestLinesFullAtStart: a line that was torn before the start is no part of the next.
func TestLinesFullAtStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lines")
	os.WriteFile(path, []byte(`{"ref":"TO`), 0o600)
	for _, ref := range []string{"A", "B"} {
		l, err := OpenLines(path, nil, discard())
		if err != nil {
			t.Fatal(err)
		}
		l.Append(at(noon(), ref))
		l.Close()
	}
	text, _ := os.ReadFile(path)
	if got, bad := refsIn(string(text)); got != "A B" || bad != 1 {
		t.Errorf("%d bad lines, and %s", bad, got)
	}
}

// TestLinesPipe: a named pipe without a reader holds up neither the start nor the end; what is lost meanwhile is counted, and its first reader
// gets what comes from there on.
func TestLinesPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	said := &safeLog{}
	l, err := OpenLines(path, nil, slog.New(slog.NewTextHandler(said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	l.Append(at(noon(), "A"))
	until(t, "the loss", func() bool { _, lost := l.Counts(); return lost == 1 })
	l.Reopen()
	l.Append(at(noon(), "B"))
	until(t, "the next loss", func() bool { _, lost := l.Counts(); return lost == 2 })
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	l.Append(at(noon(), "C"))
	l.Close()
	text, err := io.ReadAll(reader)
	if got, bad := refsIn(string(text)); err != nil || got != "C" || bad != 0 {
		t.Errorf("%d bad lines, and %q; %v", bad, got, err)
	}
	if n, lost := l.Counts(); n != 1 || lost != 2 || !strings.Contains(said.String(), errUnread.Error()) {
		t.Errorf("%d written, %d lost; %s", n, lost, said)
	}
}

// TestLinesLostSaid: a disk that stays full is said once a minute, and at the end, and no record is left out of it.
func TestLinesLostSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, said := testLines(&tight{})
		for range 100 {
			l.Append(at(noon(), "X"))
			time.Sleep(time.Second)
		}
		l.Close()
		var all, n int
		for line := range strings.Lines(said.String()) {
			_, records, _ := strings.Cut(line, "records=")
			fmt.Sscan(records, &n)
			all += n
		}
		if lines := strings.Count(said.String(), "\n"); lines != 3 || all != 100 {
			t.Errorf("%d records in %d lines: %s", all, lines, said)
		}
	})
}

// TestAppendWhileClosing: whatever comes while the journal is closed, and after, is written or counted as dropped.
func TestAppendWhileClosing(t *testing.T) {
	dir := t.TempDir()
	lines, err := OpenLines(filepath.Join(dir, "lines"), nil, discard())
	if err != nil {
		t.Fatal(err)
	}
	for name, j := range map[string]interface {
		Append(*policy.Record)
		Counts() (written, dropped int64)
		Close()
	}{"lines": lines, "store": OpenStore(Settings{Dir: dir}, nil, discard())} {
		const each = 1000
		var sessions sync.WaitGroup
		begun := make(chan struct{}, 4*each)
		for range 4 {
			sessions.Go(func() {
				for range each {
					j.Append(at(noon(), "X"))
					begun <- struct{}{}
				}
			})
		}
		<-begun
		j.Close()
		sessions.Wait()
		j.Append(at(noon(), "LATE"))
		if n, lost := j.Counts(); n+lost != 4*each+1 || lost == 0 {
			t.Errorf("%s: %d written, %d lost", name, n, lost)
		}
	}
}
