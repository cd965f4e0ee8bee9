package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatepost/checks"
	"gatepost/config"
	"gatepost/internal/mailsink"
)

// knows is a mail server that has these users of example.com and a postmaster.
func knows(users ...string) *mailsink.Server {
	s := &mailsink.Server{Extensions: mailsink.DefaultExtensions(), Users: map[string]bool{}, MaxSize: 60e6}
	for _, u := range append(users, "postmaster") {
		s.Users[u+"@example.com"] = true
	}
	return s
}

// answers makes a server give one reply to each RCPT that holds a word.
func answers(s *mailsink.Server, word, reply string) *mailsink.Server {
	s.Fault = func(e mailsink.Event) mailsink.Action {
		if e.Stage == mailsink.StageRcpt && strings.Contains(e.Line, word) {
			return mailsink.Action{Reply: reply}
		}
		return mailsink.Action{}
	}
	return s
}

// TestCheckBackend looks at servers that are right and wrong. want is all that is not ok, in order, by a piece of each line;
// a piece that begins with "ok" must be among what is.
func TestCheckBackend(t *testing.T) {
	plain := func() *mailsink.Server { s := knows(); s.Extensions = []string{"PIPELINING"}; return s }
	everybody := func() *mailsink.Server { s := knows(); s.Users = nil; return s }
	for _, c := range []struct {
		name     string
		sink     *mailsink.Server
		clientIP string
		want     []string
	}{
		{"all is right", knows(), "xclient", []string{
			"ok   backend.main: it takes the sender's address by xclient", "ok   backend.main: it takes mail for example.com",
			"ok   backend.main: it refuses unknown users of example.com", "ok   backend.main: it refuses to relay (relay-test@example.org)"}},
		{"PROXY protocol", func() *mailsink.Server { s := knows(); s.ProxyV2 = true; return s }(), "proxy-v2", []string{
			"ok   backend.main: it takes the sender's address by proxy-v2"}},
		{"PROXY protocol that it does not expect", knows(), "proxy-v2", []string{"FAIL backend.main: 127.0.0.1"}},
		{"few extensions", plain(), "none", []string{"ok   backend.main: 127.0.0.1", "PIPELINING; senders are not offered 8BITMIME SMTPUTF8 DSN BINARYMIME"}},
		{"XCLIENT is not used", knows(), "none", []string{"warn backend.main: it would take the sender's address by XCLIENT"}},
		{"XCLIENT is not offered", plain(), "xclient", []string{"FAIL backend.main: it cannot be told of the sender by xclient"}},
		{"takes all from a trusted proxy", everybody(), "none", []string{"warn backend.main: it would take the sender's address by XCLIENT",
			"warn backend.main: it takes any user of example.com", "FAIL backend.main: it relays for this machine"}},
		{"open relay", everybody(), "xclient", []string{"warn backend.main: it takes any user of example.com",
			"FAIL backend.main: it relays for a stranger at 192.0.2.1"}},
		{"does not know the domain", answers(knows(), "@example.com", "554 5.7.1 Relay access denied"), "xclient", []string{
			"FAIL backend.main: it does not take mail for example.com"}},
		{"no postmaster", answers(knows(), "<postmaster", "550 5.1.1 Who?"), "xclient", []string{"warn backend.main: it refuses postmaster@example.com"}},
		{"puts off", answers(knows(), "@", "450 4.2.0 Greylisted"), "xclient", []string{"warn backend.main: it puts off mail to postmaster@example.com",
			"warn backend.main: it refuses relay-test@example.org, but perhaps not for relaying"}},
		{"puts off unknown users", answers(knows(), "<no-such", "450 4.1.1 Who?"), "xclient", []string{"warn backend.main: it only puts off unknown users"}},
		{"refuses MAIL", func() *mailsink.Server {
			s := knows()
			s.Fault = func(e mailsink.Event) mailsink.Action {
				if e.Stage == mailsink.StageMail {
					return mailsink.Action{Reply: "550 5.7.1 No bounces here"}
				}
				return mailsink.Action{}
			}
			return s
		}(), "xclient", []string{"FAIL backend.main: it does not take mail for example.com: 550 5.7.1 No bounces here"}},
		{"small messages only", func() *mailsink.Server { s := knows(); s.MaxSize = 1e6; return s }(), "xclient", []string{
			"warn backend.main: it takes messages of 1000000 octets, fewer than"}},
		{"escapes in its words", answers(knows(), "@example.com", "554 5.7.1 \x1b]0;x\a"), "xclient", []string{"FAIL backend.main: it does not take mail"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr, stop, err := mailsink.Listen(c.sink)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			compare(t, lookAt(t, addr, c.clientIP), c.want)
			if n := c.sink.Committed(); n > 0 {
				t.Errorf("%d mails were sent", n)
			}
		})
	}
}

