package main

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"gatepost/resolver"
)

// TestDemoZone asks the DNS server of the demo as the checks do: the zone can be read, and the key in it is the one that signs.
func TestDemoZone(t *testing.T) {
	st := &stage{}
	defer st.close()
	if err := st.startDNS(); err != nil {
		t.Fatal(err)
	}
	r, err := resolver.New(resolver.Settings{Servers: []string{st.dns}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"shop.example":                 "v=spf1 ip4:198.51.100.7 ip4:127.0.0.0/8 -all",
		"xn--bcher-kva.example":        "v=spf1 ip6:2001:db8:7::/48 -all",
		"_dmarc.bank.example":          "v=DMARC1; p=reject",
		"99.113.0.203.bl.demo.example": "It sent spam this morning",
		"demo._domainkey.bank.example": "v=DKIM1; k=ed25519; p=",
		"cheap-pills.example":          "v=spf1 ip4:203.0.113.66 ip4:203.0.113.99 -all",
		"bigmail.example":              "v=spf1 ip4:192.0.2.128/25 ip4:198.51.100.128/25 ip6:2001:db8:b16::/48 -all",
		"partner.example":              "v=spf1 ip4:203.0.113.98 -all",
	} {
		if got, err := r.TXT(t.Context(), name); err != nil || len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
}

// TestSigned composes a signed content: what others added stands around it, and the letter itself is untouched.
func TestSigned(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	st := &stage{key: key}
	letter := letterFrom(bank, "s", "b")
	steps, err := st.compose([]step{say("NOOP"), signedContent(signed{letter, "List-Id: <l>\r\n", "-- \r\n"})})
	if err != nil {
		t.Fatal(err)
	}
	text := steps[1].text
	if !strings.HasPrefix(text, "List-Id: <l>\r\nDKIM-Signature: ") || !strings.HasSuffix(text, letter+"-- \r\n.\r\n") {
		t.Errorf("%q", text)
	}
	if steps[0].text != "NOOP\r\n" || !steps[1].content || steps[1].replies != 1 {
		t.Errorf("%+v", steps)
	}
}

// TestMissed takes one thing after the other from a result that is as it should be.
func TestMissed(t *testing.T) {
	sm := sample{verdict: "accepted", stored: 1, says: []string{"250 Ok", "because"}, shows: []string{"A: one two"}, lacks: []string{"B:"}}
	good := func() result {
		return result{verdict: "accepted", stored: 1, dialogue: []string{"S: 250 Ok"}, why: "because", header: []string{"A: one", "\ttwo"}}
	}
	for _, c := range []struct {
		name   string
		change func(*result)
		want   string
	}{
		{"all is right", func(*result) {}, ""},
		{"another verdict", func(r *result) { r.verdict = "tagged" }, "accepted, stored 1"},
		{"a mail too many", func(r *result) { r.stored = 2 }, "accepted, stored 1"},
		{"another reply", func(r *result) { r.dialogue = nil }, "to be told: 250 Ok"},
		{"another reason", func(r *result) { r.why = "" }, "to be told: because"},
		{"a field is gone", func(r *result) { r.header = []string{"A: one"} }, "in the header: A: one two"},
		{"a field too many", func(r *result) { r.header = append(r.header, "B: x") }, "not in the header: B:"},
	} {
		r := good()
		c.change(&r)
		if got := strings.Join(r.missed(sm), "|"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
