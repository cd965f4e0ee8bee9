//go:build interop

package interop

import (
	"math/rand/v2"
	"regexp"
	"testing"
	"time"
)

const (
	rounds  = 15
	senders = 8
)

// chance waits for a random moment, so that each kill hits another point of the dialogue.
func chance() { time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond) }

// Promise 1 under kill -9 of gatepost.
func TestKilledProxyLosesNothing(t *testing.T) {
	s := startSink(t)
	p := newProxy(t, settings{backend: s.addr, clientIP: "xclient"})
	p.launch(t)
	l := startLoad(p.addr, senders)
	for range rounds {
		l.more(t)
		chance()
		p.kill()
		p.sound(t)
		p.launch(t)
	}
	l.more(t)
	l.end()
	p.stop(t)
	l.audit(t, s.copies(t))
	if l.broken() == 0 {
		t.Error("no kill hit a mail under way: the test shows nothing")
	}
}

// Promise 1 under kill -9 of the backend. gatepost lives, so every sender hears a reply.
func TestKilledBackendLosesNothing(t *testing.T) {
	s := startSink(t)
	p := startProxy(t, settings{backend: s.addr, clientIP: "xclient"})
	l := startLoad(p.addr, senders)
	for range rounds {
		l.more(t)
		chance()
		before := l.count(deferred)
		s.kill()
		eventually(t, "senders are put off", func() bool { return l.count(deferred) > before })
		s.launch(t)
	}
	l.more(t)
	l.end()
	l.audit(t, s.copies(t))
	if n := l.broken(); n != 0 {
		t.Errorf("%d senders lost their connection, though gatepost ran all the time", n)
	}
}

// The same with Postfix, which is stopped in good order and started anew.
func TestRestartedPostfixLosesNothing(t *testing.T) {
	s := startPostfix(t)
	p := startProxy(t, settings{backend: s.addr, clientIP: "xclient"})
	l := startLoad(p.addr, senders)
	for range 3 {
		l.more(t)
		chance()
		s.restart(t)
	}
	l.more(t)
	l.end()
	eventually(t, "the queue is empty", func() bool { return s.idle(t) })
	l.audit(t, s.acceptances(t))
}

// acceptances counts by id how often Postfix took a message. It numbers each; two copies of one number are its own doing,
// as it delivers again where it was stopped behind a delivery and before it had noted that.
func (s *server) acceptances(t *testing.T) map[string]int {
	t.Helper()
	s.scan(t)
	numbered := regexp.MustCompile(`\(Postfix\) with ESMTP id (\w+)`)
	seen := map[string]bool{}
	got := map[string]int{}
	for file, l := range s.read {
		number := numbered.FindStringSubmatch(readFile(t, file))
		if number == nil {
			t.Fatalf("%s was not taken by Postfix", file)
		}
		if key := l.id + " " + number[1]; !seen[key] {
			seen[key] = true
			got[l.id]++
		}
	}
	return got
}
