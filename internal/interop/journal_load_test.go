//go:build interop

package interop

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gatepost/journal"
	"gatepost/journal/journaltest"
)

// journalLoadEnv holds how many records TestJournalLoad finds in the journal of the day at its start.
const journalLoadEnv = "GATEPOST_JOURNAL_LOAD"

// The parts of a turn of TestJournalLoad: mail at a steady rate, then as fast as it goes.
const (
	loadRounds  = 5
	loadSenders = 8
	steadyRate  = 300 // messages a second, which leaves room for what runs beside
	steadyMails = 1800
	fastMails   = 6000
)

// TestJournalLoad gives the figures of docs/journal.md of what the journal costs a running gatepost: without it, with it, and with a
// command that reads or purges in a loop beside. The records are those of the day, so all are at the same file. It asserts that no mail
// and no record is lost; the figures are for reading.
func TestJournalLoad(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv(journalLoadEnv))
	if err != nil {
		t.Skip("set " + journalLoadEnv + "=200000 for the figures")
	}
	need(t, "smtp-sink")
	l := newJournalLoad(t, n)
	modes := []loadMode{
		{"no journal", l.off, nil},
		{"journal", l.on, nil},
		{"journal, a search for a text beside", l.on, func(int) []string {
			return []string{"log", "search", "--dir", l.dir, "--since", "2d", "--text", "no such text"}
		}},
		{"journal, purges beside", l.on, func(i int) []string {
			return []string{"log", "purge", "--dir", l.dir, "--rcpt", fmt.Sprintf("user%d@example.com", 12+i%288)} // as journaltest names them
		}},
		{"journal, a replay beside", l.on, func(int) []string {
			return []string{"replay", "--config", l.on.config, "--dir", l.dir, "--since", "2d"}
		}},
	}
	turns := make([][]turn, len(modes))
	for round := range loadRounds {
		for i := range modes {
			m := (i + round) % len(modes) // what comes first is another one each time
			turns[m] = append(turns[m], l.turn(t, modes[m]))
		}
	}
	t.Logf("Of each the median of %d turns. Steady: %d messages a second.", loadRounds, steadyRate)
	t.Logf("| | CPU us a message, steady | p50 | p99 | longest | CPU us a message, fast | messages a second | lost records | commands ended beside |")
	for m, mode := range modes {
		of := func(f func(turn) float64) float64 {
			all := make([]float64, 0, loadRounds)
			for _, tu := range turns[m] {
				all = append(all, f(tu))
			}
			slices.Sort(all)
			return all[len(all)/2]
		}
		lost, ended := 0, 0
		for _, tu := range turns[m] {
			lost, ended = lost+tu.lost, ended+tu.commands
		}
		t.Logf("| %s | %.0f | %.2f ms | %.2f ms | %.0f ms | %.0f | %.0f | %d | %d |", mode.name, of(func(tu turn) float64 { return tu.steady.cpu }),
			of(func(tu turn) float64 { return tu.steady.at(0.5) }), of(func(tu turn) float64 { return tu.steady.at(0.99) }),
			of(func(tu turn) float64 { return tu.steady.at(1) }), of(func(tu turn) float64 { return tu.fast.cpu }),
			of(func(tu turn) float64 { return tu.fast.rate }), lost, ended)
		if lost > 0 {
			t.Errorf("%s: %d records were lost", mode.name, lost)
		}
	}
	l.audit(t)
}

// loadMode is a gatepost, and a command that runs beside it.
type loadMode struct {
	name   string
	proxy  *loadProxy
	beside func(i int) []string // arguments of gatepost for the i-th run; nil: nothing
}

// turn is what was measured of a mode once.
type turn struct {
	steady, fast   flow
	lost, commands int
}

// flow is a number of messages.
type flow struct {
	cpu   float64   // microseconds of gatepost's a message
	rate  float64   // messages a second
	times []float64 // of each message in ms, the shortest first
}

