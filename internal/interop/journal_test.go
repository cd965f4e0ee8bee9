//go:build interop

package interop

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"gatepost/policy"
)

// records are those in the journal so far. A line without an end is still being written.
func (p *proxy) records(t *testing.T) []policy.Record {
	t.Helper()
	text, err := os.ReadFile(p.journal)
	if err != nil {
		t.Fatal(err)
	}
	var all []policy.Record
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var r policy.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		all = append(all, r)
	}
	return all
}

// record waits for the one record of which ok says yes.
func (p *proxy) record(t *testing.T, what string, ok func(policy.Record) bool) policy.Record {
	t.Helper()
	var found []policy.Record
	eventually(t, "the journal has "+what, func() bool {
		found = nil
		for _, r := range p.records(t) {
			if ok(r) {
				found = append(found, r)
			}
		}
		return len(found) > 0
	})
	if len(found) > 1 {
		t.Fatalf("the journal has %s %d times", what, len(found))
	}
	return found[0]
}

// recordOf waits for the record of a message whose reverse-path no other message has.
func (p *proxy) recordOf(t *testing.T, m mail) policy.Record {
	t.Helper()
	return p.record(t, "the mail from "+m.from, func(r policy.Record) bool { return r.Sender != nil && *r.Sender == m.from })
}

// finding is what a check found.
func finding(t *testing.T, r policy.Record, check string) policy.Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Check == check {
			return f
		}
	}
	t.Errorf("the record has no finding of %s", check)
	return policy.Finding{}
}

// sameOutcomes compares what checks found, written as "spf=pass dkim=fail".
func sameOutcomes(t *testing.T, r policy.Record, want string) {
	t.Helper()
	for pair := range strings.FieldsSeq(want) {
		check, outcome, _ := strings.Cut(pair, "=")
		if f := finding(t, r, check); string(f.Outcome) != outcome {
			t.Errorf("%s=%s, want %s; %v", check, f.Outcome, outcome, f.Facts)
		}
	}
}
