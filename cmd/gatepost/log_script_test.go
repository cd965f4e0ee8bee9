package main

import (
	"encoding/json"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"

	"gatepost/journal"
	"gatepost/policy"
)

// journalOf makes a journal of the records in a file of JSON Lines: journal DIR FILE. "NOW" in the file is the time.
func journalOf(ts *testscript.TestScript, _ bool, args []string) {
	s := journal.OpenStore(journal.Settings{Dir: ts.MkAbs(args[0])}, nil, slog.New(slog.DiscardHandler))
	n := int64(0)
	text := strings.ReplaceAll(ts.ReadFile(args[1]), "NOW", time.Now().UTC().Format(time.RFC3339Nano))
	for line := range strings.Lines(text) {
		r := &policy.Record{}
		ts.Check(json.Unmarshal([]byte(line), r))
		s.Append(r)
		n++
	}
	s.Close()
	if written, _ := s.Counts(); written != n {
		ts.Fatalf("%d of %d records were written", written, n)
	}
}

// clean holds what a command wrote to printable text and line ends: clean stdout.
func clean(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 || !utf8.ValidString(text) {
		ts.Fatalf("it is not printable: %q", text[max(0, i-60):])
	}
}
