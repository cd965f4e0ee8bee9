//go:build interop

package soak

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatepost/internal/mailsink"
)

// busy is a gatepost before a backend that takes everything.
type busy struct {
	*gatepost
	sink *mailsink.Server
	told atomic.Int64 // mails that were accepted
}

// limits are TOML for the table of that name.
func startBusy(t *testing.T, limits string) *busy { return startBusyWith(t, limits, "checks = []\n") }

// startBusyWith is startBusy with a policy.
func startBusyWith(t *testing.T, limits, policy string) *busy {
	t.Helper()
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions(), Keep: 1}
	addr, stop, err := mailsink.Listen(sink)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	b := &busy{sink: sink}
	b.gatepost = launch(t, addr, "[limits]\nspool_dir = \"SPOOL\"\n"+limits+"[policy]\n"+policy)
	return b
}

// flows demands that mails of someone well-behaved come through, each in a session of its own and in good time: as many as are
// brought one after the other until the time is over, but at least ten.
func (b *busy) flows(t *testing.T, until time.Duration) {
	t.Helper()
	n, longest := 0, time.Duration(0)
	for start := time.Now(); n < 10 || time.Since(start) < until; n++ {
		began := time.Now()
		if code, text, err := b.mail(100); err != nil || code != 250 {
			t.Fatalf("a good mail got %d %s (%v); %v", code, text, err, b.figures(t))
		}
		longest = max(longest, time.Since(began))
		time.Sleep(20 * time.Millisecond)
	}
	if longest > 5*time.Second { // the machine has others to serve
		t.Errorf("a good mail took %v", longest)
	}
	t.Logf("%d good mails, the slowest took %v; %v", n, longest, b.figures(t))
}

// mail brings one of about so many octets.
func (b *busy) mail(size int) (code int, text string, err error) {
	c, err := greet(b.addr, "127.0.0.1")
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	code, text, err = c.send("a@good.test", "amy@"+domain, letter("x", "a@good.test", size), false)
	if code == 250 {
		b.told.Add(1)
		c.say("QUIT")
	}
	return code, text, err
}

// settled demands that once the crowd has gone all is as it was, and that the backend has what was accepted.
func (b *busy) settled(t *testing.T, before figures) {
	t.Helper()
	var f figures
	eventually(t, "nothing is left", func() bool {
		f = b.figures(t)
		return f.sessions == 0 && f.content == 0 && f.temporary == 0 && f.goroutines <= before.goroutines+10 && f.descriptors <= before.descriptors+10
	})
	if n := b.sink.Committed(); int64(n) != b.told.Load() {
		t.Errorf("%d mails are at the backend, %d were accepted", n, b.told.Load())
	}
	b.stop(t)
}

// TestIdleCrowd: 20,000 sessions that do nothing. Where the machine lets no process have so many descriptors, as many as it does.
func TestIdleCrowd(t *testing.T) {
	n := 20_000
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	want := syscall.Rlimit{Cur: max(files.Max, 30_000), Max: max(files.Max, 30_000)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want); err != nil {
		n = min(n, int(files.Max*9/10)-100) // the last tenth is for sessions under way
		t.Logf("a process may have %d descriptors here: %d sessions", files.Max, n)
	}
	b := startBusy(t, "connections = 30000\nconnections_per_client = 1000\n")
	b.flows(t, 0)
	before := b.figures(t)
	idle := b.idlers(t, n, 800)
	after := b.figures(t)
	t.Logf("%d octets of memory a session", (after.rss-before.rss)/int64(n))
	if after.sessions != n {
		t.Errorf("%d sessions, want %d", after.sessions, n)
	}
	if most := before.rss + int64(n)*24<<10; after.rss > most {
		t.Errorf("%d MB, want at most %d", after.rss>>20, most>>20)
	}
	b.flows(t, 5*time.Second)
	for _, c := range idle {
		c.Close()
	}
	b.flows(t, 0)
	b.settled(t, before)
}

// idlers are n connections that have had their banner, so many of each client.
func (b *busy) idlers(t *testing.T, n, each int) []net.Conn {
	t.Helper()
	all := make([]net.Conn, n)
	var next atomic.Int64
	var dialers sync.WaitGroup
	for range 8 {
		dialers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				c, err := idler(b.addr, fmt.Sprintf("127.0.9.%d", 1+i/each))
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
				all[i] = c
			}
		})
	}
	dialers.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return all
}

func idler(addr, from string) (net.Conn, error) {
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	banner := make([]byte, 200)
	c.SetDeadline(time.Now().Add(patience))
	n, err := c.Read(banner)
	if err == nil && !strings.HasPrefix(string(banner[:n]), "220 ") {
		err = fmt.Errorf("banner %q", banner[:n])
	}
	c.SetDeadline(time.Time{})
	return c, err
}

// during runs f in n goroutines while a test goes on, each with its number, again and again until the function it gives is called.
func during(n int, f func(i int, over <-chan struct{})) (end func()) {
	over := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					f(i, over)
				}
			}
		})
	}
	return func() { close(over); all.Wait() }
}

