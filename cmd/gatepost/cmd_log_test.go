package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatepost/journal"
	"gatepost/policy"
)

// TestLogTableAtTerminal: lines are cut to the screen, colour never stands without its word, and hostile text is text.
func TestLogTableAtTerminal(t *testing.T) {
	long := strings.Repeat("wide-ü\x1b[7m", 30)
	sender := long + "@shop.example"
	e := journal.Entry{At: time.Unix(0, 0), Wanted: []int{0, 1}, Record: &policy.Record{Ref: "8F3K2QWMAB", Sender: &sender, Recipients: []policy.RecipientRecord{
		{Address: "amy@example.com", Verdict: policy.Rejected, By: long}, {Address: long, Verdict: policy.Accepted}}}}
	for _, colour := range []paint{false, true} {
		var b strings.Builder
		table := &logTable{out: &b, paint: colour, width: columns}
		if err := table.entry(e); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if colour {
			for _, code := range []string{"\x1b[" + red + "m", "\x1b[" + green + "m", "\x1b[0m"} {
				if !strings.Contains(text, code) {
					t.Errorf("%q is missing in %q", code, text)
				}
				text = strings.ReplaceAll(text, code, "")
			}
		}
		if strings.Contains(text, "\x1b") || !strings.Contains(text, "rejected") || !strings.Contains(text, "accepted") {
			t.Errorf("%q", text)
		}
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}

// TestAim is what a bare word is taken for.
func TestAim(t *testing.T) {
	for word, want := range map[string]func(journal.Query) bool{
		"amy@example.com":  func(q journal.Query) bool { return q.About != "" },
		"8f3k2qwmab":       func(q journal.Query) bool { return q.Ref != "" && q.Since.IsZero() },
		"8F3K2QWMOB":       func(q journal.Query) bool { return q.Ref != "" && q.Since.IsZero() },
		"[8f3kilwmab]":     func(q journal.Query) bool { return q.Ref != "" },
		"8F3K2QWMUB":       func(q journal.Query) bool { return q.Text != "" },
		"[8F3K2QWMAB]":     func(q journal.Query) bool { return q.Ref != "" },
		"203.0.113.9":      func(q journal.Query) bool { return q.Client.Bits() == 32 },
		"::ffff:192.0.2.1": func(q journal.Query) bool { return q.Client.Bits() == 32 },
		"2001:db8::/32":    func(q journal.Query) bool { return q.Client.Bits() == 32 },
		"shop.example":     func(q journal.Query) bool { return q.Domain != "" },
		"<1.2@x.example>":  func(q journal.Query) bool { return q.Text != "" },
		"User unknown":     func(q journal.Query) bool { return q.Text != "" },
		"newsletter":       func(q journal.Query) bool { return q.Text != "" },
	} {
		q := journal.Query{Since: time.Now()}
		if aim(&q, word); !want(q) {
			t.Errorf("%s: %+v", word, q)
		}
	}
}

func TestPlaceRight(t *testing.T) {
	for _, test := range []struct{ text, place, want string }{
		{"short", "", "short\n"},
		{"short", "f:1", "short" + strings.Repeat(" ", 72) + "f:1\n"},
		{strings.Repeat("x", 77), "f:1", strings.Repeat("x", 77) + "\n" + strings.Repeat(" ", 77) + "f:1\n"},
		{"two\nlines", "f:1", "two\nlines" + strings.Repeat(" ", 72) + "f:1\n"},
	} {
		if got := placeRight(test.text, test.place); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

// manyRecords makes a journal of so many mails, a second apart up to now, and gives its folder.
func manyRecords(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	s := journal.OpenStore(journal.Settings{Dir: dir}, nil, slog.New(slog.DiscardHandler))
	sender := "a@shop.example"
	for i := range n {
		s.Append(&policy.Record{Time: time.Now().Add(time.Duration(i-n) * time.Second), Ref: fmt.Sprintf("8F3K2Q%04d", i), Client: netip.MustParseAddr("203.0.113.9"),
			Sender: &sender, Recipients: []policy.RecipientRecord{{Address: "amy@example.com", Verdict: policy.Accepted}}, End: policy.EndDelivered})
	}
	s.Close()
	return dir
}

// TestLogLimits: search shows the last 50, or as many as it is told; export and stats know no limit.
func TestLogLimits(t *testing.T) {
	dir := manyRecords(t, 120)
	for _, tt := range []struct {
		words string
		want  int // lines
	}{{"search", 51}, {"search --limit 0", 121}, {"search --json --limit 70", 70}, {"export", 120}, {"export --rcpt amy@example.com", 120}, {"tail -n 60 --json", 60}} {
		cmd := rootCommand()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(io.Discard)
		cmd.SetArgs(append([]string{"log", "--dir", dir}, strings.Fields(tt.words)...))
		if err := cmd.Execute(); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "\n"); n != tt.want {
			t.Errorf("%s writes %d lines, want %d", tt.words, n, tt.want)
		}
	}
}

// TestTailLooksOnce: what a filter passed over is not looked at again, and what comes behind it is found.
func TestTailLooksOnce(t *testing.T) {
	dir := manyRecords(t, 20)
	r, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	looked := newest(t.Context(), r, time.Time{})
	if looked.IsZero() || !newest(t.Context(), r, looked).IsZero() {
		t.Errorf("looked up to %v, and still there is something behind", looked)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	in, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		f := logFlags{dir: dir, lines: 10, follow: true}
		done <- f.tail(ctx, journal.Query{Rcpt: "bob@example.com"}, out, io.Discard)
		out.Close()
	}()
	s := journal.OpenStore(journal.Settings{Dir: dir}, nil, slog.New(slog.DiscardHandler))
	defer s.Close()
	for _, to := range []string{"amy", "bob"} {
		s.Append(&policy.Record{Time: time.Now(), Ref: "9A00000001", Recipients: []policy.RecipientRecord{{Address: to + "@example.com", Verdict: policy.Accepted}}})
	}
	lines := bufio.NewScanner(in)
	lines.Scan() // the head of the table
	if lines.Scan(); !strings.Contains(lines.Text(), "bob@example.com") {
		t.Errorf("got %q", lines.Text())
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
