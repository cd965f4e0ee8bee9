package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"gatepost/checks"
	"gatepost/config"
	"gatepost/greylist"
	"gatepost/policy"
	"gatepost/resolver"
)

// TestWhereCheck: a refusal names the line that set the check up, never that of another one.
func TestWhereCheck(t *testing.T) {
	const head = "hostname = \"mx.example.com\"\n[backend.main]\naddress = [\"127.0.0.1:10026\"]\ndomains = [\"example.com\"]\n"
	tests := []struct{ name, text, want string }{
		{"its own table", "[policy]\nchecks = [\"pregreet\", \"spf\"]\n[check.pregreet]\n[check.spf]\n", "t.toml:8"},
		{"no table: its name in the list", "[policy]\nchecks = [\"pregreet\",\n  \"spf\"]\n[check.pregreet]\n", "t.toml:7"},
		{"neither", "[check.pregreet]\n", ""},
	}
	for _, tt := range tests {
		c, err := config.Parse("t.toml", []byte(head+tt.text), checks.Kinds())
		if err != nil {
			t.Fatal(err)
		}
		if got := whereCheck(c, "spf"); got != tt.want {
			t.Errorf("%s: %q, want %q\n%s", tt.name, got, tt.want, strings.ReplaceAll(head+tt.text, "\n", "\n  "))
		}
	}
}

// TestAClientsShareOfTheDNS: the checks of one client's sessions cannot take all queries, where the servers are silent (hazard 56).
func TestAClientsShareOfTheDNS(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	p := newParts(slog.New(slog.DiscardHandler))
	defer p.close()
	s, err := p.build(parseLines(t, fmt.Sprintf("[dns]\nservers = [%q]\n", silent.LocalAddr())), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.Policy.ForClient(t.Context(), netip.MustParseAddr("203.0.113.9")))
	defer cancel()
	const sessions = 200 // more than a quarter of the 512 queries, fewer than all
	failed := make(chan error, sessions)
	for i := range sessions {
		go func() {
			_, err := p.resolver.TXT(ctx, fmt.Sprintf("%d.slow.example", i))
			failed <- err
		}()
	}
	if err := <-failed; !errors.Is(err, resolver.ErrBusy) {
		t.Errorf("the first to fail had %v", err)
	}
}

// TestKeptOverReload: a resolver is kept while its servers stay the same, however they are written, and a check that asks it is as long as the
// resolver; another DNS leaves the other checks and what they remember alone.
func TestKeptOverReload(t *testing.T) {
	const lines = "[policy]\nchecks = [\"ratelimit\", \"spf\", \"greylist\", \"size\", \"headers\"]\n[check.greylist]\nstore = \"memory\"\n"
	p := newParts(slog.New(slog.DiscardHandler))
	defer p.close()
	build := func(server string) {
		t.Helper()
		if _, err := p.build(parseLines(t, "[dns]\nservers = [\""+server+"\"]\n"+lines), nil); err != nil {
			t.Fatal(err)
		}
		p.release()
	}
	build("127.0.0.1")
	asked, all := p.resolver, p.checks
	build("127.0.0.1:53")
	if p.resolver != asked || p.checks["spf"] != all["spf"] {
		t.Error("the same server made another resolver or check")
	}
	build("127.0.0.2")
	if p.resolver == asked || p.checks["spf"].Check == all["spf"].Check {
		t.Error("the old server is asked still")
	}
	for _, name := range []string{"ratelimit", "greylist", "size", "headers"} {
		if p.checks[name].Check != all[name].Check {
			t.Errorf("%s was set up anew, though it asks no DNS", name)
		}
	}
}

// TestGreylistInAFileReplaced: the greylist of a file serves until release, beside the one that takes its place, and what it held is in the file.
func TestGreylistInAFileReplaced(t *testing.T) {
	var log bytes.Buffer
	p := newParts(slog.New(slog.NewTextHandler(&log, nil)))
	dir := t.TempDir()
	build := func(delay string) *config.Config {
		t.Helper()
		c := parseLines(t, fmt.Sprintf("[dns]\nservers = [\"127.0.0.1:9\"]\n[journal]\ndir = %q\n[policy]\nchecks = [\"greylist\"]\n"+
			"[check.greylist]\nstore = \"sqlite\"\nonly_if = []\ndelay = %q\n", dir, delay))
		if _, err := p.build(c, nil); err != nil {
			t.Fatal(err)
		}
		return c
	}
	build("5m")
	old := p.checks["greylist"].Check
	c := build("6m")
	v := policy.View{Client: netip.MustParseAddr("203.0.113.9"), Recipient: policy.Mailbox{Local: "amy", Domain: "example.com"}}
	if f := old.Run(t.Context(), v); f.Outcome != greylist.FirstSeen {
		t.Errorf("before release: %+v", f)
	}
	p.release()
	p.close()
	book, err := greylist.OpenBook(c.Checks[0].Settings.(*greylist.Settings), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	n := 0
	book.Each(t.Context(), func(greylist.Record) bool { n++; return true })
	if n == 0 || log.Len() > 0 {
		t.Errorf("%d entries; the log: %s", n, &log)
	}
}
