//go:build interop

package interop

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const (
	saysReloaded    = "the config was read anew"
	saysNotReloaded = "the config was not read anew"
)

// SIGHUP takes a good file, keeps the old settings where it is broken, and disturbs no mail.
func TestReload(t *testing.T) {
	s := startSink(t)
	p := startProxy(t, settings{backend: s.addr})
	l := startLoad(p.addr, 4)
	l.more(t)
	p.offers(t, "SIZE 50000000")
	good := readFile(t, p.config)

	write(t, p.config, strings.Replace(good, `"50MB"`, `"40MB"`, 1))
	p.reload(t, saysReloaded)
	p.offers(t, "SIZE 40000000")
	l.more(t)

	broken := strings.Replace(good, `message_size = "50MB"`, `mesage_size = "50MB"`, 1)
	write(t, p.config, broken)
	p.reload(t, saysNotReloaded)
	if at := "gatepost.toml:" + lineOf(broken, "mesage_size") + ":"; p.log.count(at) != 1 {
		t.Errorf("the log does not name the place %s:\n%s", at, p.log)
	}
	p.offers(t, "SIZE 40000000")
	l.more(t)

	if err := os.Remove(p.config); err != nil {
		t.Fatal(err)
	}
	p.reload(t, saysNotReloaded)
	l.more(t)
	l.end()
	l.audit(t, s.copies(t))
	if n := l.broken() + l.count(deferred); n != 0 {
		t.Errorf("%d mails were disturbed by the reloads", n)
	}
}

// reload sends SIGHUP and waits until gatepost says what came of it.
func (p *proxy) reload(t *testing.T, says string) {
	t.Helper()
	before := p.log.count(says)
	p.signal(t, syscall.SIGHUP)
	eventually(t, says, func() bool { return p.log.count(says) > before })
}

// lineOf is the number of the line where a text stands.
func lineOf(text, part string) string {
	before, _, _ := strings.Cut(text, part)
	return strconv.Itoa(strings.Count(before, "\n") + 1)
}

// SIGTERM lets a message under way finish, ends idle sessions with 421, and takes no new ones.
func TestDrain(t *testing.T) {
	s := startSink(t)
	p := startProxy(t, settings{backend: s.addr})
	idle := connect(t, p.addr, "")
	idle.must(t, "EHLO idle.test", 250)
	m := newMail("amy@" + domain)
	busy := connect(t, p.addr, "")
	busy.must(t, "EHLO busy.test", 250)
	busy.must(t, "MAIL FROM:<"+m.from+">", 250)
	busy.must(t, "RCPT TO:<"+m.to[0]+">", 250)
	busy.must(t, "DATA", 354)
	half := len(m.content) / 2
	busy.mustWrite(t, m.content[:half])

	p.signal(t, syscall.SIGTERM)
	if code, text, err := idle.reply(); err != nil || code != 421 || !strings.HasPrefix(text, "4.3.2 ") {
		t.Errorf("the idle session got %d %s (%v), want 421 4.3.2", code, text, err)
	}
	if listening(p.addr) {
		t.Error("gatepost still takes connections")
	}
	if !p.alive() {
		t.Fatalf("gatepost ended while a message was under way:\n%s", p.log)
	}
	busy.mustWrite(t, m.content[half:])
	busy.must(t, ".", 250)
	if code, _, err := busy.reply(); err != nil || code != 421 {
		t.Errorf("behind the message came %d (%v), want 421", code, err)
	}
	p.stop(t)
	if n := s.copies(t)[m.id]; n != 1 {
		t.Errorf("the message is at the backend %d times", n)
	}
}

// A drain under load: whatever was accepted is there, and nobody who was in the middle of a message is cut off.
func TestDrainUnderLoad(t *testing.T) {
	s := startSink(t)
	p := newProxy(t, settings{backend: s.addr})
	p.launch(t)
	l := startLoad(p.addr, senders)
	for range 3 {
		l.more(t)
		chance()
		p.stop(t)
		p.launch(t)
	}
	l.more(t)
	l.end()
	p.stop(t)
	l.audit(t, s.copies(t))
	if n := l.count(cutOff); n != 0 {
		t.Errorf("%d mails were cut off behind a 354", n)
	}
}
