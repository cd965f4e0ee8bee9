package journal

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"gatepost/journal/journaltest"
	"gatepost/policy"
)

// millionEnv holds how many records TestMillion writes. It needs about 900 octets of disk for each.
const millionEnv = "GATEPOST_JOURNAL_MILLION"

// TestMillion gives the figures of docs/journal.md: a week of mail, its size, and how long the common searches take.
func TestMillion(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv(millionEnv))
	if err != nil {
		t.Skip("set " + millionEnv + "=1000000 for the figures")
	}
	dir := t.TempDir()
	first := time.Date(2026, 11, 14, 0, 0, 0, 0, time.UTC)
	week := 7 * 24 * time.Hour
	mix := journaltest.NewMix(9, first, week/time.Duration(n))
	some := writeMany(t, dir, mix, n)
	reportSize(t, dir, n)
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	end := ended(some[len(some)-1])
	probe := some[len(some)/2]
	for _, r := range some[len(some)/2:] {
		if r.Sender != nil {
			probe = r
			break
		}
	}
	for _, q := range []struct {
		name string
		Query
	}{
		{"a ref, of all days", Query{Ref: probe.Ref}},
		{"the beginning of a ref, of all days", Query{Ref: probe.Ref[:8]}},
		{"a recipient, the last 50", Query{Rcpt: "user77@example.com", Limit: 50}},
		{"a recipient nobody wrote to", Query{Rcpt: "nobody@example.com"}},
		{"a sender's address", Query{From: *probe.Sender, Limit: 50}},
		{"a domain with all below it, the last 50", Query{Domain: "shop.example", Limit: 50}},
		{"a domain seldom seen, of all days", Query{Domain: "linfos.invalid"}},
		{"a client", Query{Client: netip.PrefixFrom(probe.Client, probe.Client.BitLen())}},
		{"a network (/16), of all days", Query{Client: netip.MustParsePrefix("203.7.0.0/16")}},
		{"the last hour by check", Query{Since: end.Add(-time.Hour), Check: "dnsbl"}},
		{"the last day by check and verdict", Query{Since: end.Add(-24 * time.Hour), Check: "greylist", Verdicts: []policy.Verdict{policy.Deferred}}},
		{"mode would, the last 50", Query{Would: true, Limit: 50}},
		{"a check that never decided, of all days", Query{Check: "nothing"}},
		{"a text of the last day", Query{Since: end.Add(-24 * time.Hour), Text: "no such text"}},
		{"a text, of all days", Query{Text: "no such text"}},
		{"everything, as replay reads it", Query{OldestFirst: true}},
	} {
		count := 0
		took := costOf(func() {
			for _, err := range r.Search(context.Background(), q.Query) {
				if err != nil {
					t.Fatal(err)
				}
				count++
			}
		})
		t.Logf("| %s | %d | %s |", q.name, count, took)
	}
	t.Logf("| stats of all days | | %s |", costOf(func() { r.Stats(context.Background(), Query{}) }))
	t.Logf("| stats of the last day | | %s |", costOf(func() { r.Stats(context.Background(), Query{Since: end.Add(-24 * time.Hour)}) }))
	t.Logf("| purge of a recipient | | %s |", costOf(func() { r.Purge(context.Background(), "user77@example.com") }))
}

// clock is how long something takes.
func clock(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began).Round(100 * time.Microsecond)
}

// costOf is how long something takes, and how much processor time: two columns of a table.
func costOf(f func()) string {
	used := cpu()
	took := clock(f)
	return fmt.Sprintf("%s | %s", took, (cpu() - used).Round(100*time.Microsecond))
}

// cpu is the processor time that the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writeMany writes n records and returns some thousand of them, made beforehand so that making them is not measured.
func writeMany(t *testing.T, dir string, mix *journaltest.Mix, n int) (some []*policy.Record) {
	t.Helper()
	s := newStore(Settings{Dir: dir, MaxSize: 100e9}, nil, discard())
	s.now = func() time.Time { return time.Date(2026, 11, 14, 0, 0, 0, 0, time.UTC) }
	go s.run()
	var making, makingCPU time.Duration
	rcpts := 0
	began, beganCPU := time.Now(), cpu()
	for i := 0; i < n; {
		batch := make([]*policy.Record, 0, 2000)
		c := cpu()
		making += clock(func() {
			for len(batch) < cap(batch) && i < n {
				r := mix.Next()
				batch = append(batch, r)
				rcpts += len(r.Recipients)
				i++
			}
		})
		makingCPU += cpu() - c
		for _, r := range batch {
			s.queue <- r
		}
		some = batch
	}
	s.Close()
	took, used := time.Since(began)-making, cpu()-beganCPU-makingCPU
	t.Logf("%d records of %d recipients in %s: %.0f a second, %s of processor time each", n, rcpts, took.Round(time.Second), float64(n)/took.Seconds(), (used / time.Duration(n)).Round(time.Microsecond))
	if w, lost := s.Counts(); w != int64(n) || lost > 0 {
		t.Fatalf("%d written, %d lost", w, lost)
	}
	return some
}

func reportSize(t *testing.T, dir string, n int) {
	t.Helper()
	files, err := listFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all int64
	for _, f := range files {
		all += f.size()
	}
	t.Logf("%d files, %d MB, %d octets a record", len(files), all/1e6, all/int64(n))
}