// TestFlood: connections as fast as they can, which go at once or say nothing.
func TestFlood(t *testing.T) {
	b := startBusy(t, "")
	b.flows(t, 0)
	before := b.figures(t)
	var came atomic.Int64
	end := during(4, func(i int, over <-chan struct{}) {
		var silent []net.Conn
		for range 200 { // the client may have 50
			if c, err := dial(b.addr, fmt.Sprintf("127.0.7.%d", 1+i)); err == nil {
				came.Add(1)
				if silent = append(silent, c); i%2 == 0 {
					c.Close()
				}
			}
		}
		for _, c := range silent {
			c.Close()
		}
	})
	b.flows(t, 10*time.Second)
	end()
	t.Logf("%d connections came meanwhile", came.Load())
	if came.Load() < 2000 {
		t.Error("that is no flood")
	}
	b.settled(t, before)
}

// TestSlowCrowd: 500 senders of a byte a second, half of them in a command, half in content.
func TestSlowCrowd(t *testing.T) {
	b := startBusy(t, "")
	b.flows(t, 0)
	before := b.figures(t)
	end := during(500, func(i int, over <-chan struct{}) {
		c, err := greet(b.addr, fmt.Sprintf("127.0.6.%d", 1+i/40))
		if err != nil {
			t.Errorf("slow sender %d: %v", i, err)
			<-over
			return
		}
		defer c.Close()
		if i%2 == 0 {
			c.envelope("slow@good.test", "amy@"+domain)
			c.must("DATA", 354)
		}
		for _, octet := range []byte(strings.Repeat("Subject: slow ", 1000)) {
			select {
			case <-over:
				return
			case <-time.After(time.Second):
				c.Write([]byte{octet})
			}
		}
	})
	eventually(t, "all are there", func() bool { return b.figures(t).sessions == 500 })
	b.flows(t, 10*time.Second)
	if f := b.figures(t); f.sessions != 500 {
		t.Errorf("%d sessions, want 500", f.sessions)
	}
	end()
	b.settled(t, before)
}

// TestDeafCrowd: 100 clients that ask and ask, and never read. The limit of idle commands, which would end them, is out of the way.
func TestDeafCrowd(t *testing.T) {
	const n = 100
	b := startBusy(t, "idle_commands = 1000000\n")
	b.flows(t, 0)
	before := b.figures(t)
	var stuck atomic.Int64 // those from whom gatepost takes no more, since it cannot answer
	end := during(n, func(i int, over <-chan struct{}) {
		c, err := dial(b.addr, fmt.Sprintf("127.0.5.%d", 1+i/40))
		if err != nil {
			return
		}
		defer c.Close()
		c.Conn.(*net.TCPConn).SetReadBuffer(1 << 10)
		for err == nil {
			c.SetWriteDeadline(time.Now().Add(5 * time.Second))
			_, err = io.WriteString(c, strings.Repeat("NOOP\r\n", 10_000))
		}
		stuck.Add(1)
		<-over
	})
	eventually(t, "all are stuck", func() bool { return stuck.Load() == n })
	b.flows(t, 5*time.Second)
	if f := b.figures(t); f.sessions < n/2 || f.rss > before.rss+64<<20 { // they are sent away after a minute
		t.Errorf("%v, before %v", f, before)
	}
	end()
	b.settled(t, before)
}

// TestLargeCrowd: a hundred contents, slow and many times the budget of memory in all. They are passed on, or go to files where a check wants the
// whole, and small mail finds room.
func TestLargeCrowd(t *testing.T) {
	t.Run("passed on", func(t *testing.T) { largeCrowd(t, "checks = []\n", 0) })
	t.Run("files", func(t *testing.T) { largeCrowd(t, "checks = [\"size\"]\n[check.size]\nmax = \"40MB\"\n", 100) })
}

func largeCrowd(t *testing.T, policy string, files int) {
	const n, budget = 100, 16 << 20
	b := startBusyWith(t, "memory = \"16MiB\"\nspool_memory = \"1MiB\"\nconnections_per_client = 200\n", policy)
	b.flows(t, 0)
	before := b.figures(t)
	halfway := make(chan struct{}) // closed when they may bring their second half
	var large sync.WaitGroup
	var waiting atomic.Int64
	for range n {
		large.Go(func() {
			if code, text, err := b.large(3<<20, &waiting, halfway); err != nil || code != 250 {
				t.Errorf("a large mail got %d %s (%v)", code, text, err)
			}
		})
	}
	eventually(t, "all are half there", func() bool { return waiting.Load() == n })
	b.flows(t, time.Second)
	if f := b.figures(t); f.content > budget || f.rss > before.rss+budget+64<<20 || f.temporary != files {
		t.Errorf("%v, before %v", f, before)
	}
	close(halfway)
	large.Wait()
	b.flows(t, 0)
	b.settled(t, before)
}

// large brings a mail of which one half waits for the other.
func (b *busy) large(size int, waiting *atomic.Int64, halfway <-chan struct{}) (code int, text string, err error) {
	c, err := greet(b.addr, "127.0.4.1")
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	if code, text, err = c.envelope("large@good.test", "amy@"+domain); err != nil || code != 250 {
		return code, text, err
	}
	if code, text, err = c.say("DATA"); err != nil || code != 354 {
		return code, text, err
	}
	half := strings.ReplaceAll(letter("large", "large@good.test", size/2), "\n.", "\n..")
	if _, err = io.WriteString(c, half); err != nil {
		return 0, "", err
	}
	waiting.Add(1)
	<-halfway
	if code, text, err = c.ask(half + ".\r\n"); code == 250 {
		b.told.Add(1)
	}
	return code, text, err
}
