//go:build interop

package interop

import (
	"sync"
	"testing"
	"time"
)

// outcome is what the sender of a message knows of it at the end.
type outcome int

const (
	lost     outcome = iota // the connection broke: it may have come through
	cutOff                  // the same, behind a 354: the server had promised to take it
	accepted                // 2xx
	deferred                // 4xx
	rejected                // 5xx
)

// load is senders that send all the time, each mail once, and remember what became of it.
type load struct {
	addr string
	stop chan struct{}
	done sync.WaitGroup

	mu   sync.Mutex
	sent map[string]outcome
	said map[string]string // the reply, by id
}

// startLoad starts n senders; every second one brings its mail by BDAT.
func startLoad(addr string, n int) *load {
	l := &load{addr: addr, stop: make(chan struct{}), sent: map[string]outcome{}, said: map[string]string{}}
	for i := range n {
		l.done.Go(func() { l.run(i%2 == 1) })
	}
	return l
}

// run opens sessions until the load is stopped.
func (l *load) run(bdat bool) {
	for !l.stopped() {
		c, err := dial(l.addr, "")
		if err != nil { // it is being started anew
			time.Sleep(5 * time.Millisecond)
			continue
		}
		l.session(c, bdat)
		c.close()
	}
}

func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// session sends some mails and ends as it should.
func (l *load) session(c *client, bdat bool) {
	if code, _, err := c.say("EHLO client.test"); err != nil || code != 250 {
		return
	}
	for i := 0; i < 5 && !l.stopped(); i++ {
		m := newMail("amy@" + domain)
		if bdat {
			m.chunk = 100
		}
		code, text, err := c.send(m)
		l.note(m.id, code, text, err, c.promised)
		if err != nil || code == 421 {
			return
		}
		if code/100 != 2 {
			time.Sleep(5 * time.Millisecond) // a sender that is put off does not try again at once
			c.say("RSET")
		}
	}
	c.say("QUIT")
}

func (l *load) note(id string, code int, text string, err error, promised bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said[id] = text
	switch {
	case err != nil && promised:
		l.sent[id] = cutOff
	case err != nil:
		l.sent[id] = lost
	case code/100 == 2:
		l.sent[id] = accepted
	case code/100 == 4:
		l.sent[id] = deferred
	default:
		l.sent[id] = rejected
	}
}

// count is how many mails had an outcome so far.
func (l *load) count(o outcome) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, is := range l.sent {
		if is == o {
			n++
		}
	}
	return n
}

// broken is how many lost their connection.
func (l *load) broken() int { return l.count(lost) + l.count(cutOff) }

// more waits until more mail was accepted than now.
func (l *load) more(t *testing.T) {
	t.Helper()
	before := l.count(accepted)
	eventually(t, "mail flows", func() bool { return l.count(accepted) > before })
}

// end stops the senders and waits for them.
func (l *load) end() {
	close(l.stop)
	l.done.Wait()
}

// audit compares what senders know with what the backend has: accepted is there once, all else at most once, and
// nothing was refused for good because of a fault of ours.
func (l *load) audit(t *testing.T, at map[string]int) {
	t.Helper()
	for id, o := range l.sent {
		switch n := at[id]; {
		case o == rejected:
			t.Errorf("%s was refused for good: %s", id, l.said[id])
		case o == accepted && n != 1:
			t.Errorf("%s was accepted (%s) and is at the backend %d times", id, l.said[id], n)
		case n > 1:
			t.Errorf("%s is at the backend %d times", id, n)
		}
	}
	t.Logf("accepted %d, deferred %d, connection lost %d, of these behind a 354 %d",
		l.count(accepted), l.count(deferred), l.broken(), l.count(cutOff))
}
