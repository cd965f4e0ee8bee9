package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatepost/config"
	"gatepost/journal"
	"gatepost/policy"
)

// TestOpenJournals: each that the config wants has the record, at the level that it wants.
func TestOpenJournals(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "lines.json")
	js, err := openJournals(config.Journal{Dir: dir, File: file, Keep: 24 * time.Hour, MaxSize: 1e9, Personal: "domain", Transcript: "none"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	sender := "amy@example.com"
	js.Append(&policy.Record{Time: time.Now(), Ref: "A", Sender: &sender, Subject: "secret", Transcript: []string{"C: secret"}})
	js.Reopen()
	js.Close()
	if w, d := js.Counts(); w != 1 || d != 0 {
		t.Errorf("%d written, %d dropped", w, d)
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), `"sender":"@example.com"`) || strings.Contains(string(text), "secret") {
		t.Errorf("%s, %v", text, err)
	}
	r, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for e, err := range r.Search(t.Context(), journal.Query{}) {
		if n++; err != nil || *e.Record.Sender != "@example.com" || e.Record.Subject != "" || e.Record.Transcript != nil {
			t.Errorf("%+v, %v", e.Record, err)
		}
	}
	if n != 1 {
		t.Errorf("%d entries", n)
	}
	none, err := openJournals(config.Journal{}, nil)
	if err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
	none.Append(nil)
	none.Close()
	if _, err := openJournals(config.Journal{File: filepath.Join(dir, "no", "such")}, nil); err == nil {
		t.Error("a file that cannot be opened was taken")
	}
}
