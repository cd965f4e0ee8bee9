package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatepost/policy"
)

// TestPurge takes a person out, and leaves no trace in the files.
func TestPurge(t *testing.T) {
	both := at(noon(), "B0TH", "amy@example.com", "bob@example.com")
	both.Recipients[0].Reply.Text = "5.1.1 <amy@example.com> unknown"
	both.Findings = []policy.Finding{{Check: "greylist", Text: "amy@example.com again"}}
	sent := at(noon().Add(2), "SENT", "bob@example.com")
	amy := "Amy@Example.com"
	sent.Sender = &amy
	dir := stored(t, both, at(noon().Add(1), "A10NE", "AMY@example.com"), sent, at(noon().Add(3), "0THER", "bob@example.com"))
	os.WriteFile(filepath.Join(dir, "journal-2026-11-19.db.corrupt-1"), []byte("x"), 0o600)
	daemon, err := openWriter(dayOf(dir, noon())) // as long as it has the file open, there is a WAL
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.close()
	if _, err := daemon.write([]*policy.Record{at(noon().Add(4), "F1FTH", "amy@example.com")}, nil); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	done, err := r.Purge(t.Context(), "amy@example.com")
	if done != (Purged{Deleted: 3, Reduced: 1}) || err == nil || !strings.Contains(err.Error(), "corrupt-1") {
		t.Errorf("%+v, %v", done, err)
	}
	got := found(t, dir, Query{})
	if refs(got) != "0THER B0TH" || len(got[1].Recipients) != 1 || got[1].Findings[0].Text != "(purged) again" {
		t.Errorf("left are %s: %+v", refs(got), got[1])
	}
	if got := found(t, dir, Query{Rcpt: "bob@example.com"}); refs(got) != "0THER B0TH" {
		t.Errorf("of bob: %s", refs(got))
	}
	files, _ := filepath.Glob(dir + "/*")
	for _, f := range files {
		if b, _ := os.ReadFile(f); bytes.Contains(bytes.ToLower(b), []byte("amy@example.com")) {
			t.Errorf("%s still has the address", f)
		}
	}
	if _, err := r.Purge(t.Context(), ""); err == nil {
		t.Error("an empty address was taken")
	}
}

// TestPurgeSpelled: a person goes out of texts however they spell the address, and who has a similar one stays.
func TestPurgeSpelled(t *testing.T) {
	tests := []struct{ rcpt, purged, text, want string }{
		{"Amy@example.com", "amy@example.com", "<amy@example.com> is over quota", "<(purged)> is over quota"},
		{"amy@example.com", "AMY@example.com", "AMY@Example.COM, Amy@example.com", "(purged), (purged)"},
		{"Ämy@example.com", "ämy@example.com", "ämy@example.com ÄMY@example.com", "(purged) (purged)"},
		{"amy@bücher.example", "amy@bücher.example", "amy@xn--bcher-kva.example amy@BÜCHER.example", "(purged) (purged)"},
		{"amy@xn--bcher-kva.example", "amy@xn--bcher-kva.example", "amy@bücher.example", "(purged)"},
		{"a.b+c@example.com", "a.b+c@example.com", "A.B+C@example.com axb+c@example.com", "(purged) axb+c@example.com"},
		{"<amy@example.com>", "amy@example.com", "amy@example.com", "(purged)"},
	}
	for _, tt := range tests {
		other := "x" + tt.purged
		r := at(noon(), "B0TH", tt.rcpt, other)
		r.Sender, r.Reply.Text = &other, tt.text
		dir := stored(t, r)
		j, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if done, err := j.Purge(t.Context(), tt.purged); err != nil || done.Reduced != 1 {
			t.Errorf("%s: %+v, %v", tt.purged, done, err)
		}
		got := found(t, dir, Query{Rcpt: other})
		if len(got) != 1 || got[0].Reply.Text != tt.want || got[0].Recipients[0].Address != other || *got[0].Sender != other {
			t.Errorf("%s in %q: left is %s", tt.purged, tt.text, refs(got))
		}
	}
}
