package proxy_test

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy/backend"
)

// TestShutdown: idle sessions hear 421, nobody new comes in, and content under way is brought to its end (hazard 83).
func TestShutdown(t *testing.T) {
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
	p := start(t, withSink(t, sink), listenerPlain())
	idle, midway, busy := p.client(t), p.client(t), p.client(t)
	idle.say("EHLO client.example", "250")
	midway.say("EHLO client.example", "250")
	midway.say("MAIL FROM:<a@client.example>", "250 ")
	midway.say("RCPT TO:<amy@example.com>", "250 ")
	busy.envelope()
	busy.send("Subject: x\r\n\r\nhalf a li")
	stopped := make(chan struct{})
	go func() { defer close(stopped); p.stop() }()
	idle.want("421 4.3.2 ")
	idle.closed()
	midway.want("421 4.3.2 ")
	midway.closed()
	<-p.done // nobody listens any more
	late := p.pipe(t)
	late.want("421 4.3.2 ")
	late.closed()
	select {
	case <-stopped:
		t.Error("it did not wait for the content under way")
	default:
	}
	busy.say("ne\r\n.", "250 ")
	busy.want("421 4.3.2 ")
	busy.closed()
	<-stopped
	p.atRest(t)
	if n := sink.Committed(); n != 1 {
		t.Errorf("%d messages committed, want 1", n)
	}
}

// TestShutdownEnds: whoever is not done when its time is up is closed without a commit.
func TestShutdownEnds(t *testing.T) {
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
	p := start(t, withSink(t, sink), listenerPlain())
	defer p.closeBackends()
	c := p.client(t)
	c.envelope()
	c.send("Subject: x\r\n")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := p.server.Shutdown(ctx); err == nil {
		t.Error("no error, though a session was cut")
	}
	c.closed()
	<-p.done
	p.atRest(t)
	if r := p.record(); r == nil || r.End != policy.EndLost || sink.Committed() != 0 {
		t.Errorf("record %+v, %d messages", r, sink.Committed())
	}
}

// lastMoment is a listener that accepts a connection as it is closed.
type lastMoment struct {
	asked, closed chan struct{}
	conn          net.Conn
}

func (l *lastMoment) Accept() (net.Conn, error) {
	c := l.conn
	if c == nil {
		return nil, net.ErrClosed
	}
	close(l.asked)
	<-l.closed
	l.conn = nil
	return c, nil
}

func (l *lastMoment) Close() error   { close(l.closed); return nil }
func (l *lastMoment) Addr() net.Addr { return &net.TCPAddr{} }

// TestShutdownAsOneComes: a connection that is accepted in the moment of Shutdown is closed, and no session that Shutdown may not wait for.
func TestShutdownAsOneComes(t *testing.T) {
	p := newServer(behind(t, backend.Settings{}))
	ours, theirs := net.Pipe()
	ln := &lastMoment{asked: make(chan struct{}), closed: make(chan struct{}), conn: theirs}
	go func() { p.server.Serve(ln, listenerPlain()); close(p.done) }()
	<-ln.asked
	p.stop()
	newClient(t, ours).closed()
	p.atRest(t)
	if st := p.server.Stats(); st.Total != 0 {
		t.Errorf("%+v", st)
	}
}

// TestPanic: a panic ends one session; the others and those to come don't notice.
func TestPanic(t *testing.T) {
	s := behind(t, backend.Settings{})
	s.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("a fault for tests") }}
	p := start(t, s, listenerPlain())
	other := p.client(t)
	c := p.client(t)
	c.say("EHLO client.example", "250")
	c.say("STARTTLS", "220 ")
	tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true}).Handshake()
	c.closed()
	other.say("EHLO client.example", "250")
	other.quit()
	p.client(t).quit()
	p.stop()
	p.atRest(t)
	if n := len(p.all()); n != 3 {
		t.Errorf("%d records of 3 sessions", n)
	}
}

// TestSwap: new settings are for sessions to come; one under way keeps those it started with.
func TestSwap(t *testing.T) {
	s := behind(t, backend.Settings{})
	p := start(t, s, listenerPlain())
	defer p.stop()
	before := p.client(t)
	changed := *s
	changed.Hostname, changed.Limits.MessageSize = "new.example.com", 1234
	p.server.Swap(&changed)
	after := newClient(t, p.dial(t))
	after.want("220 new.example.com ")
	after.send("EHLO client.example\r\n")
	if got := after.reply(); !strings.Contains(got, "SIZE 1234\n") {
		t.Errorf("the new session offers %q", got)
	}
	before.send("EHLO client.example\r\n")
	if got := before.reply(); !strings.Contains(got, "SIZE 50000000\n") {
		t.Errorf("the old session offers %q", got)
	}
	before.quit()
	after.quit()
}

// TestKeptOverSessions: a backend connection serves one session after another, and what one left open is ended before the next.
func TestKeptOverSessions(t *testing.T) {
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
	p := start(t, withSink(t, sink), listenerPlain())
	first := p.client(t)
	first.say("EHLO client.example", "250")
	first.say("MAIL FROM:<given-up@client.example>", "250 ")
	first.say("RCPT TO:<amy@example.com>", "250 ")
	first.quit()
	second := p.client(t)
	second.envelope()
	second.say("x\r\n.", "250 ")
	second.quit()
	p.stop()
	log := strings.Join(sink.Log(), "\n")
	if strings.Count(log, "C: EHLO") != 1 {
		t.Errorf("more than one connection:\n%s", log)
	}
	if m := sink.Messages(); len(m) != 1 || m[0].From != "a@client.example" || len(m[0].Recipients) != 1 {
		t.Errorf("messages %+v", m)
	}
}

// lateNudge is a connection on which Shutdown's call to wake a session takes its time.
type lateNudge struct {
	net.Conn
	now chan struct{}
}

func (c lateNudge) SetReadDeadline(at time.Time) error {
	if at.Before(time.Now()) {
		<-c.now
	}
	return c.Conn.SetReadDeadline(at)
}

// TestNudgeInContent: a session that was seen to wait for a command, and takes content by now, is not cut.
func TestNudgeInContent(t *testing.T) {
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
	s := withSink(t, sink) // outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		p := newServer(fresh(s))
		defer p.closeBackends()
		ours, theirs := net.Pipe()
		conn := lateNudge{theirs, make(chan struct{})}
		go p.server.ServeConn(conn, listenerPlain())
		c := newClient(t, ours)
		c.want("220 ")
		c.say("EHLO client.example", "250")
		c.say("MAIL FROM:<a@client.example>", "250 ")
		c.say("RCPT TO:<amy@example.com>", "250 ")
		synctest.Wait()
		go p.server.Shutdown(context.Background())
		synctest.Wait()
		c.say("DATA", "354 ")
		c.send("Subject: x\r\n\r\n")
		synctest.Wait()
		close(conn.now)
		synctest.Wait()
		c.say(".", "250 ")
		c.want("421 4.3.2 ")
		c.closed()
	})
	if n := sink.Committed(); n != 1 {
		t.Errorf("%d messages committed, want 1", n)
	}
}
