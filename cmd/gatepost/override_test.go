package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatepost/checks"
	"gatepost/config"
	"gatepost/policy"
)

// fullRule is a rule with all that a config can say of one.
var fullRule = config.Rule{
	Name: "full", Action: "allow", Client: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")},
	Helo: []string{"mail.partner.example", ".out.example"}, Sender: []string{"a@partner.example"}, SenderDomain: []string{".partner.example"},
	Recipient: []string{"a b@example.com", "example.net"}, FromDomain: []string{"author.example"}, Proof: "spf or dkim", Skip: []string{"dnsbl", "spf"},
	Expires: time.Date(2036, 12, 1, 10, 0, 0, 500, time.UTC), Comment: "for \"them\", by amy@mx",
}

// TestRuleKeepsAllFields: a rule that is written and read is the same in all its fields, of which none is left out here.
func TestRuleKeepsAllFields(t *testing.T) {
	held := rules(&config.Config{Rules: []config.Rule{fullRule}})[0]
	held.Where = "r.toml:1"
	for _, v := range []any{fullRule, held} {
		for f, value := range reflect.ValueOf(v).Fields() {
			if value.IsZero() {
				t.Errorf("%T.%s is not tried", v, f.Name)
			}
		}
	}
	text, ok := writtenTOML(fullRule)
	again, ok2 := ruleTOML(held, fullRule.Comment)
	if !ok || !ok2 || text != again {
		t.Fatalf("%v %v\n%s\n%s", ok, ok2, text, again)
	}
	c, err := config.ParseRules("r.toml", []byte(text), checks.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	same := []cmp.Option{cmpopts.EquateComparable(netip.Prefix{})}
	if diff := cmp.Diff(fullRule, c.Rules[0], same...); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if diff := cmp.Diff(held, rules(c)[0], same...); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestRuleWords: each condition is told.
func TestRuleWords(t *testing.T) {
	r := rules(&config.Config{Rules: []config.Rule{fullRule}})[0]
	want := `a rule allows from author.example and sender .partner.example and sender a@partner.example and client 203.0.113.0/24, 2001:db8::/32 and ` +
		`helo mail.partner.example, .out.example and recipient a b@example.com, example.net with proof = "spf or dkim"`
	if got := ruleWords(r); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := ruleWords(policy.Rule{Helo: []string{"x.example"}}); got != "a rule denies helo x.example" {
		t.Errorf("got %s", got)
	}
}

// TestChangeOverridesKeepsOthers rewrites a file that a person wrote: what stays is as it was.
func TestChangeOverridesKeepsOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), overrideFile)
	full, _ := writtenTOML(fullRule)
	kept := full + `
[rule.claimed]
action = "allow"
sender_domain = ["partner.example"]
proof = "none"

[rule.noisy]
action = "deny"
client = ["203.0.113.7/32"]
helo = ["noisy.example"]
`
	if err := os.WriteFile(file, []byte(kept+"\n[rule.gone]\naction = \"deny\"\nhelo = [\"x.example\"]\nexpires = 2020-01-01\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := changeOverrides(file, "other", "", time.Now()); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, got, _ := strings.Cut(string(text), "\n\n"); got != kept {
			t.Errorf("got\n%swant\n%s", got, kept)
		}
	}
}
