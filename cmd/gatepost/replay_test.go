package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatepost/journal/journaltest"
	"gatepost/journal/rejudge"
	"gatepost/policy"
)

// TestGoldenCasesAgain plays the golden cases of the policy, enforced, sends their records through the journal's JSON, and judges them again by
// their own policy: each verdict, and what decided it, must be the same.
func TestGoldenCasesAgain(t *testing.T) {
	files, err := filepath.Glob("../../testdata/policy/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f, err := parseCases(text)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range f.cases {
				t.Run(c.title, func(t *testing.T) { again(t, c) })
			}
		})
	}
}

// again plays one case and judges its records again.
func again(t *testing.T, c *policyCase) {
	st := newPolicyStage(t, c.zone, strings.ReplaceAll(c.config, modeWord, "enforce"))
	sessions, err := c.sessions()
	if err != nil {
		t.Fatal(err)
	}
	s := &caseSender{mail: c.content()}
	for _, ss := range sessions {
		if err := s.play(st.address, ss); err != nil {
			t.Fatal(err)
		}
	}
	p, err := judging(st.config)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range st.all() {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var back policy.Record
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		for i := range back.Recipients {
			rc := &back.Recipients[i]
			o := rejudge.Judge(p, &back, rc)
			if o.Kind != rejudge.Same && o.Kind != rejudge.LeftOut || o.Now.Done >= policy.Defer && o.Now.By != rc.By && rc.By != "backend" {
				t.Errorf("%v by %s; judged again %v by %s, missing %q\n%s", rc.Verdict, rc.By, o.Is, o.Now.By, o.Missing, text)
			}
		}
	}
}

func TestParseReceived(t *testing.T) {
	tests := []struct {
		body, helo, client string // "": not by our server, or without a client
	}{
		{"from mail.shop.example (unknown [203.0.113.9])\r\n\tby mx.example.com (Postfix) with ESMTP id 1", "mail.shop.example", "203.0.113.9"},
		{"from mail.shop.example (mail.shop.example. [IPv6:2001:db8::9]) by MX.example.com; Fri", "mail.shop.example", "2001:db8::9"},
		{"from [203.0.113.9] (helo=mail.shop.example) by mx.example.com with esmtp (Exim 4.96)", "mail.shop.example", "203.0.113.9"},
		{"from [192.0.2.1] (unknown [203.0.113.9]) by mx.example.com", "[192.0.2.1]", "203.0.113.9"},
		{"from mail.shop.example (unknown [203.0.113.9]) by other.example", "", ""},
		{"from mail.shop.example (unknown) by mx.example.com", "", ""},
		{"by mx.example.com (Postfix, from userid 0) id 1", "", ""},
		{"from", "", ""},
		{"", "", ""},
	}
	for _, tt := range tests {
		helo, client, ok := parseReceived(tt.body, "mx.example.com")
		if ok != (tt.client != "") || ok && (helo != tt.helo || client.String() != tt.client) {
			t.Errorf("%q: got %q %v %v", tt.body, helo, client, ok)
		}
	}
}

func FuzzParseReceived(f *testing.F) {
	f.Add("from mail.shop.example (unknown [203.0.113.9]) by mx.example.com; Fri")
	f.Add("from [203.0.113.9] (helo=) by mx.example.com")
	f.Add("from a by mx.example.com [")
	f.Fuzz(func(t *testing.T, body string) {
		if _, client, ok := parseReceived(body, "mx.example.com"); ok && (!client.IsValid() || client.Zone() != "" || client.Is4In6()) {
			t.Errorf("%q gives the client %v", body, client)
		}
	})
}

