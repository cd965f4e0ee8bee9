package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gatepost/policy"
)

// personalRecord names people wherever a record can.
func personalRecord() *policy.Record {
	r := at(noon(), "P", "Amy.Smith@Example.com", "postmaster", `"o d"@example.com`, "lonely")
	sender := "bob+x@shop.example"
	r.Sender = &sender
	r.Subject = "For amy.smith@example.com"
	r.MessageID = "<bob.1@shop.example>"
	r.Transcript = []string{"C: RCPT TO:<Amy.Smith@Example.com>", "S: 550 amy.smith is unknown"}
	r.Findings = []policy.Finding{{Check: "spf", Facts: []policy.Fact{{Key: "sender", Value: "bob+x@shop.example"}}}}
	r.Recipients[0].Reply = policy.Reply{Code: 550, Text: "5.1.1 <Amy.Smith@Example.com>: unknown"}
	r.Recipients[0].BackendReply = policy.Reply{Code: 550, Text: "5.1.1 Amy.Smith... User unknown; see postmaster@[192.0.2.1]"}
	r.Recipients[0].Findings = []policy.Finding{{Check: "greylist", Facts: []policy.Fact{{Key: "recipient", Value: "amy.smith@example.com"}}}}
	return r
}

func TestPersonal(t *testing.T) {
	dir := t.TempDir()
	for _, level := range []Personal{PersonalDomain, PersonalHash} {
		f, err := NewFilter(Levels{Personal: level, Subject: true, Transcript: TranscriptAll}, dir)
		if err != nil {
			t.Fatal(err)
		}
		r := personalRecord()
		before, _ := json.Marshal(r)
		after, _ := json.Marshal(f.Apply(r))
		if again, _ := json.Marshal(r); string(again) != string(before) {
			t.Errorf("%s: the record itself was changed", level)
		}
		for _, secret := range []string{"amy", "smith", "bob", "o d", "lonely"} {
			if strings.Contains(strings.ToLower(string(after)), secret) {
				t.Errorf("%s: %q is still there: %s", level, secret, after)
			}
		}
		for _, rest := range []string{"@Example.com", "@shop.example", `"postmaster"`, "User unknown"} {
			if !strings.Contains(string(after), rest) {
				t.Errorf("%s: %q is gone: %s", level, rest, after)
			}
		}
	}
}

