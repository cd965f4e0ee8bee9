package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"

	"gatepost/greylist"
	"gatepost/internal/mailsink"
	"gatepost/journal/rejudge"
	"gatepost/policy"
)

// hostile is text that would do something to a terminal.
const hostile = "a\x1b[31m\u202e\x00\r\n\xff\u009b\x7f<b>"

// TestHostileText puts hostile text into every field that comes from outside: what is told holds nothing but printable text.
func TestHostileText(t *testing.T) {
	sender := hostile + "@x"
	finding := policy.Finding{Check: "spf", Outcome: "fail", Text: hostile, Facts: []policy.Fact{{Key: hostile, Value: hostile}}}
	r := &policy.Record{Time: time.Now(), Ref: hostile, Client: netip.MustParseAddr("203.0.113.9"), Helo: hostile, Sender: &sender, ListID: hostile, FromDomain: hostile,
		Note: hostile, Faults: []string{hostile}, Findings: []policy.Finding{finding},
		Recipients: []policy.RecipientRecord{{Address: hostile, Verdict: policy.Rejected, By: "spf", Where: hostile, Reply: policy.Reply{Code: 550, Text: hostile}}}}
	var out bytes.Buffer
	x := explainer{}
	x.writeOne(&out, explained{Recipient: hostile, Verdict: "rejected", By: hostile, Why: hostile, Where: hostile, Reply: hostile, Rule: hostile,
		AcceptedIf: []string{hostile}, Delays: []string{hostile}, Steps: []explainStep{{Check: hostile, Outcome: hostile, Skipped: hostile, Facts: finding.Facts}}})
	var s rejudge.Summary
	o := rejudge.Outcome{Kind: rejudge.Changed, Was: policy.Accepted, Is: policy.Rejected, By: hostile, Missing: []string{hostile}}
	s.Add(r, o)
	tell := replayTeller{out: &out, show: showing{on: true}}
	if err := tell.change(r, &r.Recipients[0], o); err != nil {
		t.Fatal(err)
	}
	if err := tell.summary(&s); err != nil {
		t.Fatal(err)
	}
	tell.json = true
	if err := errors.Join(tell.change(r, &r.Recipients[0], o), tell.summary(&s)); err != nil {
		t.Fatal(err)
	}
	names := []rejudge.Count{{Name: hostile, N: 1}}
	rep := watchReport{Accepted: 1, Checks: []watchedCheck{{Check: "spf", Accepted: 1, Would: 1, Senders: names, Lists: names, Days: map[string]int{"2026-11-21": 1}}}}
	rep.write(&out)
	if err := rep.writeJSON(&out); err != nil {
		t.Fatal(err)
	}
	if err := (override{Name: "x", Action: "allow", Allows: hostile, Skip: []string{hostile}, Comment: hostile}).write(&out, false); err != nil {
		t.Fatal(err)
	}
	if err := (override{Name: "x", Allows: hostile, Comment: hostile}).write(&out, true); err != nil {
		t.Fatal(err)
	}
	listed := memoryLedger(t).line(greylist.Record{Label: greylist.Label{Client: hostile, Sender: hostile, Recipient: hostile}})
	if err := writeJSON(&out, listed); err != nil {
		t.Fatal(err)
	}
	checked := report{out: &out, json: true}
	checked.fail(hostile, hostile, "%s", hostile)
	checked.json = false
	checked.fail("dns", hostile, "%s", hostile)
	var sent strings.Builder
	rc := policy.RecipientRecord{Address: hostile, Verdict: policy.Accepted, Reply: policy.Reply{Code: 550, Text: hostile}, Would: policy.Reject,
		Intended: policy.Reply{Code: 550, Text: hostile}}
	writeSent(&sent, &policy.Record{Recipients: []policy.RecipientRecord{rc, rc}}, &rc, nil)
	demo := player{}
	demo.note("S: ", []string{hostile}, false)
	for _, text := range append(demo.lines, sent.String(), why(r, nil), who(greylist.Record{Label: greylist.Label{Client: hostile}}),
		who(greylist.Record{Label: greylist.Label{Client: hostile, Sender: hostile, Recipient: hostile}})) {
		fmt.Fprintln(&out, text)
	}
	told := show{stage: &stage{daemon: applied(t, "[policy]\nchecks = []\n")}, out: &out}
	told.header([]string{hostile})
	ours := *r
	ours.Ref = "0123456789" // they are ours, and no journal has been at it
	fmt.Fprintln(&out, told.line(&ours))
	if err := rep.writeHTML(&out); err != nil {
		t.Fatal(err)
	}
	if _, page, _ := bytes.Cut(out.Bytes(), []byte("<!DOCTYPE")); bytes.Contains(page, []byte("<b>")) {
		t.Error("markup got into the page")
	}
	wantPrintable(t, &out)
}

// wantPrintable wants lines of printable text.
func wantPrintable(t *testing.T, out *bytes.Buffer) {
	t.Helper()
	for _, c := range out.String() {
		if c != '\n' && (!unicode.IsPrint(c) || c == unicode.ReplacementChar) {
			t.Fatalf("%q is told:\n%q", c, out.String())
		}
	}
}

// TestHostileReplies: nothing that a backend says, or whoever speaks SMTP to it by hand, does something to the terminal.
func TestHostileReplies(t *testing.T) {
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions(), Fault: func(e mailsink.Event) mailsink.Action {
		if e.Stage == mailsink.StageRcpt {
			return mailsink.Action{Reply: "550 5.1.1 " + strings.ReplaceAll(hostile, "\r\n", "")}
		}
		return mailsink.Action{}
	}}
	back, stop, err := mailsink.Listen(sink)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	h, err := newRehearsal(explainConfig(t, "[policy]\nchecks = []\n", back, ""), true)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	var out, talk bytes.Buffer // written to by two, as stdout and stderr are
	x := explainer{rehearsal: h}
	if err := x.write(&out, call{helo: hostile, from: hostile}, nil); err != nil {
		t.Fatal(err)
	}
	in := strings.NewReader("EHLO mail.shop.example\nMAIL FROM:<a@shop.example>\nRCPT TO:<amy@example.com>\nQUIT\n")
	if err := h.interact(t.Context(), netip.MustParseAddr("203.0.113.9"), in, &out, &talk); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `550 5.1.1 a?[31m\u202e`) {
		t.Errorf("the backend was not heard:\n%q", &out)
	}
	wantPrintable(t, &out)
	wantPrintable(t, &talk)
}
