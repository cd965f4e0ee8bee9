package greylist

import (
	"container/heap"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gatepost/policy"
)

var update = flag.Bool("update", false, "write the table of the simulation into docs/greylisting.md")

// docFile is where the table stands, between the two marks.
const (
	docFile   = "../docs/greylisting.md"
	tableFrom = "<!-- made by go test ./greylist -run TestSimulation -update -->\n"
	tableTo   = "<!-- end -->"
)

// sender is one sort of sender in the simulation.
type sender struct {
	name    string
	good    bool
	mails   int             // a day, over all of the sort
	hosts   int             // how many servers, or bots, of this sort
	retries []time.Duration // after the first try; the last repeats itself to the end of giveUp
	giveUp  time.Duration
	pool    int // addresses in different networks that each mail is tried from at random; 0: one
	spf     policy.Outcome
	rdns    policy.Outcome
}

func minutes(ns ...int) (ds []time.Duration) {
	for _, n := range ns {
		ds = append(ds, time.Duration(n)*time.Minute)
	}
	return ds
}

// senders are those of a site with some hundred mails a day. The times of retries are the defaults of each server.
func senders() []sender {
	days := func(n int) time.Duration { return time.Duration(n) * day }
	pass, none, fail := policy.Pass, policy.NoneFound, policy.Fail
	return []sender{
		{"Postfix, SPF and reverse name", true, 150, 75, minutes(5, 10, 20, 40, 67), days(5), 0, pass, pass},
		{"Postfix, no SPF", true, 60, 30, minutes(5, 10, 20, 40, 67), days(5), 0, none, pass},
		{"Exim, no SPF", true, 40, 20, minutes(15), days(4), 0, none, pass},
		{"Exchange, no reverse name", true, 30, 15, minutes(1, 2, 3, 4, 14), days(2), 0, pass, none},
		{"large provider, 400 networks", true, 200, 1, minutes(2, 6, 15, 30, 60), days(3), 400, pass, pass},
		{"large provider, names broken", true, 50, 1, minutes(2, 6, 15, 30, 60), days(3), 400, pass, fail},
		{"provider, 8 networks, no SPF", true, 30, 1, minutes(2, 6, 15, 30, 60), days(3), 8, none, pass},
		{"bot, never retries", false, 300, 20000, nil, 0, 0, none, none},
		{"bot, retries at once", false, 100, 8000, []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, time.Minute}, 2 * time.Minute, 0, "softfail", none},
		{"bot, retries like a server", false, 30, 300, minutes(10), days(1), 0, none, none},
	}
}

// tally is what became of a sort's mails.
type tally struct {
	mails, delayed, passed int
	delays                 []time.Duration // of good mail that was delayed
}

// try is one delivery attempt.
type try struct {
	at    time.Time
	mail  *simMail
	tries int
}

type simMail struct {
	sort   int
	host   int
	from   string
	to     string
	first  time.Time
	client netip.Addr
}

// tries is a heap by time.
type tries []try

func (h tries) Len() int           { return len(h) }
func (h tries) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h tries) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *tries) Push(x any)        { *h = append(*h, x.(try)) }
func (h *tries) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// simulate plays a month against the check, under a clock of its own.
func simulate(s *Settings, rng *rand.Rand) []tally {
	clock := &at{time.UnixMilli(start)}
	check := New(s, NewMemory(s), nowhere(), clock.now)
	all := senders()
	tallies := make([]tally, len(all))
	queue := month(all, rng, clock.Time)
	for len(queue) > 0 {
		x := heap.Pop(&queue).(try)
		clock.Time = x.at
		kind, t := &all[x.mail.sort], &tallies[x.mail.sort]
		if x.tries == 0 {
			t.mails++
		}
		f := check.Run(context.Background(), x.mail.view(kind, rng))
		if Kind().Outcomes[f.Outcome] == policy.None {
			t.passed++
			if x.tries > 0 {
				t.delays = append(t.delays, x.at.Sub(x.mail.first))
			}
			continue
		}
		if x.tries == 0 {
			t.delayed++
		}
		if len(kind.retries) == 0 {
			continue
		}
		x.at = x.at.Add(kind.retries[min(x.tries, len(kind.retries)-1)])
		x.tries++
		if x.at.Sub(x.mail.first) <= kind.giveUp {
			heap.Push(&queue, x)
		}
	}
	return tallies
}