// TestPersonalOfAll: whoever is named in what was said, to whomever it was said, is hidden, and no more than that.
func TestPersonalOfAll(t *testing.T) {
	tests := []struct{ text, domain, hash string }{
		{"552 5.2.2 mailbox amy is full", "552 5.2.2 mailbox  is full", "552 5.2.2 mailbox AMY is full"},
		{"user carol refused", "user  refused", "user CAROL refused"},
		{"Bob, Carol; bobby", ", ; bobby", "BOB, CAROL; bobby"},
		{"C: MAIL FROM:<carol@carol.example>", "C: MAIL FROM:<@carol.example>", "C: MAIL FROM:<CAROL@carol.example>"},
		{"amy@ is unknown", "@ is unknown", "AMY@ is unknown"},
		{"amy.smith and amy", " and ", "SMITH and AMY"},
		{`"o d" is no user`, " is no user", "ODD is no user"},
		{"1amy amy1 éamy", "1amy amy1 éamy", "1amy amy1 éamy"},
		{"lonely is unknown", " is unknown", "LONELY is unknown"},
	}
	for _, level := range []Personal{PersonalDomain, PersonalHash} {
		f, err := NewFilter(Levels{Personal: level, Transcript: TranscriptAll}, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		hashes := []string{}
		for name, address := range map[string]string{"AMY": "amy@example.com", "BOB": "bob@example.com", "CAROL": "carol@carol.example",
			"SMITH": "amy.smith@example.com", "ODD": `"o d"@example.com`, "LONELY": "lonely"} {
			hash, _, _ := strings.Cut(f.address(address), "@")
			hashes = append(hashes, name, hash)
		}
		for _, test := range tests {
			r := at(noon(), "P", "amy@example.com", "bob@example.com", "amy.smith@example.com", `"o d"@example.com`, "lonely")
			sender := "carol@carol.example"
			r.Sender, r.Reply.Text, r.Note, r.Transcript = &sender, test.text, test.text, []string{test.text}
			for i := range r.Recipients {
				rc := &r.Recipients[i]
				rc.Reply.Text, rc.BackendReply.Text, rc.Intended.Text = test.text, test.text, test.text
			}
			want := test.domain
			if level == PersonalHash {
				want = strings.NewReplacer(hashes...).Replace(test.hash)
			}
			got := f.Apply(r)
			texts := []string{got.Reply.Text, got.Note, got.Transcript[0]}
			for _, rc := range got.Recipients {
				texts = append(texts, rc.Reply.Text, rc.BackendReply.Text, rc.Intended.Text)
			}
			for i, text := range texts {
				if text != want {
					t.Errorf("%s: text %d of %q became %q, want %q", level, i, test.text, text, want)
				}
			}
		}
	}
}

// TestPersonalSameName: of two with the same local part, a recipient's own replies mean the recipient.
func TestPersonalSameName(t *testing.T) {
	f, err := NewFilter(Levels{Personal: PersonalHash}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := at(noon(), "P", "amy@one.example", "amy@two.example", "amy@three.example")
	for i := range r.Recipients {
		r.Recipients[i].Reply.Text = "amy"
	}
	for _, rc := range f.Apply(r).Recipients {
		if hash, _, _ := strings.Cut(rc.Address, "@"); rc.Reply.Text != hash {
			t.Errorf("%s is named %s", rc.Address, rc.Reply.Text)
		}
	}
}

// TestHash: the same person has the same hash, in any spelling, also after a restart, and is found by the address.
func TestHash(t *testing.T) {
	dir := t.TempDir()
	var hashes []string
	for range 2 {
		f, err := NewFilter(Levels{Personal: PersonalHash}, dir)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, f.address("amy@example.com"), f.address("AMY@example.com"))
		s := newStore(Settings{Dir: dir}, f, discard())
		s.write([]*policy.Record{personalRecord()})
		s.closeDay()
	}
	for _, h := range hashes {
		if h != hashes[0] || !strings.HasPrefix(h, "#") || !strings.HasSuffix(h, "@example.com") {
			t.Errorf("hashes %s", hashes)
		}
	}
	for _, q := range []Query{{Rcpt: "amy.smith@example.com"}, {From: "bob+x@shop.example"}, {About: "bob+x@shop.example"}, {Rcpt: "example.com"}} {
		if got := found(t, dir, q); len(got) != 2 {
			t.Errorf("%+v finds %d", q, len(got))
		}
	}
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	os.WriteFile(filepath.Join(dir, keyFile), []byte("spoilt"), 0o600)
	if _, err := NewFilter(Levels{Personal: PersonalHash}, dir); err == nil {
		t.Error("a key that is none was taken")
	}
}

func TestKept(t *testing.T) {
	refused := policy.RecipientRecord{Verdict: policy.Deferred}
	tests := []struct {
		levels     Levels
		rcpt       policy.RecipientRecord
		subject    string
		transcript int
	}{
		{Levels{}, refused, "", 0},
		{Levels{Subject: true}, refused, "S", 0},
		{Levels{Transcript: TranscriptRefused}, refused, "", 1},
		{Levels{Transcript: TranscriptRefused}, policy.RecipientRecord{Verdict: policy.Accepted}, "", 0},
		{Levels{Transcript: TranscriptAll}, policy.RecipientRecord{Verdict: policy.Accepted}, "", 1},
	}
	for _, test := range tests {
		f, err := NewFilter(test.levels, "")
		if err != nil {
			t.Fatal(err)
		}
		got := f.Apply(&policy.Record{Subject: "S", Transcript: []string{"C: QUIT"}, Recipients: []policy.RecipientRecord{test.rcpt}})
		if got.Subject != test.subject || len(got.Transcript) != test.transcript {
			t.Errorf("%+v, %s: %+v", test.levels, test.rcpt.Verdict, got)
		}
	}
	if _, err := NewFilter(Levels{Personal: PersonalHash}, ""); err == nil {
		t.Error("hashes without a place for their key")
	}
}

// TestKeyNotRead: with a key that cannot be read no address is looked for in vain; what needs no key is found.
func TestKeyNotRead(t *testing.T) {
	asDir := func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }
	write := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	for name, spoil := range map[string]func(path string) error{"empty": write(""), "damaged": write("5f2c"), "unreadable": asDir} {
		dir := t.TempDir()
		f, err := NewFilter(Levels{Personal: PersonalHash}, dir)
		if err != nil {
			t.Fatal(err)
		}
		s := newStore(Settings{Dir: dir}, f, discard())
		s.write([]*policy.Record{at(noon(), "P", "amy@example.com")})
		s.closeDay()
		if err := spoil(filepath.Join(dir, keyFile)); err != nil {
			t.Fatal(err)
		}
		r, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []Query{{About: "amy@example.com"}, {Rcpt: "amy@example.com"}, {From: "a@shop.example"}} {
			text := ""
			for _, err := range r.Search(t.Context(), q) {
				text += fmt.Sprint(err)
			}
			if !strings.Contains(text, keyFile) {
				t.Errorf("%s: %+v: %q", name, q, text)
			}
			if st, err := r.Stats(t.Context(), q); err == nil {
				t.Errorf("%s: %+v: %+v", name, q, st)
			}
		}
		if done, err := r.Purge(t.Context(), "amy@example.com"); err == nil {
			t.Errorf("%s: purged %+v", name, done)
		}
		if got := refs(found(t, dir, Query{Rcpt: "example.com", From: "shop.example"})); got != "P" {
			t.Errorf("%s: found %q", name, got)
		}
	}
}

// TestKeyMade: an empty file, as a full disk leaves it, is no key; and of two who make one at the same time both have the same.
func TestKeyMade(t *testing.T) {
	for _, before := range []string{"none", "empty"} {
		dir := t.TempDir()
		if before == "empty" {
			os.WriteFile(filepath.Join(dir, keyFile), nil, 0o600)
		}
		key, err := makeKey(dir)
		again, _ := makeKey(dir)
		if err != nil || len(key) != 32 || !bytes.Equal(key, again) {
			t.Errorf("%s: %x, then %x; %v", before, key, again, err)
		}
		if files, _ := os.ReadDir(dir); len(files) != 1 {
			t.Errorf("%s: left are %v", before, files)
		}
	}
	dir := t.TempDir()
	var keys [8]string
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() { key, _ := makeKey(dir); keys[i] = string(key) })
	}
	all.Wait()
	for _, key := range keys {
		if key != keys[0] || key == "" {
			t.Fatalf("the keys are %x", keys)
		}
	}
}