// lookAt is the report on the backend at an address.
func lookAt(t *testing.T, addr, clientIP string) string {
	t.Helper()
	text := fmt.Sprintf("hostname = \"mx.example.com\"\n[backend.main]\naddress = [%q]\ndomains = [\".example.com\"]\nclient_ip = %q\n", addr, clientIP)
	c, err := config.Parse("gatepost.toml", []byte(text), checks.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p := &prober{report: &report{out: &out}, config: c, backend: c.Backends[0], name: "backend.main", nobody: "no-such-user-x"}
	p.run(t.Context())
	return out.String()
}

func compare(t *testing.T, got string, want []string) {
	t.Helper()
	if strings.ContainsAny(got, "\x1b\a") {
		t.Errorf("a control byte: %q", got)
	}
	var wrong []string
	for l := range strings.Lines(got) {
		if strings.HasPrefix(l, levelWarn) || strings.HasPrefix(l, levelFail) {
			wrong = append(wrong, l)
		}
	}
	for _, w := range want {
		if !strings.HasPrefix(w, levelWarn) && !strings.HasPrefix(w, levelFail) {
			if !strings.Contains(got, w) {
				t.Errorf("not told: %q", w)
			}
			continue
		}
		if len(wrong) == 0 || !strings.HasPrefix(wrong[0], w) {
			t.Fatalf("want %q next, in\n%s", w, got)
		}
		wrong = wrong[1:]
	}
	if len(wrong) > 0 {
		t.Errorf("unexpected: %q, in\n%s", wrong, got)
	}
}

func TestCheckUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	compare(t, lookAt(t, addr, "none"), []string{"FAIL backend.main: " + addr + " does not answer as a mail server"})
}

func TestCheckLeaf(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for _, c := range []struct {
		name       string
		from, till time.Duration
		host       string
		want       []string
	}{
		{"good", -day, 60 * day, "mx.example.com", nil},
		{"not yet", day, 60 * day, "mx.example.com", []string{"FAIL tls: the certificate is not valid before 2026-11-21"}},
		{"expired", -9 * day, -day, "mx.example.com", []string{"FAIL tls: the certificate expired on 2026-11-19"}},
		{"soon", -60 * day, 5 * day, "mx.example.com", []string{"warn tls: the certificate expires on 2026-11-25, in 5 days"}},
		{"of another name", -day, 60 * day, "www.example.com", []string{"warn tls: the certificate does not cover the hostname"}},
	} {
		var out bytes.Buffer
		leaf := &x509.Certificate{DNSNames: []string{c.host}, NotBefore: now.Add(c.from), NotAfter: now.Add(c.till)}
		checkLeaf(&report{out: &out}, leaf, "mx.example.com", now)
		t.Run(c.name, func(t *testing.T) { compare(t, out.String(), c.want) })
	}
}

func TestCheckPort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, c := range []struct{ address, want string }{
		{ln.Addr().String(), "warn a: " + ln.Addr().String() + " is in use"},
		{"127.0.0.1:0", "ok   a: 127.0.0.1:0 is free"},
		{"192.0.2.1:25", "FAIL a: 192.0.2.1:25 cannot be opened"},
		{"systemd:smtp", "ok   a: systemd:smtp comes from systemd"},
	} {
		var out bytes.Buffer
		checkPort(&report{out: &out}, "a", c.address)
		if !strings.HasPrefix(out.String(), c.want) {
			t.Errorf("%s: %q", c.address, out.String())
		}
	}
}

// TestCheckJournal looks for a journal that is there, one that is not, and one that cannot be; none is made or changed.
func TestCheckJournal(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, want string }{
		{there, "ok   journal.file: "},
		{filepath.Join(dir, "new"), "ok   journal.file: "},
		{filepath.Join(dir, "none", "new"), "FAIL journal.file: "},
		{dir, "FAIL journal.file: "},
	} {
		var out bytes.Buffer
		checkJournal(&report{out: &out}, c.file)
		if !strings.HasPrefix(out.String(), c.want) {
			t.Errorf("%s: %q", c.file, out.String())
		}
	}
	text, _ := os.ReadFile(there)
	if files, _ := os.ReadDir(dir); len(files) != 1 || string(text) != "x\n" {
		t.Errorf("changed: %v, %q", files, text)
	}
}

func TestCheckJSON(t *testing.T) {
	var out bytes.Buffer
	file := filepath.Join(t.TempDir(), "gatepost.toml")
	if err := os.WriteFile(file, []byte("hostname = \"mx.example.com\"\n[backend.a]\naddress=[\"127.0.0.1:1\"]\ndomains=[\"example.com\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := check(context.Background(), &report{out: &out, json: true}, file, true); err != nil {
		t.Errorf("error %v", err)
	}
	for l := range strings.Lines(out.String()) {
		var n notice
		if err := json.Unmarshal([]byte(l), &n); err != nil || n.Level == "" || n.About == "" || n.Text == "" {
			t.Errorf("%q: %v", l, err)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 4 {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}

// TestCheckGreylist: the directory of the greylist is there, can be made, or cannot.
func TestCheckGreylist(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for place, want := range map[string]string{
		dir: "ok   check.greylist: the greylist can be written to ", dir + "/not/yet": "ok   check.greylist: the greylist can be written to ",
		dir + "/file": "warn check.greylist: the greylist cannot be written to ", dir + "/file/below": "warn check.greylist: the greylist cannot be written to ",
	} {
		var out bytes.Buffer
		r := &report{out: &out}
		checkGreylist(r, place)
		if !strings.HasPrefix(out.String(), want+place) || r.failed > 0 {
			t.Errorf("%s: %s", place, out.String())
		}
	}
	if _, err := os.Stat(dir + "/not"); err == nil {
		t.Error("a directory was made")
	}
}
