package journal

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
		{"amy@example.com", "amy@example.com", "“amy@example.com” ...amy@example.com. to=amy@example.com", "“(purged)” ...(purged). to=(purged)"},
		{"amy@example.com", "amy@example.com", "mamy@example.com jo.amy@example.com ämy@example.com amy@example.com.au amy@example.community",
			"mamy@example.com jo.amy@example.com ämy@example.com amy@example.com.au amy@example.community"},
		{"amy@example.com", "amy@example.com", "mamy@example.com amy@example.com", "mamy@example.com (purged)"},
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

// TestPurgeNamed: a person goes out of records of others that name the address, and out of nothing else.
func TestPurgeNamed(t *testing.T) {
	bare := at(noon(), "BARE") // nobody was a recipient
	bare.Transcript = []string{"C: RCPT TO:<Amy@Example.com>", "S: 550 5.1.1 no"}
	note := at(noon().Add(1), "N0TE", "bob@example.com")
	note.Note = "forwarded by amy@example.com"
	quoted := at(noon().Add(2), "QV0TED", "bob@example.com")
	quoted.Note = `"a b"@example.com`
	similar := at(noon().Add(3), "S1M1LAR", "mamy@example.com")
	similar.Recipients[0].Reply.Text = "<mamy@example.com> ok"
	all := []*policy.Record{bare, note, quoted, similar}
	for i := range 2 * chunk {
		all = append(all, at(noon().Add(time.Duration(i+4)), "0THER", "bob@example.com"))
	}
	last := at(noon().Add(time.Hour), "1AST", "bob@example.com")
	last.Reply.Text = "amy@example.com"
	dir := stored(t, append(all, last)...)
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Purged{{Reduced: 3}, {}} {
		if done, err := r.Purge(t.Context(), "amy@example.com"); done != want || err != nil {
			t.Errorf("%+v, %v, want %+v", done, err, want)
		}
	}
	if done, err := r.Purge(t.Context(), `"A b"@example.com`); done != (Purged{Reduced: 1}) || err != nil {
		t.Errorf("%+v, %v", done, err)
	}
	got := found(t, dir, Query{OldestFirst: true})
	if len(got) != len(all)+1 || got[0].Transcript[0] != "C: RCPT TO:<(purged)>" || got[1].Note != "forwarded by (purged)" || got[2].Note != "(purged)" ||
		got[3].Recipients[0].Reply.Text != "<mamy@example.com> ok" || got[len(all)].Reply.Text != "(purged)" {
		t.Errorf("left are %d: %+v", len(got), got[:4])
	}
	if got := refs(found(t, dir, Query{Rcpt: "mamy@example.com"})); got != "S1M1LAR" {
		t.Errorf("found %s", got)
	}
	change(t, dir, "UPDATE record SET body = 'x' WHERE id = ?", noon().UnixNano()+1)
	if done, err := r.Purge(t.Context(), "amy@example.com"); done != (Purged{}) || err == nil || !strings.Contains(err.Error(), "1 record(s) cannot be read") {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestPurgeRead: while somebody reads the file, what is deleted stays in its WAL, which is told; afterwards the same purge takes it away.
func TestPurgeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := dayOf(dir, noon())
		daemon, err := openWriter(d)
		if err != nil {
			t.Fatal(err)
		}
		defer daemon.close()
		if _, err := daemon.write([]*policy.Record{at(noon(), "P", "amy@example.com")}, nil); err != nil {
			t.Fatal(err)
		}
		r, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		err = d.read(t.Context(), func(reader *sql.DB) error {
			tx, err := reader.Begin()
			if err != nil {
				return err
			}
			defer tx.Rollback()
			var n int
			if err := tx.QueryRow("SELECT count(*) FROM entry").Scan(&n); err != nil || n != 1 {
				t.Errorf("%d read, %v", n, err)
			}
			if done, err := r.Purge(t.Context(), "amy@example.com"); done.Deleted != 1 || !errors.Is(err, errBusy) {
				t.Errorf("%+v, %v", done, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if done, err := r.Purge(t.Context(), "amy@example.com"); done != (Purged{}) || err != nil {
			t.Errorf("%+v, %v", done, err)
		}
		if wal, err := os.ReadFile(d.path() + "-wal"); err != nil || bytes.Contains(wal, []byte("amy@example.com")) {
			t.Errorf("the WAL has %d octets; %v", len(wal), err)
		}
	})
}
