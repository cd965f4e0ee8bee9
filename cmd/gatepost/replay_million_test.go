package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatepost/journal"
	"gatepost/journal/journaltest"
)

// replayMillionEnv holds how many records TestReplayMillion judges again.
const replayMillionEnv = "GATEPOST_REPLAY_MILLION"

const replayMillionConfig = `hostname = "mx.example.com"
mode = "enforce"
[listen.smtp]
address = ["127.0.0.1:2525"]
[backend.main]
address = ["127.0.0.1:2526"]
domains = ["example.com"]
[policy]
checks = ["ratelimit", "rdns", "dnsbl", "spf", "greylist", "size", "dkim", "dmarc"]
[check.dnsbl]
zone."zen.spamhaus.org" = { weight = 5 }
threshold = 6
[check.spf]
on = { fail = "reject" }
`

// The days of TestReplayMillion and of a quarter of it. A day has as many records in both, so its file is as large.
const (
	millionDays = 28
	quarterDays = millionDays / 4
)

// TestReplayMillion gives the figures of docs/review.md: "gatepost replay", as a process of its own, over a quarter of the days
// and over all of them. Each recipient must be counted, and the memory must not grow with the records. What it takes for moments does not
// count: on a busy machine the garbage collector may be held up while it ends its work.
func TestReplayMillion(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv(replayMillionEnv))
	if err != nil {
		t.Skip("set " + replayMillionEnv + "=1000000 for the figures")
	}
	config := replayConfig(t)
	var usual []int
	for _, days := range []int{quarterDays, millionDays} {
		n := n * days / millionDays
		dir := t.TempDir()
		judged, others := fillDays(t, dir, n, days)
		out, used, sizes := sizesOf(t, "replay", "--config", config, "--dir", dir, "--since", "2026-10-01", "--until", "2026-12-01", "--json")
		usual = append(usual, sizes[len(sizes)*9/10])
		lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
		var sum replaySummary
		if err := json.Unmarshal(lines[len(lines)-1], &sum); err != nil {
			t.Fatal(err)
		}
		t.Logf("| %d records of %d days | %.0f s of processor time | %d MB nine tenths of the time, %d MB at most | %d recipients: %d the same, %d change, %d undecidable; %d more without a verdict |",
			n, days, used.Seconds(), usual[len(usual)-1]/1024, sizes[len(sizes)-1]/1024, sum.Recipients, sum.Same, sum.Changed, sum.Undecidable, sum.NoVerdict)
		if sum.Recipients != judged || sum.NoVerdict != others || sum.Same+sum.Changed+sum.Undecidable != judged {
			t.Errorf("%+v, want %d and %d recipients", sum, judged, others)
		}
	}
	if usual[1] > usual[0]*5/4 {
		t.Errorf("the memory grows with the records: %d kB, then %d", usual[0], usual[1])
	}
}

// replayConfig writes a config that changes some verdicts.
func replayConfig(t *testing.T) string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "new.toml")
	if err := os.WriteFile(config, []byte(replayMillionConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// fillDays writes n records over so many days of October and November.
func fillDays(t *testing.T, dir string, n, days int) (judged, others int) {
	t.Helper()
	first := time.Date(2026, 10, 20, 0, 0, 0, 0, time.UTC)
	s := journal.OpenStore(journal.Settings{Dir: dir}, nil, slog.New(slog.DiscardHandler))
	judged, others, err := journaltest.Fill(s, journaltest.NewMix(9, first, time.Duration(days)*24*time.Hour/time.Duration(n)), n)
	if err != nil {
		t.Fatal(err)
	}
	return judged, others
}

// heapAt measures the heap each time that so many lines more were written to it.
type heapAt struct {
	every, lines int
	heaps        []uint64
}

func (h *heapAt) Write(b []byte) (int, error) {
	if h.lines++; h.lines%h.every == 0 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		h.heaps = append(h.heaps, m.HeapAlloc)
	}
	return len(b), nil
}

// TestReplayMemory: "gatepost replay" over the files of many days keeps no more in memory behind the last records than behind the
// first tenth of them. That what it counts is bounded is TestSummaryMemory's.
func TestReplayMemory(t *testing.T) {
	dir := t.TempDir()
	const n = 2400 // a record takes about 5 kB when it is read
	fillDays(t, dir, n, 20)
	f := replayFlags{config: replayConfig(t), dir: dir, since: "2026-10-01", until: "2026-12-01", show: "any:any", json: true}
	h := &heapAt{every: n / 60} // about one in six is listed
	if err := f.run(t.Context(), h, io.Discard, time.Now()); err != nil {
		t.Fatal(err)
	}
	if len(h.heaps) < 5 {
		t.Fatalf("only %d recipients are listed, too few to tell", h.lines)
	}
	early, late := h.heaps[0], h.heaps[len(h.heaps)-1]
	t.Logf("%d octets, then %d, with %d recipients listed", early, late, h.lines)
	if late > early+2<<20 {
		t.Errorf("the heap grows with the records: %d octets, then %d", early, late)
	}
}

// sizesOf runs gatepost and gives its output, its processor time, and its resident sizes in kB, seen a hundred times a second, the
// smallest first.
func sizesOf(t *testing.T, args ...string) (out []byte, used time.Duration, sizes []int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("gatepost", args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			if err != nil || len(sizes) == 0 {
				t.Fatalf("%q: %v\n%s", args, err, stderr.Bytes())
			}
			slices.Sort(sizes)
			return stdout.Bytes(), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), sizes
		case <-time.After(10 * time.Millisecond):
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			if _, rest, ok := strings.Cut(string(status), "VmRSS:"); ok {
				size := 0
				fmt.Sscan(rest, &size)
				sizes = append(sizes, size)
			}
		}
	}
}

// TestProgress counts records and percents, and writes no more than once a percent.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	since := time.Date(2026, 11, 14, 0, 0, 0, 0, time.UTC)
	p := newProgress(&out, since, since.Add(10000*time.Second))
	p.at(since)
	if out.Len() > 0 {
		t.Errorf("it wrote to what is no terminal: %q", out.String())
	}
	p = &progress{out: &out, since: since, until: since.Add(10000 * time.Second), shown: -1}
	for i := range 10001 {
		p.at(since.Add(time.Duration(i) * time.Second))
	}
	all := strings.Split(out.String(), "\r")[1:]
	if len(all) != 101 || all[50] != "["+strings.Repeat("=", 20)+strings.Repeat(" ", 20)+"]  50%  5,001 records" {
		t.Errorf("%d times, %q", len(all), all)
	}
	p.end()
	if !strings.HasSuffix(out.String(), strings.Repeat(" ", columns-1)+"\r") {
		t.Errorf("it leaves %q", out.String())
	}
}
