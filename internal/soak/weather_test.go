//go:build soak

package soak

import (
	"context"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"gatepost/internal/dnstest"
	"gatepost/internal/mailsink"
)

// backendWords stand in every refusal of the backend's own.
const backendWords = "words of the backend"

// storms are what the backend does at one of its stages, besides "hang" and "dead".
var storms = map[string]mailsink.Action{
	"close":               {Close: true},
	"reset":               {Reset: true},
	"421":                 {Reply: "421 4.3.2 " + backendWords, CloseAfter: true},
	"4xx":                 {Reply: "451 4.3.0 " + backendWords},
	"5xx":                 {Reply: "554 5.3.0 " + backendWords},
	"garbage":             {Reply: "999 what"},
	"endless":             {Endless: true},
	"drip":                {Drip: 20 * time.Millisecond},
	"slow":                {Delay: 500 * time.Millisecond},
	"taken, then a reset": {ResetAfter: true},
	"taken, and silent":   {Commit: true, Close: true},
}

// fogs are what the DNS does.
var fogs = map[string]func(*dnstest.Server){
	"SERVFAIL": func(s *dnstest.Server) { s.ServFail("") },
	"silence":  func(s *dnstest.Server) { s.Drop("", -1) },
	"slow":     func(s *dnstest.Server) { s.Delay("", 200*time.Millisecond) },
	"cut off":  func(s *dnstest.Server) { s.Truncate("") },
	"forged": func(s *dnstest.Server) {
		s.Forge("", dnstest.Junk, dnstest.WrongID, dnstest.WrongName, dnstest.Stranger)
	},
}

// weather is the backend and the DNS, and how they are at the moment.
type weather struct {
	sink *mailsink.Server
	addr string // of the backend
	dns  *dnstest.Server

	mu    sync.Mutex
	ln    net.Listener
	storm string
	often float64       // how many of the events of a stage it hits, 0 to 1
	over  chan struct{} // closed when it ends: what hangs is let go then
	count map[string]int
}

func newWeather(t *testing.T, l *ledger) *weather {
	t.Helper()
	w := &weather{over: make(chan struct{}), count: map[string]int{}, dns: dnstest.Start(t, zone)}
	w.sink = &mailsink.Server{Extensions: mailsink.DefaultExtensions(), Keep: 1, OnMessage: l.commit, Fault: w.action}
	w.addr = freeAddr(t)
	w.listen(t)
	t.Cleanup(func() { w.ln.Close(); w.sink.Close() })
	return w
}

func (w *weather) listen(t *testing.T) {
	ln, err := net.Listen("tcp", w.addr)
	if err != nil {
		t.Error(err)
		return
	}
	w.ln = ln
	go w.sink.Serve(ln)
}

// action is asked by the backend at each event.
func (w *weather) action(e mailsink.Event) mailsink.Action {
	w.mu.Lock()
	storm, over := w.storm, w.over
	hit := storm != "" && storm != "dead" && rand.Float64() < w.often
	if hit {
		w.count["backend: "+storm]++
	}
	w.mu.Unlock()
	switch {
	case !hit:
		return mailsink.Action{}
	case storm == "hang":
		<-over
		return mailsink.Action{Close: true}
	}
	a := storms[storm]
	if e.Stage == mailsink.StageBody && a.Reply != "" {
		a.CloseAfter = true // it would be no server that refuses content, goes on reading and then has it
	}
	return a
}

// change lets a storm and a fog begin, "" for none, and ends those before.
func (w *weather) change(t *testing.T, storm, fog string, often float64) {
	w.mu.Lock()
	was := w.storm
	close(w.over)
	w.storm, w.often, w.over = storm, often, make(chan struct{})
	w.count["phases of the backend: "+or(storm, "fair")]++
	w.count["phases of the DNS: "+or(fog, "fair")]++
	w.mu.Unlock()
	if was == "dead" {
		w.listen(t)
	}
	if storm == "dead" {
		w.ln.Close()
	}
	w.dns.Mend("")
	if fog != "" {
		fogs[fog](w.dns)
	}
}

// run changes the weather every few seconds, and leaves it fair.
func (w *weather) run(ctx context.Context, t *testing.T) {
	stormy, foggy := append(slices.Sorted(maps.Keys(storms)), "hang", "dead"), slices.Sorted(maps.Keys(fogs))
	for ctx.Err() == nil {
		var storm, fog string
		if rand.IntN(3) > 0 {
			storm = stormy[rand.IntN(len(stormy))]
		}
		if rand.IntN(2) > 0 {
			fog = foggy[rand.IntN(len(foggy))]
		}
		w.change(t, storm, fog, []float64{.02, .1, .5}[rand.IntN(3)])
		pause(ctx, time.Duration(3+rand.IntN(6))*time.Second)
	}
	w.change(t, "", "", 0)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// zone is the DNS: a domain whose mail may come from here, one whose mail may not, and a list that has one of the clients.
const zone = `
$TTL 5
*.127.in-addr.arpa. PTR mail.good.test.
mail.good.test.    A   127.0.1.1
good.test.         A   127.0.1.1
good.test.         MX  10 mail.good.test.
good.test.         TXT "v=spf1 ip4:127.0.0.0/8 -all"
_dmarc.good.test.  TXT "v=DMARC1; p=reject"
bad.test.          A   127.0.1.1
bad.test.          TXT "v=spf1 -all"
_dmarc.bad.test.   TXT "v=DMARC1; p=reject"
2.0.0.127.bl.test. A   127.0.0.2
66.0.0.127.bl.test. A  127.0.0.2
example.test.      MX  10 mail.example.test.
mail.example.test. A   127.0.0.1
`
