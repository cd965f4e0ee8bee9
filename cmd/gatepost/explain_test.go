package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatepost/checks"
	"gatepost/config"
	"gatepost/greylist"
	"gatepost/internal/dnstest"
	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy"
)

// explainZone lists 203.0.113.9, whose domain SPF proves.
const explainZone = `
$ORIGIN bl.example.
@            60 IN SOA ns hostmaster 1 3600 600 86400 60
2.0.0.127       IN A   127.0.0.2
9.113.0.203     IN A   127.0.0.4
$ORIGIN shop.example.
@            60 IN SOA ns hostmaster 1 3600 600 86400 60
@               IN TXT "v=spf1 ip4:203.0.113.9 -all"
`

// explainConfig is a config for a DNS and a backend.
func explainConfig(t *testing.T, toml, backend, journal string) *config.Config {
	t.Helper()
	dns := dnstest.Start(t, explainZone)
	text := fmt.Sprintf("hostname = \"mx.example.com\"\n[backend.main]\naddress = [%q]\ndomains = [\"example.com\"]\n[dns]\nservers = [%q]\n[journal]\ndir = %q\n%s",
		backend, dns.Addr(), journal, toml)
	c, err := config.Parse("g.toml", []byte(text), checks.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// explainMail plays one mail and gives what is told of its only recipient.
func explainMail(t *testing.T, c *config.Config, ask bool) explained {
	t.Helper()
	h, err := newRehearsal(c, ask)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	records, err := h.play(t.Context(), call{client: netip.MustParseAddr("203.0.113.9"), helo: "mail.shop.example", from: "a@shop.example",
		rcpts: []string{"amy@example.com"}, message: []byte("From: a@shop.example\r\n\r\n.dot\r\n")})
	if err != nil {
		t.Fatal(err)
	}
	x := explainer{rehearsal: h}
	all := x.explain(records[0])
	if len(all) != 1 {
		t.Fatalf("%d recipients in %+v", len(all), records)
	}
	return all[0]
}

// TestWaysInWork puts each change that explain proposes into the config, and explains again: the mail must get in.
func TestWaysInWork(t *testing.T) {
	const plain = "[policy]\nchecks = [\"dnsbl\", \"spf\"]\n"
	const zone = "[check.dnsbl.zone.\"bl.example\"]\n"
	got := explainMail(t, explainConfig(t, plain+zone, "127.0.0.1:9", ""), false)
	want := []string{"the listing goes", "check.dnsbl.threshold = 6", `check.dnsbl.on.listed = "tag"`, `check.dnsbl.mode = "monitor"`,
		`a rule allows sender shop.example with proof = "spf"`}
	if got.Verdict != "rejected" || got.By != "dnsbl" || !slices.Equal(got.AcceptedIf, want) {
		t.Fatalf("%s by %s, accepted if %q", got.Verdict, got.By, got.AcceptedIf)
	}
	changes := []string{got.Rules[0] + zone}
	for _, way := range want[1:4] {
		changes = append(changes, "[check.dnsbl]\n"+strings.TrimPrefix(way, "check.dnsbl.")+"\n"+zone)
	}
	for _, change := range changes {
		got := explainMail(t, explainConfig(t, plain+change, "127.0.0.1:9", ""), false)
		if got.Verdict != "accepted" && got.Verdict != "tagged" {
			t.Errorf("with\n%s it is %s: %s", change, got.Verdict, got.Why)
		}
	}
}

// TestExplainDeliversNothing asks a real backend: it hears MAIL, RCPT and RSET, and never DATA.
func TestExplainDeliversNothing(t *testing.T) {
	sink := &mailsink.Server{Users: map[string]bool{"amy@example.com": true}, Extensions: mailsink.DefaultExtensions()}
	addr, stop, err := mailsink.Listen(sink)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	c := explainConfig(t, "[policy]\nchecks = [\"spf\"]\n", addr, "")
	c.Backends[0].ClientIP = "xclient"
	if got := explainMail(t, c, true); got.Verdict != "accepted" {
		t.Errorf("%s: %s", got.Verdict, got.Why)
	}
	log := strings.Join(sink.Log(), "\n")
	for _, word := range []string{"ADDR=203.0.113.9", "MAIL FROM:<a@shop.example>", "RCPT TO:<amy@example.com>", "RSET"} {
		if !strings.Contains(log, word) {
			t.Errorf("it never heard %s", word)
		}
	}
	if strings.Contains(log, "DATA") || strings.Contains(log, "BDAT") || len(sink.Messages()) > 0 {
		t.Errorf("it was given content:\n%s", log)
	}
	c = explainConfig(t, "[policy]\nchecks = [\"spf\"]\n", addr, "")
	sink.Users["amy@example.com"] = false
	delete(sink.Users, "amy@example.com")
	if got := explainMail(t, c, true); got.Verdict != "rejected" || got.By != "backend" || !strings.HasPrefix(got.Reply, "550 5.1.1") {
		t.Errorf("%s by %s: %s", got.Verdict, got.By, got.Reply)
	}
	if got := explainMail(t, c, false); got.Verdict != "accepted" {
		t.Errorf("without being asked it said no: %s", got.Why)
	}
	for _, decides := range []string{"[policy]\nchecks = [\"greylist\"]\n[check.greylist]\nonly_if = []\n", // the backend is asked all the same
		"[rule.no]\naction = \"deny\"\nclient = [\"203.0.113.9\"]\nrecipient = [\"example.com\"]\n"} {
		c = explainConfig(t, decides, addr, "")
		if got := explainMail(t, c, true); got.By == "backend" || !strings.HasPrefix(got.Backend, "550 5.1.1") {
			t.Errorf("%s by %s, and the mail server says %q", got.Verdict, got.By, got.Backend)
		}
		if got := explainMail(t, c, false); got.Backend != "" {
			t.Errorf("without being asked the mail server says %q", got.Backend)
		}
	}
	if n := len(sink.Messages()); n > 0 {
		t.Errorf("%d mails were sent", n)
	}
}

// TestExplainTouchesNoState explains a stranger twice: each time the greylist sees it for the first time, and its file stays as it was.
// What the real greylist knows counts.
func TestExplainTouchesNoState(t *testing.T) {
	dir := t.TempDir()
	c := explainConfig(t, "[policy]\nchecks = [\"greylist\"]\n[check.greylist]\nonly_if = []\n", "127.0.0.1:9", dir)
	settings := c.Checks[0].Settings.(*greylist.Settings)
	for range 2 {
		if got := explainMail(t, c, false); got.Verdict != "deferred" || got.Steps[0].Outcome != "new" {
			t.Fatalf("%s: %+v", got.Verdict, got.Steps)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) > 0 {
		t.Errorf("a store was made: %v", files)
	}
	book, err := greylist.OpenBook(settings, dir, true)
	if err != nil {
		t.Fatal(err)
	}
	client := settings.Network(netip.MustParseAddr("203.0.113.9"))
	if err := book.Put(t.Context(), []greylist.Record{greylist.AllowedClient(client, time.Now())}); err != nil {
		t.Fatal(err)
	}
	book.Close()
	before, err := os.ReadFile(filepath.Join(dir, "greylist.db"))
	if err != nil {
		t.Fatal(err)
	}
	if got := explainMail(t, c, false); got.Verdict != "accepted" || got.Steps[0].Outcome != "known" {
		t.Errorf("%s: %+v", got.Verdict, got.Steps)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, "greylist.db")); !bytes.Equal(before, after) {
		t.Error("the store was changed")
	}
}

// TestOverridesOfARunningDaemon has a daemon refuse a client, allows it for a time, and ends that again.
func TestOverridesOfARunningDaemon(t *testing.T) {
	dir := t.TempDir()
	c := explainConfig(t, "[policy]\nchecks = [\"dnsbl\"]\n[check.dnsbl.zone.\"bl.example\"]\n", "127.0.0.1:9", dir)
	p, err := judging(c)
	if err != nil {
		t.Fatal(err)
	}
	settings := proxy.Settings{Policy: p}
	var o overrides
	log := slog.New(slog.DiscardHandler)
	listed := policy.Case{Time: time.Now(), Client: netip.MustParseAddr("203.0.113.9"), Findings: []policy.Finding{{Check: "dnsbl", Outcome: "listed"}}}
	if done := o.use(c, &settings, log).Policy.Judge(listed).Done; done != policy.Reject {
		t.Fatalf("without a temporary rule: %v", done)
	}
	rule := policy.Rule{Name: "allow-x", Allow: true, Client: []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32")}, Skip: []string{"dnsbl"}, Expires: time.Now().Add(time.Hour)}
	text, _ := ruleTOML(rule, "for X, by amy@mx")
	file := filepath.Join(dir, overrideFile)
	if err := changeOverrides(file, rule.Name, text, time.Now()); err != nil {
		t.Fatal(err)
	}
	if !o.look(log) {
		t.Fatal("the new file is not seen")
	}
	d := o.settings().Policy.Judge(listed)
	if d.Done != policy.None || d.Rule != "allow-x" || !strings.HasPrefix(d.Steps[0].Where, overrideFile+":") {
		t.Errorf("with it: %v by rule %q at %s", d.Done, d.Rule, d.Steps[0].Where)
	}
	later := listed
	later.Time = time.Now().Add(2 * time.Hour)
	if done := o.settings().Policy.Judge(later).Done; done != policy.Reject {
		t.Errorf("after its end: %v", done)
	}
	if err := os.WriteFile(file, []byte("broken = "), 0o600); err != nil {
		t.Fatal(err)
	}
	if o.look(log) || o.settings().Policy.Judge(listed).Done != policy.None {
		t.Error("a broken file changed something")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if !o.look(log) || o.settings().Policy.Judge(listed).Done != policy.Reject {
		t.Error("without the file the rule still holds")
	}
}

// TestTemporaryRulesEverywhere: explain, and what judges records again, go by the very rules that a daemon takes up.
func TestTemporaryRulesEverywhere(t *testing.T) {
	const listing = "[policy]\nchecks = [\"dnsbl\"]\n[check.dnsbl.zone.\"bl.example\"]\n"
	listed := policy.Case{Time: time.Now(), Client: netip.MustParseAddr("203.0.113.9"), Findings: []policy.Finding{{Check: "dnsbl", Outcome: "listed"}}}
	for _, tt := range []struct{ name, config, rule, verdict, by, held string }{
		{"none", listing, "", "rejected", "dnsbl", ""},
		{"allow", listing, "[rule.x]\naction = \"allow\"\nclient = [\"203.0.113.9/32\"]\n", "accepted", "", "x"},
		{"deny", "[policy]\nchecks = []\n", "[rule.x]\naction = \"deny\"\nclient = [\"203.0.113.9/32\"]\n", "rejected", "rule.x", ""},
		{"ended", listing, "[rule.x]\naction = \"allow\"\nclient = [\"203.0.113.9/32\"]\nexpires = 2020-01-01\n", "rejected", "dnsbl", ""},
		{"before the config's", listing + "[rule.own]\naction = \"deny\"\nclient = [\"203.0.113.9/32\"]\n",
			"[rule.x]\naction = \"allow\"\nclient = [\"203.0.113.9/32\"]\nskip = [\"dnsbl\"]\n", "accepted", "", "x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, overrideFile), []byte(tt.rule), 0o600); err != nil {
				t.Fatal(err)
			}
			c := explainConfig(t, tt.config, "127.0.0.1:9", dir)
			if got := explainMail(t, c, false); got.Verdict != tt.verdict || got.By != tt.by || got.Rule != tt.held {
				t.Errorf("%s by %q, rule %q", got.Verdict, got.By, got.Rule)
			}
			p, err := judging(c)
			if err != nil {
				t.Fatal(err)
			}
			alone, err := written(c)
			if err != nil {
				t.Fatal(err)
			}
			var o overrides
			live := o.use(c, &proxy.Settings{Policy: alone}, slog.New(slog.DiscardHandler)).Policy
			if d, want := p.Judge(listed), live.Judge(listed); d.Done != want.Done || d.By != want.By || d.Rule != want.Rule || p.Hash != live.Hash {
				t.Errorf("judged %v by %q, rule %q, policy %s; live %v by %q, rule %q, policy %s", d.Done, d.By, d.Rule, p.Hash, want.Done, want.By, want.Rule, live.Hash)
			}
		})
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, overrideFile), []byte("broken = "), 0o600); err != nil {
		t.Fatal(err)
	}
	c := explainConfig(t, listing, "127.0.0.1:9", dir)
	if _, err := judging(c); err == nil || !strings.HasPrefix(err.Error(), "the temporary rules: overrides.toml:1:") {
		t.Errorf("a broken file: %v", err)
	}
	if _, err := newRehearsal(c, false); err == nil {
		t.Error("a broken file is not told of")
	}
}

// TestInteractiveEnds falls silent in the middle of the content: the session ends, and nothing is left.
func TestInteractiveEnds(t *testing.T) {
	c := explainConfig(t, "[policy]\nchecks = [\"spf\"]\n", "127.0.0.1:9", "")
	h, err := newRehearsal(c, false)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	var out, talk bytes.Buffer
	in := strings.NewReader("EHLO mail.shop.example\nMAIL FROM:<a@shop.example>\nRCPT TO:<amy@example.com>\nDATA\nSubject: half")
	if err := h.interact(t.Context(), netip.MustParseAddr("203.0.113.9"), in, &out, &talk); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "354 ") || !strings.Contains(talk.String(), "amy@example.com: ") {
		t.Errorf("stdout:\n%s\nstderr:\n%s", &out, &talk)
	}
}
