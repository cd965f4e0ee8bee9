//go:build soak

package soak

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestSoak lets good and bad clients at a gatepost whose backend and DNS fail in turn, for GATEPOST_SOAK (by default five minutes).
// Then the books must agree: what senders were told, what the backend has, what the records say. And nothing may be left.
func TestSoak(t *testing.T) {
	span := 5 * time.Minute
	if text := os.Getenv("GATEPOST_SOAK"); text != "" {
		var err error
		if span, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	books := &ledger{mails: map[string]*entry{}}
	w := newWeather(t, books)
	g := launch(t, w.addr, fmt.Sprintf(config, w.dns.Addr()))
	c := &crowd{ledger: books, addr: g.addr, pace: 200 * time.Millisecond}
	c.recovered(t)               // buffers and caches are warm then
	time.Sleep(10 * time.Second) // what is kept for a next session is given up then
	began := g.figures(t)
	t.Logf("begin: %v", began)

	ctx, stop := context.WithTimeout(context.Background(), span)
	defer stop()
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() { c.good(ctx, i%3 == 0) })
	}
	for range 8 {
		all.Go(func() { c.bad(ctx) })
	}
	all.Go(func() { w.run(ctx, t) })
	most := g.watch(ctx, t, books, span)
	all.Wait()
	c.recovered(t)
	g.rested(t, began)
	t.Logf("end: %v; at most: %v", g.figures(t), most)
	g.stop(t)
	for _, name := range []string{oldJournal, "journal.jsonl"} {
		if _, err := os.Stat(g.file(name)); err == nil {
			books.read(t, g.file(name))
		}
	}
	t.Logf("mails: %+v", books.audit(t))
	for _, name := range slices.Sorted(maps.Keys(w.count)) {
		t.Logf("%s: %d", name, w.count[name])
	}
}

// config is the rest of it: every check, a small budget of memory, and short patience.
const config = `
[limits]
memory = "32MB"
spool_memory = "256KiB"
spool_dir = "SPOOL"
command_timeout = "10s"
data_timeout = "1m"
session_timeout = "2m"
[dns]
servers = [%q]
timeout = "500ms"
[policy]
checks = ["rdns", "dnsbl", "helo", "spf", "senderdomain", "size", "headers", "dkim", "dmarc", "ratelimit", "greylist"]
[check.dnsbl.zone."bl.test"]
[check.greylist]
store = "memory"
only_if = ["spf:!pass"]
`

// recovered demands that in fair weather good mail comes through at once again: the first time within patience, then always.
func (c *crowd) recovered(t *testing.T) {
	t.Helper()
	try := func() (int, error) {
		conn, err := greet(c.addr, someone())
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		return c.mail(conn, "good.test", 100)
	}
	eventually(t, "good mail comes through", func() bool { code, err := try(); return err == nil && code == 250 })
	for range 20 {
		if code, err := try(); err != nil || code != 250 {
			t.Errorf("fair weather, and good mail got %d (%v)", code, err)
		}
	}
}

// memoryBound is what gatepost may take: the budget of content, and what the rest wants.
const memoryBound = 32<<20 + 160<<20

// oldJournal is what became of the journal before this one.
const oldJournal = "journal.old"

// watch looks at the process again and again, and has the journal begin anew, until ctx ends. It gives the largest figures.
func (g *gatepost) watch(ctx context.Context, t *testing.T, books *ledger, span time.Duration) (most figures) {
	t.Helper()
	turns := max(time.Minute, span/20) / (5 * time.Second)
	for i := time.Duration(1); ctx.Err() == nil; i++ {
		pause(ctx, 5*time.Second)
		f := g.figures(t)
		most.rss, most.descriptors, most.goroutines = max(most.rss, f.rss), max(most.descriptors, f.descriptors), max(most.goroutines, f.goroutines)
		most.sessions, most.content, most.temporary = max(most.sessions, f.sessions), max(most.content, f.content), max(most.temporary, f.temporary)
		if f.rss > memoryBound || f.content > 32<<20 {
			t.Errorf("too much memory: %v", f)
		}
		if i%turns == 0 {
			t.Log(f)
		}
		if i%6 == 0 {
			g.rotate(t, books)
		}
	}
	return most
}

// rotate reads the journal that was moved away at the last turn, moves this one away, and has the config read anew.
func (g *gatepost) rotate(t *testing.T, books *ledger) {
	t.Helper()
	if _, err := os.Stat(g.file(oldJournal)); err == nil {
		books.read(t, g.file(oldJournal))
	}
	if err := os.Rename(g.file("journal.jsonl"), g.file(oldJournal)); err != nil {
		t.Error(err)
	}
	g.cmd.Process.Signal(syscall.SIGHUP)
}

// rested demands that after all this the process is as it was: nothing is left of sessions, files, descriptors and goroutines.
// The two more that it may have are of the moment: this question itself, and one to a backend that is probed.
func (g *gatepost) rested(t *testing.T, began figures) {
	t.Helper()
	var f figures
	calm := func() bool {
		f = g.figures(t)
		return f.sessions == 0 && f.content == 0 && f.temporary == 0 && f.descriptors <= began.descriptors+2 && f.goroutines <= began.goroutines+2
	}
	for end := time.Now().Add(2 * patience); !calm(); time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Errorf("not at rest: %v; at the beginning %v\n%s", f, began, g.stacks())
			return
		}
	}
	if f.dropped > 0 {
		t.Errorf("%d records were dropped", f.dropped)
	}
}

// stacks ends the process and gives what its goroutines were about.
func (g *gatepost) stacks() string {
	g.cmd.Process.Signal(syscall.SIGQUIT)
	<-g.done
	log := g.read("log")
	return log[max(0, strings.Index(log, "SIGQUIT")):]
}
