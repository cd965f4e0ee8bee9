package dmarc

import (
	"testing"

	"gatepost/internal/dnstest"
	"gatepost/policy"
	"gatepost/resolver"
)

const masterFile = `
$ORIGIN example.com.
@          IN SOA ns hostmaster 1 3600 600 86400 60
_dmarc     IN TXT "v=DMARC1; p=none; " "sp=quarantine; np=reject"
www        IN A   192.0.2.1
`

// The errors and the emptiness of the true resolver are as the check takes them.
func TestWithTheResolver(t *testing.T) {
	s := dnstest.Start(t, masterFile)
	s.ServFail("_dmarc.down.example")
	r, err := resolver.New(resolver.Settings{Servers: []string{s.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]policy.Outcome{
		"s@example.com": failNone, "s@www.example.com": failQuarantine, "s@nowhere.example.com": failReject,
		"s@other.example": policy.NoneFound, "s@down.example": policy.TempError,
	} {
		if f := New(&Settings{}, r).Run(t.Context(), mail{from: from, spf: "none"}.view()); f.Outcome != want {
			t.Errorf("%s: got %s, want %s: %s", from, f.Outcome, want, f.Facts)
		}
	}
}