func (f flow) at(part float64) float64 { return f.times[int(part*float64(len(f.times)-1))] }

// loadProxy is a gatepost without the race detector, whose time is measured.
type loadProxy struct {
	addr, admin, config string
	journal             bool
	*process
}

type journalLoad struct {
	binary, dir    string
	sink           *transcript // what smtp-sink counts
	off, on        *loadProxy
	runs           int // of commands beside, so far
	sent, recorded int // messages: all, and those through the gatepost with a journal
}

// newJournalLoad writes n records of today, and starts a sink and the two gateposts before it.
func newJournalLoad(t *testing.T, n int) *journalLoad {
	dir := newDir(t, "load")
	l := &journalLoad{binary: filepath.Join(dir, "gatepost"), dir: filepath.Join(dir, "journal")}
	run(t, nil, "go", "build", "-buildvcs=false", "-o", l.binary, "gatepost/cmd/gatepost")
	l.fill(t, n)
	sink := "127.0.0.1:" + freePort(t)
	cmd := exec.Command("smtp-sink", append(sinkUser(), "-c", sink, "200")...)
	l.sink = &transcript{}
	cmd.Stdout = l.sink
	start(t, cmd)
	eventually(t, "the sink listens", func() bool { return listening(sink) })
	l.off, l.on = l.launch(t, sink, ""), l.launch(t, sink, l.dir)
	return l
}

// sinkUser are smtp-sink's arguments for giving up the rights of root.
func sinkUser() []string {
	if os.Getuid() == 0 {
		return []string{"-u", "postfix"}
	}
	return nil
}

// fill writes records from midnight (UTC) until now.
func (l *journalLoad) fill(t *testing.T, n int) {
	t.Helper()
	now := time.Now()
	midnight := now.Truncate(24 * time.Hour)
	s := journal.OpenStore(journal.Settings{Dir: l.dir}, nil, slog.New(slog.DiscardHandler))
	if _, _, err := journaltest.Fill(s, journaltest.NewMix(9, midnight, now.Sub(midnight)/time.Duration(n)), n); err != nil {
		t.Fatal(err)
	}
}

func (l *journalLoad) launch(t *testing.T, sink, dir string) *loadProxy {
	t.Helper()
	p := &loadProxy{addr: "127.0.0.1:" + freePort(t), admin: "127.0.0.1:" + freePort(t), journal: dir != "",
		config: filepath.Join(newDir(t, "gatepost"), "gatepost.toml")}
	write(t, p.config, fmt.Sprintf(`
hostname = %q
[listen.smtp]
address = [%q]
[backend.main]
address = [%q]
domains = [%q]
[limits]
connections_per_client = 1000
[journal]
dir = %q
keep = "3650d"
[policy]
checks = ["headers", "size"]
[admin]
address = %q
`, hostname, p.addr, sink, domain, dir, p.admin))
	p.process = start(t, exec.Command(l.binary, "serve", "--config", p.config))
	eventually(t, "gatepost listens", func() bool {
		if !p.alive() {
			t.Fatalf("gatepost ended:\n%s", p.log)
		}
		return p.log.count("msg=listening") == 1
	})
	return p
}

// turn measures a mode once.
func (l *journalLoad) turn(t *testing.T, m loadMode) (tu turn) {
	t.Helper()
	end := func() int { return 0 }
	if m.beside != nil {
		end = l.loop(t, m.beside)
	}
	written, lost := m.proxy.counts(t)
	tu.steady = m.proxy.measure(t, steadyMails, time.Second/steadyRate)
	tu.fast = m.proxy.measure(t, fastMails, 0)
	tu.commands = end()
	l.sent += steadyMails + fastMails
	if !m.proxy.journal {
		return tu
	}
	l.recorded += steadyMails + fastMails
	eventually(t, "all is recorded", func() bool {
		w, d := m.proxy.counts(t)
		tu.lost = d - lost
		return w-written+tu.lost >= steadyMails+fastMails
	})
	return tu
}

