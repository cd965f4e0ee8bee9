package main

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEarlyHangup: SIGHUP while it still waits for the first answer of a mail server does not end it, and is acted on once it listens.
func TestEarlyHangup(t *testing.T) {
	slow, err := net.Listen("tcp", "127.0.0.1:0") // where nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	addr := freeAddress(t)
	p := prepare(t, "true", "[backend.slow]\naddress = [\""+slow.Addr().String()+"\"]\ndomains = [\"slow.example\"]\n[listen.smtp]\naddress = [\""+addr+"\"]\n")
	p.Stderr = &p.log
	p.start(t)
	until(t, "it listens", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	p.Process.Signal(syscall.SIGHUP)
	until(t, "the config was read anew", func() bool {
		select {
		case err := <-p.end:
			t.Fatalf("it ended: %v", err)
		default:
		}
		return strings.Contains(p.log.String(), "the config was read anew")
	})
	p.stop(t)
}

// until waits for something that another process does.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came: %s", what)
		}
	}
}