// month is the first tries of 30 days. Each host writes from a few senders to a few recipients, bots from anyone to anyone.
func month(all []sender, rng *rand.Rand, from time.Time) tries {
	var queue tries
	for i, k := range all {
		for range 30 * k.mails {
			host := rng.IntN(k.hosts)
			m := &simMail{sort: i, host: host, first: from.Add(time.Duration(rng.Int64N(int64(30 * day))))}
			m.from, m.to = fmt.Sprintf("s%d@h%d-%d.example", rng.IntN(5), i, host), fmt.Sprintf("r%d@r.example", rng.IntN(40))
			if !k.good {
				m.from = fmt.Sprintf("x%d@forged%d.example", rng.IntN(1e6), rng.IntN(1e4))
			}
			m.client = netip.AddrFrom4([4]byte{byte(10 + i), byte(host >> 8), byte(host), 1})
			queue = append(queue, try{at: m.first, mail: m})
		}
	}
	heap.Init(&queue)
	return queue
}

// view is a try as the check sees it.
func (m *simMail) view(k *sender, rng *rand.Rand) policy.View {
	v := view("192.0.2.1", m.from, m.to, found("spf", k.spf), found("rdns", k.rdns))
	v.Client = m.client
	if k.pool > 0 {
		n := rng.IntN(k.pool)
		v.Client = netip.AddrFrom4([4]byte{byte(10 + m.sort), byte(n >> 8), byte(n), byte(1 + rng.IntN(250))})
	}
	return v
}

// resultTable is the result, for people.
func resultTable(title string, ts []tally) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n\n| sender | mails | delayed | median delay | longest | never came |\n| --- | ---: | ---: | ---: | ---: | ---: |\n", title)
	for i, k := range senders() {
		t := ts[i]
		slices.Sort(t.delays)
		median, longest := "-", "-"
		if n := len(t.delays); n > 0 {
			median, longest = t.delays[n/2].Round(time.Minute).String(), t.delays[n-1].Round(time.Minute).String()
		}
		fmt.Fprintf(&b, "| %s | %d | %.1f %% | %s | %s | %.1f %% |\n", k.name, t.mails, share(t.delayed, t.mails), plainSpan(median), plainSpan(longest),
			share(t.mails-t.passed, t.mails))
	}
	good, bad := sum(ts, true), sum(ts, false)
	fmt.Fprintf(&b, "| **good mail** | %d | %.1f %% | | | %.1f %% |\n| **bots** | %d | | | | %.1f %% |\n", good.mails, share(good.delayed, good.mails),
		share(good.mails-good.passed, good.mails), bad.mails, share(bad.mails-bad.passed, bad.mails))
	return b.String()
}

func plainSpan(s string) string { return strings.TrimSuffix(s, "0s") }

func share(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }

func sum(ts []tally, good bool) (all tally) {
	for i, k := range senders() {
		if k.good == good {
			all.mails, all.delayed, all.passed = all.mails+ts[i].mails, all.delayed+ts[i].delayed, all.passed+ts[i].passed
		}
	}
	return all
}

// TestSimulation plays a month of traffic by the default settings, and with everyone unknown made to wait. The table is in the documentation.
func TestSimulation(t *testing.T) {
	def := simulate(Defaults(), rand.New(rand.NewPCG(1, 2)))
	all := simulate(everyone(), rand.New(rand.NewPCG(1, 2)))
	for _, ts := range [][]tally{def, all} {
		if good := sum(ts, true); good.passed != good.mails {
			t.Errorf("%d of %d good mails never came", good.mails-good.passed, good.mails)
		}
		if ts[7].passed*100 > ts[7].mails*2 || ts[8].passed*100 > ts[8].mails*2 {
			t.Errorf("bots: %d of %d and %d of %d came", ts[7].passed, ts[7].mails, ts[8].passed, ts[8].mails)
		}
	}
	if def[0].delayed+def[4].delayed > 0 {
		t.Errorf("by default %d mails of servers in order were delayed", def[0].delayed+def[4].delayed)
	}
	if all[4].delayed > 5 {
		t.Errorf("%d mails of a provider that SPF proves were delayed", all[4].delayed)
	}
	inDoc(t, resultTable("With the defaults:", def)+resultTable("With `only_if = []` (everyone unknown waits):", all)+"\n")
}

// inDoc holds the documentation to a table, or puts it there.
func inDoc(t *testing.T, table string) {
	t.Helper()
	doc, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), tableFrom)
	is, after, ok2 := strings.Cut(rest, tableTo)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", docFile)
	}
	if is == table {
		return
	}
	if !*update {
		t.Fatalf("the table in %s is not what the simulation gives; go test ./greylist -run TestSimulation -update writes it:\n%s", docFile, table)
	}
	if err := os.WriteFile(docFile, []byte(before+tableFrom+table+tableTo+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