func TestEachOfMbox(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"empty", "", nil},
		{"two, one that quotes", "From a@x Fri\nA: 1\n\n>From me\n>>From him\n\nFrom b@x Fri\nB: 2\n\nFrom here on another\nend",
			[]string{"A: 1\n\nFrom me\n>From him\n\n", "B: 2\n\n", "end"}}, // a line that begins so behind an empty one starts a mail, as everywhere
		{"CR LF", "From a@x\r\nA: 1\r\n\r\nFrom b\r\nB: 2\r\n", []string{"A: 1\r\n\r\n", "B: 2\r\n"}},
		{"what stands before the first is no mail", "junk\n\nFrom a@x\nA: 1\n", []string{"A: 1\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "mbox")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var got []string
			err := eachOfMbox(file, 1000, func(mail []byte) error {
				got = append(got, string(mail))
				return nil
			})
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%v: got %q, want %q", err, got, tt.want)
			}
		})
	}
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 11, 21, 15, 4, 5, 0, time.UTC)
	for text, want := range map[string]string{
		"2h": "2026-11-21T13:04:05Z", "7d": "2026-11-14T15:04:05Z", "2w": "2026-11-07T15:04:05Z", "yesterday": "2026-11-20T00:00:00Z",
		"today": "2026-11-21T00:00:00Z", "2026-11-20": "2026-11-20T00:00:00Z", "2026-11-20 10:30": "2026-11-20T10:30:00Z",
		"2026-11-20T10:30": "2026-11-20T10:30:00Z", "2026-11-20T10:30:05": "2026-11-20T10:30:05Z", "2026-11-20 10:30:05": "2026-11-20T10:30:05Z",
		"1h30m": "2026-11-21T13:34:05Z", "1d12h": "2026-11-20T03:04:05Z", "1h30": "", "h30m": "", "3000d1000d": "", "1h-30m": "",
		"2026-11-20T10:30:00+01:00": "2026-11-20T09:30:00Z",
		"":                          "", "7": "", "d": "", "-1d": "", "0d": "", "7 d": "", "99999d": "", "tomorrow": "",
	} {
		got, err := parseTime(text, now)
		if (err != nil) != (want == "") || err == nil && got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, want)
		}
	}
}

// TestReplayManyRecords judges a generated mix again: the summary's memory is bounded by names, not by records.
func TestReplayManyRecords(t *testing.T) {
	p := &policy.Policy{Mode: policy.Enforce}
	var s rejudge.Summary
	mix := journaltest.NewMix(1, time.Now(), time.Second)
	for range 20000 {
		r := mix.Next()
		for i := range r.Recipients {
			s.Add(r, rejudge.Judge(p, r, &r.Recipients[i]))
		}
	}
	var out bytes.Buffer
	tell := replayTeller{out: &out}
	if err := tell.summary(&s); err != nil {
		t.Fatal(err)
	}
	if s.Changed == 0 || s.Same+s.Changed+s.Undecidable != s.Total || len(s.Groups()) > 20 {
		t.Errorf("%+v in %d groups\n%s", s, len(s.Groups()), out.String())
	}
}

func BenchmarkReplay(b *testing.B) {
	p := &policy.Policy{Mode: policy.Enforce}
	for _, name := range []string{"ratelimit", "rdns", "dnsbl", "spf", "greylist", "dkim", "dmarc"} {
		p.Slots = append(p.Slots, policy.Slot{Check: named(name), Mode: policy.Enforce, Actions: map[policy.Outcome]policy.Action{"listed": policy.Reject, "fail": policy.Reject}})
	}
	var records []*policy.Record
	mix := journaltest.NewMix(1, time.Now(), time.Second)
	for range 1000 {
		records = append(records, mix.Next())
	}
	var s rejudge.Summary
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r := records[i%len(records)]
		for j := range r.Recipients {
			s.Add(r, rejudge.Judge(p, r, &r.Recipients[j]))
		}
	}
}

// named is a check that is not run.
type named string

func (n named) Name() string { return string(n) }

func (n named) Stage() policy.Stage {
	switch n {
	case "greylist":
		return policy.StageRcpt
	case "dkim", "dmarc":
		return policy.StageData
	}
	return policy.StageConnect
}

func (n named) Run(context.Context, policy.View) policy.Finding { return policy.Finding{} }

func TestRuleTOML(t *testing.T) {
	r := policy.Rule{Name: "allow-x", Allow: true, SenderDomain: []string{"shop.example"}, Client: []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32")},
		Recipient: []string{"a b@example.com"}, Proof: []policy.Proof{policy.ProofSPF, policy.ProofDKIM}, Skip: []string{"dnsbl", "spf"},
		Expires: time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)}
	text, ok := ruleTOML(r, "for \x1b[31m\"you\"\\ \u202e")
	want := `[rule.allow-x]
action = "allow"
client = ["203.0.113.9/32"]
sender_domain = ["shop.example"]
recipient = ["a b@example.com"]
proof = "spf or dkim"
skip = ["dnsbl", "spf"]
expires = 2026-12-01T10:00:00Z
comment = "for \U0000001B[31m\"you\"\\ \U0000202E"
`
	if !ok || text != want {
		t.Errorf("ok %v, got\n%s", ok, text)
	}
	for _, bad := range []string{"shop example", "a\n[rule.b]", `x"y`, "..", "\xff.example"} {
		r.SenderDomain = []string{bad}
		if text, ok := ruleTOML(r, ""); ok {
			t.Errorf("%q became a rule:\n%s", bad, text)
		}
	}
}
