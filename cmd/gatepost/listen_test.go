package main

import (
	"net"
	"strings"
	"testing"
)

// handOver makes a process to which systemd hands over sockets of some names, at the addresses that it gives.
func handOver(t *testing.T, lines string, names ...string) (*process, []string) {
	t.Helper()
	p := prepare(t, "export LISTEN_PID=$$ LISTEN_FDS=3 LISTEN_FDNAMES="+strings.Join(names, ":"), lines)
	p.Stderr = &p.log
	var at []string
	for range names {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		p.ExtraFiles = append(p.ExtraFiles, f)
		at = append(at, ln.Addr().String())
	}
	return p, at
}

// TestSockets: each listener has the sockets of its name; one that no listener has is said, and closed.
func TestSockets(t *testing.T) {
	p, at := handOver(t, "[listen.one]\naddress = [\"systemd:one\"]\n[listen.two]\naddress = [\"systemd:two\"]\n", "one", "two", "three")
	p.start(t)
	for _, f := range p.ExtraFiles {
		f.Close()
	}
	for _, p.addr = range at[:2] {
		s, banner := p.dial(t)
		if !strings.HasPrefix(banner, "220 ") {
			t.Errorf("banner %q", banner)
		}
		s.Close()
	}
	if conn, err := net.Dial("tcp", at[2]); err == nil {
		conn.Close()
		t.Error("the socket of nobody is open")
	}
	if !strings.Contains(p.log.String(), "name=systemd:three") {
		t.Errorf("it is not said: %s", p.log.String())
	}
	p.stop(t)
}

// TestNoSuchSocket: a name that systemd does not know is an error.
func TestNoSuchSocket(t *testing.T) {
	p, _ := handOver(t, "[listen.four]\naddress = [\"systemd:four\"]\n", "one", "two", "three")
	p.start(t)
	if err := <-p.end; err == nil || !strings.Contains(p.log.String(), "FileDescriptorName=four") {
		t.Errorf("%v: %s", err, p.log.String())
	}
}
