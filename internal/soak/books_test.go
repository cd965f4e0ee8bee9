//go:build soak

package soak

import (
	"testing"

	"gatepost/policy"
)

// TestBooks sees that books which do not agree are noticed: the soak is worth no more than that.
func TestBooks(t *testing.T) {
	tests := []struct {
		name string
		e    entry
		ok   bool
	}{
		{"accepted and there", entry{told: 250, committed: 1, records: 1, end: policy.EndDelivered}, true},
		{"put off and not there", entry{told: 451, records: 1, end: policy.EndRefused}, true},
		{"put off, and what the backend did is not known", entry{told: 451, committed: 1, records: 1, end: policy.EndUnknown}, true},
		{"the reply never came", entry{committed: 1, records: 1, end: policy.EndDuplicate}, true},
		{"the connection broke before all", entry{}, true},
		{"put off before a transaction began", entry{told: 421}, true},
		{"accepted and lost", entry{told: 250, records: 1, end: policy.EndDelivered}, false},
		{"accepted and there twice", entry{told: 250, committed: 2, records: 1, end: policy.EndDelivered}, false},
		{"there twice, as is known", entry{told: 451, committed: 2, records: 1, end: policy.EndUnknown}, false},
		{"accepted, and not recorded so", entry{told: 250, committed: 1, records: 1, end: policy.EndUnknown}, false},
		{"put off and there, without a word of it", entry{told: 451, committed: 1, records: 1, end: policy.EndRefused}, false},
		{"there, without a word of it", entry{committed: 1, records: 1, end: policy.EndLost}, false},
		{"recorded as delivered and not there", entry{records: 1, end: policy.EndDelivered}, false},
		{"no record", entry{told: 451}, false},
		{"two records", entry{told: 451, records: 2, end: policy.EndRefused}, false},
	}
	for _, test := range tests {
		if why := test.e.fault(); (why == "") != test.ok {
			t.Errorf("%s: %q", test.name, why)
		}
	}
}