// audit holds what was sent against what the backend took and what the journal has.
func (l *journalLoad) audit(t *testing.T) {
	t.Helper()
	said := l.sink.String()
	took := 0
	fmt.Sscanf(said[strings.LastIndex(said, "mesg=")+len("mesg="):], "%d", &took)
	r, err := journal.Open(l.dir)
	if err != nil {
		t.Fatal(err)
	}
	recorded := 0
	for _, err = range r.Search(t.Context(), journal.Query{From: newMail().from}) {
		if err != nil {
			break
		}
		recorded++
	}
	if err != nil || took != l.sent || recorded != l.recorded {
		t.Errorf("of %d messages the backend has %d, of %d the journal has %d (%v)", l.sent, took, l.recorded, recorded, err)
	}
}

// loop runs commands one after the other until end is called, which gives how many ran to their end.
func (l *journalLoad) loop(t *testing.T, arguments func(int) []string) (end func() int) {
	ctx, stop := context.WithCancel(t.Context())
	n := 0
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			out, err := exec.CommandContext(ctx, l.binary, arguments(l.runs)...).CombinedOutput()
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				t.Errorf("%q: %v\n%s", arguments(l.runs), err, out)
				return
			}
			l.runs++
			n++
		}
	})
	return func() int {
		stop()
		done.Wait()
		return n
	}
}

// measure sends messages, one each so often, or as fast as it goes. A message that begins late since those before it took long began when it was due.
func (p *loadProxy) measure(t *testing.T, n int, every time.Duration) flow {
	t.Helper()
	var f flow
	var mu sync.Mutex
	var senders sync.WaitGroup
	began, used := time.Now(), p.cpu(t)
	for s := range loadSenders {
		senders.Go(func() {
			times, err := p.send(n/loadSenders, began.Add(time.Duration(s)*every), loadSenders*every)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			f.times = append(f.times, times...)
		})
	}
	senders.Wait()
	f.rate = float64(n) / time.Since(began).Seconds()
	time.Sleep(300 * time.Millisecond) // what is written later counts too
	f.cpu = (p.cpu(t) - used).Seconds() * 1e6 / float64(n)
	if t.Failed() {
		t.FailNow()
	}
	slices.Sort(f.times)
	return f
}

// send sends messages of 4 KB, ten a session.
func (p *loadProxy) send(n int, due time.Time, every time.Duration) (times []float64, err error) {
	m := newMail("amy@" + domain)
	m.content = append(m.content, bytes.Repeat([]byte("A line of text that is as long as lines of text are.\r\n"), 75)...)
	var c *client
	for i := range n {
		begin := time.Now()
		if every > 0 {
			if wait := time.Until(due); wait > 0 {
				time.Sleep(wait)
				begin = time.Now()
			} else {
				begin = due
			}
			due = due.Add(every)
		}
		if i%10 == 0 {
			if c != nil {
				c.say("QUIT")
				c.close()
			}
			if c, err = dial(p.addr, ""); err != nil {
				return times, err
			}
			if _, _, err := c.say("EHLO client.test"); err != nil {
				return times, err
			}
		}
		if code, text, err := c.send(m); err != nil || code != 250 {
			return times, fmt.Errorf("a message: %d %s %w", code, text, err)
		}
		times = append(times, float64(time.Since(begin).Microseconds())/1000)
	}
	c.close()
	return times, nil
}

// cpu is the processor time that the process has used.
func (p *loadProxy) cpu(t *testing.T) time.Duration {
	t.Helper()
	stat := readFile(t, fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	ticks := 0
	for _, f := range fields[11:13] { // user and system
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ
}

// counts are the records written and lost so far.
func (p *loadProxy) counts(t *testing.T) (written, lost int) {
	t.Helper()
	if !p.journal {
		return 0, 0
	}
	resp, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var w, d float64
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "gatepost_journal_records_total %g", &w)
		fmt.Sscanf(line, "gatepost_journal_dropped_total %g", &d)
	}
	return int(w), int(d)
}
