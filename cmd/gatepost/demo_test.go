package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatepost/internal/mailsink"
	"gatepost/policy"
)

// TestDemo runs the demo once: each sample ends as it should, nothing is left behind.
func TestDemo(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreTopFunction("gatepost/internal/workers.(*Pool).work")) })
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	if err := runDemo(t.Context(), &out, samples(), true); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for l := range strings.Lines(out.String()) {
		if n := len([]rune(strings.TrimSuffix(l, "\n"))); n > columns {
			t.Errorf("%d columns: %s", n, l)
		}
	}
	if i := strings.IndexAny(out.String(), "\x1b\r\x00"); i >= 0 {
		t.Errorf("a control byte at %d", i)
	}
}

// TestDemoSeesSurprise makes sure that a sample which ends otherwise is told, and fails the demo.
func TestDemoSeesSurprise(t *testing.T) {
	all := samples()[:2]
	all[0].verdict = "rejected"
	var out bytes.Buffer
	err := runDemo(t.Context(), &out, all, true)
	if err == nil || err.Error() != "demo: 1 of 2 samples did not end as they should" {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(out.String(), "expected: rejected, stored 1") {
		t.Errorf("not told:\n%s", out.String())
	}
}

// TestDemoStored makes sure that what the mail server got counts, not the verdict alone.
func TestDemoStored(t *testing.T) {
	one := samples()[:1]
	one[0].stored = 2
	if err := runDemo(t.Context(), io.Discard, one, true); err == nil {
		t.Error("one mail passed for two")
	}
}

// TestSmuggleIsReal sends the smuggling sample past the proxy: the careless server then has two mails.
func TestSmuggleIsReal(t *testing.T) {
	committed := make(chan mailsink.Message, 4)
	sink := &mailsink.Server{Lenient: true, OnMessage: func(m mailsink.Message) { committed <- m }}
	addr, stop, err := mailsink.Listen(sink)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go io.Copy(io.Discard, conn)
	fmt.Fprint(conn, "EHLO x\r\nMAIL FROM:<a@shop.example>\r\nRCPT TO:<amy@example.com>\r\nDATA\r\n"+smuggled()+".\r\nQUIT\r\n")
	for _, want := range []string{"a@shop.example", "boss@example.com"} {
		select {
		case m := <-committed:
			if m.From != want {
				t.Errorf("mail from %s, want %s", m.From, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("no mail from %s", want)
		}
	}
}

// onWord calls seen when what is written to it holds a word.
type onWord struct {
	bytes.Buffer
	word string
	seen func(text string)
}

func (w *onWord) Write(b []byte) (int, error) {
	if strings.Contains(string(b), w.word) {
		w.seen(string(b))
	}
	return w.Buffer.Write(b)
}

// TestDemoByHand sends a mail by hand, sees it told in one line, looks its ref up as the demo says, and ends the demo as Ctrl-C does.
func TestDemoByHand(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &onWord{word: "Now send to it by hand"}
	address := regexp.MustCompile(`--server (\S+)`)
	look := regexp.MustCompile(`(?m)^  \S+ (log show --config \S+) REF$`)
	out.seen = func(text string) {
		words := strings.Fields(look.FindStringSubmatch(text)[1])
		out.word = "a@shop.example"
		out.seen = func(line string) {
			defer cancel()
			until(t, "the mail can be looked up", func() bool { return shows(words, line) })
		}
		go send(address.FindStringSubmatch(text)[1])
	}
	if err := runDemo(ctx, out, nil, false); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d rejected 127\.0\.0\.1 <a@shop\.example> > <nobody\\u202e@example\.com>: ` +
		`.*User unknown \[[0-9A-Z]{10}\]$`)
	if !line.MatchString(out.String()) {
		t.Errorf("the mail was not told:\n%s", out.String())
	}
}

// shows runs a command for the ref at the end of a line, and says whether it tells of that mail.
func shows(words []string, line string) bool {
	_, ref, _ := strings.Cut(strings.TrimSpace(line), " [")
	var said bytes.Buffer
	cmd := rootCommand()
	cmd.SetOut(&said)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(append(words, strings.TrimSuffix(ref, "]")))
	return cmd.Execute() == nil && strings.HasPrefix(said.String(), "Refused a@shop.example to ")
}

// send brings a mail for a user who does not exist, with a trick in the name.
func send(address string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer conn.Close()
	buf := make([]byte, 4096)
	conn.Read(buf)
	io.WriteString(conn, "EHLO shop.example\r\n")
	conn.Read(buf)
	io.WriteString(conn, "MAIL FROM:<a@shop.example> SMTPUTF8\r\nRCPT TO:<nobody\u202e@example.com>\r\nQUIT\r\n")
	io.Copy(io.Discard, conn)
}

// TestDialogueStops interrupts a sample that waits for a reply.
func TestDialogueStops(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			defer conn.Close()
			cancel()
			<-t.Context().Done()
		}
	}()
	if _, err := dialogue(ctx, ln.Addr().String(), netip.MustParseAddr(shop), nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestVerdictAndWhy(t *testing.T) {
	rcpt := func(v policy.Verdict, by string, code int, text string) policy.RecipientRecord {
		return policy.RecipientRecord{Verdict: v, By: by, Reply: policy.Reply{Code: code, Text: text}}
	}
	for _, c := range []struct {
		name         string
		r            policy.Record
		verdict, why string
	}{
		{"nothing came", policy.Record{Helo: "x"}, "no mail", "the session came to no recipient"},
		{"turned away by a check", policy.Record{Reply: policy.Reply{Code: 554, Text: "5.7.1 You are listed; see us"},
			Findings: []policy.Finding{{Check: "rdns", Text: "You have a name"}, {Check: "dnsbl", Text: "You are listed"}}},
			turnedAway, "the check dnsbl: You are listed"},
		{"turned away by a rule", policy.Record{Reply: policy.Reply{Code: 554, Text: "5.7.1 Refused by the policy of this server"},
			Findings: []policy.Finding{{Check: "rdns", Text: "You have a name"}}},
			turnedAway, "the proxy refused it: 554 5.7.1 Refused by the policy of this server"},
		{"a look, and no more", policy.Record{Helo: "x", Findings: []policy.Finding{{Check: "rdns", Text: "You have a name"}}},
			"no mail", "the session came to no recipient"},
		{"tagged", policy.Record{Findings: []policy.Finding{{Check: "spf", Text: "SPF: perhaps"}}, Recipients: []policy.RecipientRecord{{
			Verdict: policy.Tagged, By: "spf", Where: "gatepost.toml:7", Would: policy.Tag, Reply: policy.Reply{Code: 250, Text: "Ok"}}}},
			"tagged", "the check spf tagged it: SPF: perhaps (gatepost.toml:7); the mail server took it: 250 Ok"},
		{"monitored", policy.Record{Recipients: []policy.RecipientRecord{{Verdict: policy.Accepted, Would: policy.Reject, WouldBy: "spf",
			Intended: policy.Reply{Code: 550, Text: "5.7.23 no"}, Reply: policy.Reply{Code: 250, Text: "Ok"}}}},
			"accepted", "the mail server took it: 250 Ok; were it enforced, the check spf would have rejected it: 550 5.7.23 no"},
		{"a monitored tag", policy.Record{Recipients: []policy.RecipientRecord{{Verdict: policy.Accepted, Would: policy.Tag, WouldBy: "spf",
			Reply: policy.Reply{Code: 250, Text: "Ok"}}}},
			"accepted", "the mail server took it: 250 Ok; were it enforced, the check spf would have tagged it"},
		{"another protocol", policy.Record{Faults: []string{"not-smtp"}}, turnedAway, "the sender speaks another protocol"},
		{"given up", policy.Record{End: policy.EndAborted, Recipients: []policy.RecipientRecord{rcpt(policy.Undecided, "", 250, "Ok")}},
			"no mail", "it came to no verdict: the sender gave it up"},
		{"a check, with its line", policy.Record{Recipients: []policy.RecipientRecord{{Verdict: policy.Rejected, By: "spf",
			Where: "gatepost.toml:7", Reply: policy.Reply{Code: 550, Text: "5.7.23 no"}}}},
			"rejected", "the check spf decided: 550 5.7.23 no (gatepost.toml:7)"},
		{"escapes of the server", policy.Record{Recipients: []policy.RecipientRecord{rcpt(policy.Rejected, "backend", 550, "\x1b[2Jno")}},
			"rejected", `the mail server said 550 \x1b[2Jno`},
		{"some and some", policy.Record{Recipients: []policy.RecipientRecord{rcpt(policy.Accepted, "", 250, "Ok"),
			rcpt(policy.Deferred, "backend", 451, "later"), rcpt(policy.Accepted, "", 250, "Ok")}},
			"2 accepted, 1 deferred", "the mail server took it: 250 Ok; the mail server said 451 later"},
		{"the server failed", policy.Record{Note: "backend: connect", Recipients: []policy.RecipientRecord{rcpt(policy.Deferred, "backend", 451, "x")}},
			"deferred", "the mail server failed: backend: connect"},
	} {
		if got := verdictOf(&c.r); got != c.verdict {
			t.Errorf("%s: verdict %q, want %q", c.name, got, c.verdict)
		}
		if got := why(&c.r, nil); got != c.why {
			t.Errorf("%s: why %q, want %q", c.name, got, c.why)
		}
	}
}
