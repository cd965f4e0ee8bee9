package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatepost/checks"
	"gatepost/config"
	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy"
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

// TestReload: SIGHUP takes the new config and opens the journal's file anew, and says what of the config a running process can't take.
func TestReload(t *testing.T) {
	p := launch(t, "true", "[journal]\nfile = \"$DIR/journal.jsonl\"\n[smtp]\nbare_lf = \"normalize\"\n")
	journal, file := filepath.Join(p.dir, "journal.jsonl"), filepath.Join(p.dir, "gatepost.toml")
	visit := func() {
		t.Helper()
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		s := &sender{conn, bufio.NewReader(conn)}
		s.reply()
		if err := s.say('2', "QUIT"); err != nil {
			t.Error(err)
		}
	}
	hup := func(told string) {
		t.Helper()
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		until(t, told, func() bool { return strings.Contains(p.log.String(), told) })
	}
	lines := func() int {
		b, _ := os.ReadFile(journal)
		return strings.Count(string(b), "\n")
	}
	visit()
	until(t, "a record", func() bool { return lines() == 1 })
	if err := os.Rename(journal, journal+".1"); err != nil {
		t.Fatal(err)
	}
	hup("the config was read anew")
	if strings.Contains(p.log.String(), "takes a restart") {
		t.Errorf("nothing changed: %s", p.log.String())
	}
	until(t, "a record in the new file", func() bool { visit(); return lines() > 0 })

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, new string) {
		t.Helper()
		changed := strings.Replace(string(text), old, new, 1)
		if changed == string(text) {
			t.Fatalf("%q is not in the config", old)
		}
		if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	change("[listen.smtp]", "[log]\nlevel = \"debug\"\n[listen.smtp]\nproxy_protocol_from = [\"192.0.2.1\"]")
	hup(`takes a restart" file=` + file + ` parts="listen, log"`)
	change("[smtp]", "[smpt]")
	hup("the config was not read anew")
	visit()
	p.stop(t)
}

// TestGreylistedWhileReloading: strangers have to wait too while a reload with another greylist waits for a mail server that says nothing, and
// the greylist that was is let go of in the end.
func TestGreylistedWhileReloading(t *testing.T) {
	sink, stop, err := mailsink.Listen(&mailsink.Server{Extensions: mailsink.DefaultExtensions()})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	slow, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	asked := make(chan net.Conn)
	go func() {
		for conn, err := slow.Accept(); err == nil; conn, err = slow.Accept() {
			asked <- conn
		}
	}()
	log := slog.New(slog.DiscardHandler)
	d := &daemon{log: log, parts: newParts(log)}
	d.metrics = newMetrics(d)
	// applying is where it waits for the silent server; the config with that delay is in force once the connection has ended.
	applying := func(delay string) (conn net.Conn, applied chan error) {
		c, err := config.Parse("gatepost.toml", fmt.Appendf(nil, "hostname = \"mx.example.com\"\n[backend.main]\naddress = [%q]\ndomains = [\"example.com\"]\n"+
			"[backend.slow]\naddress = [%q]\ndomains = [\"slow.example\"]\n[policy]\nchecks = [\"greylist\"]\n"+
			"[check.greylist]\nstore = \"memory\"\nonly_if = []\ndelay = %q\n[dns]\nservers = [\"127.0.0.1:9\"]\n", sink, slow.Addr(), delay), checks.Kinds())
		if err != nil {
			t.Fatal(err)
		}
		applied = make(chan error)
		go func() { applied <- d.apply(c) }()
		return <-asked, applied
	}
	inForce := func(conn net.Conn, applied chan error) {
		conn.Close()
		if err := <-applied; err != nil {
			t.Fatal(err)
		}
	}
	inForce(applying("5m"))
	defer func() { d.stop(); d.parts.close() }()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go d.server.Serve(ln, &proxy.Listener{Name: "smtp", NoTLS: true})
	defer d.server.Shutdown(context.Background())
	old := d.parts.checks["greylist"].Check

	conn, applied := applying("6m")
	stranger, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	s := &sender{stranger, bufio.NewReader(stranger)}
	s.reply()
	if err := s.say('2', "EHLO client.example", "MAIL FROM:<a@client.example>"); err != nil {
		t.Error(err)
	}
	if err := s.say('4', "RCPT TO:<amy@example.com>"); err != nil {
		t.Error(err)
	}
	inForce(conn, applied)
	if f := old.Run(t.Context(), policy.View{}); f.Outcome != policy.TempError {
		t.Errorf("the old greylist is open still: %+v", f)
	}
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
