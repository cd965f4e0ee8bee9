//go:build interop

package interop

import (
	"net"
	"os"
	"os/exec"
	"testing"
)

// handover starts gatepost as systemd does with a socket unit: the socket is file 3, and variables tell of it. LISTEN_PID
// must be the number of gatepost itself, which the shell that turns into it knows.
func handover(t *testing.T, p *proxy, socket *os.File) {
	t.Helper()
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve --config "$1"`, binary, p.config)
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=smtp", quickExit)
	cmd.ExtraFiles = []*os.File{socket}
	p.process = start(t, cmd)
}

// A socket from systemd is served, and outlives gatepost: who connects while it is down waits, and is served by the next.
func TestSocketActivation(t *testing.T) {
	socket, addr := listeningFile(t)
	s := startSink(t)
	p := newProxy(t, settings{backend: s.addr, listen: "systemd:smtp"})
	p.addr = addr
	handover(t, p, socket)
	p.ready(t)
	first := newMail("amy@" + domain)
	sendFrom(t, p.addr, "127.0.0.2", "EHLO client.test", first)

	p.kill()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatalf("the socket went down with gatepost: %v", err)
	}
	defer conn.Close()
	handover(t, p, socket)
	c := newClient(conn)
	if code, text, err := c.reply(); err != nil || code != 220 {
		t.Fatalf("who connected while gatepost was down got %d %s (%v)", code, text, err)
	}
	second := newMail("amy@" + domain)
	c.must(t, "EHLO client.test", 250)
	if code, text, err := c.send(second); err != nil || code != 250 {
		t.Fatalf("%d %s (%v)", code, text, err)
	}
	p.stop(t)
	if got := s.copies(t); got[first.id] != 1 || got[second.id] != 1 || len(got) != 2 {
		t.Errorf("the backend has %v", got)
	}
}

// listeningFile is a socket that listens, as a file to hand over.
func listeningFile(t *testing.T) (*os.File, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, l.Addr().String()
}
