package main

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost/checks"
	"gatepost/policy"
)

var update = flag.Bool("update", false, "write what the policy now decides into testdata/policy; read the difference critically")

// TestPolicy plays every case of testdata/policy in a real session and compares what is decided. testdata/policy/README.md says how a
// case is written.
func TestPolicy(t *testing.T) {
	files, err := filepath.Glob("../../testdata/policy/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	seen := newSeenOutcomes()
	t.Run("cases", func(t *testing.T) {
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
				t.Parallel()
				playFile(t, file, seen)
			})
		}
	})
	if !t.Failed() {
		seen.complete(t)
	}
}

// playFile plays the cases of one file, and rewrites its decisions where that is asked for.
func playFile(t *testing.T, file string, seen *seenOutcomes) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parseCases(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for _, c := range f.cases {
		t.Run(c.title, func(t *testing.T) {
			got := c.play(t, seen)
			if *update {
				f.decide(c, got)
				return
			}
			if diff := cmp.Diff(strings.Split(c.want, "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("%s:%d: the decision is another, -want +got:\n%s", filepath.Base(file), c.line, diff)
			}
		})
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(file, f.text(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// seenOutcomes are those that cases with all three modes have come to, so that one without a case is noticed.
type seenOutcomes struct {
	mu  sync.Mutex
	saw map[string]bool // "spf fail"
}

func newSeenOutcomes() *seenOutcomes { return &seenOutcomes{saw: map[string]bool{}} }

func (o *seenOutcomes) add(r *policy.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := slices.Clone(r.Findings)
	for i := range r.Recipients {
		all = append(all, r.Recipients[i].Findings...)
	}
	for _, f := range all {
		o.saw[f.Check+" "+string(f.Outcome)] = true
	}
}

// complete wants each outcome of each check in all three modes.
func (o *seenOutcomes) complete(t *testing.T) {
	t.Helper()
	for _, e := range checks.Table() {
		for outcome := range e.Outcomes {
			name := e.Name + " " + string(outcome)
			if !o.saw[name] && !slices.Contains(unreachable, name) {
				t.Errorf("no case with MODE comes to %s", name)
			}
		}
	}
}

// unreachable are outcomes that no mail brings about: of a store in memory that failed, and of a good name that speaks for a mail.
var unreachable = []string{"ratelimit temperror", "greylist temperror", "rhsbl allowed", "authorbl allowed"}
