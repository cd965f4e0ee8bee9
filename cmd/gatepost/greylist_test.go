package main

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
	"time"

	"gatepost/checks"
	"gatepost/config"
	"gatepost/greylist"
)

// TestGreylistExample loads the settings as the manual page of the check has them: they are the defaults.
func TestGreylistExample(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "../../greylist/greylist.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	example := "hostname = \"mx.example.com\"\n[backend.main]\naddress = [\"127.0.0.1:10026\"]\ndomains = [\"example.com\"]\n[policy]\nchecks = [\"greylist\"]\n"
	for line := range strings.Lines(f.Doc.Text()) {
		if strings.HasPrefix(line, "\t") {
			example += line
		}
	}
	file := t.TempDir() + "/gatepost.toml"
	if err := os.WriteFile(file, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file, checks.Kinds())
	if err != nil {
		t.Fatalf("%v\n%s", err, example)
	}
	got, want := *c.Checks[0].Settings.(*greylist.Settings), *greylist.Defaults()
	got.Skip = want.Skip // empty lists are as good as none
	if g, w := line(got), line(want); g != w {
		t.Errorf("the example says\n%s\nand the defaults are\n%s", g, w)
	}
}

func line(s greylist.Settings) string {
	var b bytes.Buffer
	writeJSON(&b, s)
	return b.String()
}

// memoryLedger is a ledger with nothing behind it.
func memoryLedger(*testing.T) *ledger { return &ledger{settings: greylist.Defaults()} }

// TestGreylistWords: entries as they are told, none of it wider than a terminal.
func TestGreylistWords(t *testing.T) {
	first := time.Date(2026, 11, 21, 10, 2, 11, 0, time.UTC).UnixMilli()
	label := greylist.Label{Client: "192.0.2.0/24", Sender: "a\x1b@" + strings.Repeat("s", 60) + ".example", Recipient: "b@r.example"}
	for _, c := range []struct {
		e    greylist.Entry
		want string
	}{
		{greylist.Entry{First: first, Last: first}, "waiting  It was first seen at 2026-11-21 10:02:11 and has to come back: after 2026-11-21 10:07:11, and by 2026-11-23 10:02:11."},
		{greylist.Entry{First: first, Last: first, Passed: 2}, "passed   It came back and passes: 2 time(s), the last at 2026-11-21 10:02:11. It is remembered until 2026-12-27 10:02:11."},
		{greylist.Entry{First: first, Last: first, Passed: 2, Flags: greylist.IsClient}, "seen     It brought mail 2 time(s)"},
		{greylist.Entry{First: first, Last: first, Passed: 3, Flags: greylist.IsClient | greylist.IsKnown}, "known    Every recipient is open to it: it brought mail 3 time(s)"},
		{greylist.Entry{First: first, Last: first, Flags: greylist.IsClient | greylist.IsKnown | greylist.Allowed}, "allowed  Every recipient is open to it, by an admin's word, until it is deleted."},
	} {
		l := memoryLedger(t)
		text := l.sentence(greylist.Record{Entry: c.e, Label: label})
		if flat := strings.Join(strings.Fields(text), " "); !strings.Contains(flat, strings.Join(strings.Fields(c.want), " ")) {
			t.Errorf("%s\nwant %s", text, c.want)
		}
		var b bytes.Buffer
		writeList(&b, []greylist.Record{{Entry: c.e, Label: label}}, 0, true)
		for _, row := range append(strings.Split(b.String(), "\n"), strings.Split(text, "\n")[1:]...) {
			if len(row) > columns || strings.Contains(row, "\x1b") {
				t.Errorf("%d columns: %q", len(row), row)
			}
		}
	}
}

// TestGreylistAllow: what an admin's word means.
func TestGreylistAllow(t *testing.T) {
	l := memoryLedger(t)
	for word, want := range map[string]string{
		"192.0.2.9": "192.0.2.0/24", "192.0.2.0/24": "192.0.2.0/24", "2001:db8::1": "2001:db8::/64", "Shop.Example.": "shop.example", "münchen.example": "xn--mnchen-3ya.example",
		"192.0.0.0/16": "", "example": "", "amy@shop.example": "", "": "", "a b.example": "",
	} {
		id, err := l.identity(word)
		if err == nil && id.Name != want || err != nil && want != "" {
			t.Errorf("%q is %q (%v), want %q", word, id.Name, err, want)
		}
	}
}

// TestGreylistLearnTogether: the logs of a call count together. A network that brought two mails in each is known.
func TestGreylistLearnTogether(t *testing.T) {
	t.Chdir(t.TempDir())
	text := "hostname = \"mx.example.com\"\n[backend.main]\naddress = [\"127.0.0.1:9\"]\ndomains = [\"example.com\"]\n[journal]\ndir = \".\"\n"
	if err := os.WriteFile("gatepost.toml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"mail.log", "mail.log.1"} {
		log := ""
		for n := range 2 {
			at := time.Now().Add(-time.Duration(24*i+n+1) * time.Hour).UTC().Format(time.RFC3339)
			log += fmt.Sprintf("%[1]s mx postfix/smtpd[1]: 4C3F1A2%[2]d: client=x[192.0.2.1]\n%[1]s mx postfix/qmgr[1]: 4C3F1A2%[2]d: from=<>, size=1\n"+
				"%[1]s mx postfix/lmtp[1]: 4C3F1A2%[2]d: to=<amy@example.com>, relay=x, status=sent (ok)\n", at, n)
		}
		if err := os.WriteFile(name, []byte(log), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	cmd := greylistCommand()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"learn", "--config", "gatepost.toml", "mail.log", "mail.log.1"})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	want := "mail.log (Postfix): lines 6, deliveries 2\nmail.log.1 (Postfix): lines 6, deliveries 2\nclients known 1, others seen 0, triplets passed 0\n"
	if out.String() != want {
		t.Errorf("%s\nwant %s", out.String(), want)
	}
	b, err := greylist.OpenBook(greylist.Defaults(), ".", false)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	n := 0
	b.Each(t.Context(), func(r greylist.Record) bool { n += int(r.Entry.Passed); return true })
	if n != 4 {
		t.Errorf("%d mails are kept, want 4", n)
	}
}

func TestGreylistBar(t *testing.T) {
	b := &bar{name: "mail.log", size: 1000}
	b.read.Store(500)
	if got, want := b.line(), "mail.log                       [###############...............]  50 %"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	b.read.Store(5000) // a log that grew
	if got := b.line(); !strings.HasSuffix(got, "100 %") || len(got) >= columns {
		t.Errorf("%q", got)
	}
	b.size = 0
	if got := b.line(); !strings.HasSuffix(got, " 0 MB") {
		t.Errorf("%q", got)
	}
}
