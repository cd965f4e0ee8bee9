package rdns

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost/internal/dnstest"
	"gatepost/policy"
	"gatepost/resolver"
)

const zone = `
9.113.0.203.in-addr.arpa.  PTR mail.shop.example.
10.113.0.203.in-addr.arpa. PTR other.example.
10.113.0.203.in-addr.arpa. PTR mail.shop.example.
11.113.0.203.in-addr.arpa. PTR elsewhere.example.
12.113.0.203.in-addr.arpa. PTR dangling.example.
13.113.0.203.in-addr.arpa. PTR broken.example.
15.113.0.203.in-addr.arpa. PTR a<b>.example.
16.113.0.203.in-addr.arpa. PTR v6.example.
17.113.0.203.in-addr.arpa. PTR broken.example.
17.113.0.203.in-addr.arpa. PTR zz.example.
9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR v6.example.
mail.shop.example. A 203.0.113.9
mail.shop.example. A 203.0.113.10
elsewhere.example. A 192.0.2.1
other.example.     A 192.0.2.1
zz.example.        A 203.0.113.17
v6.example.        AAAA 2001:db8::9
broken.example.    A 203.0.113.13
`

func TestClients(t *testing.T) {
	c, server := newCheck(t, zone)
	server.ServFail("broken.example", "14.113.0.203.in-addr.arpa")
	for _, x := range []struct {
		name, client string
		want         policy.Outcome
		iprev        string // RFC 8601 section 2.7.3
		fact, names  string
	}{
		{"the name leads back", "203.0.113.9", policy.Pass, "pass", "mail.shop.example", "mail.shop.example"},
		{"one name of two does", "203.0.113.10", policy.Pass, "pass", "mail.shop.example", "mail.shop.example other.example"},
		{"over IPv6", "2001:db8::9", policy.Pass, "pass", "v6.example", "v6.example"},
		{"it leads elsewhere", "203.0.113.11", policy.Fail, "fail", "", "elsewhere.example"},
		{"it leads to an address of the other family alone", "203.0.113.16", policy.Fail, "permerror", "", "v6.example"},
		{"it leads nowhere", "203.0.113.12", policy.Fail, "permerror", "", "dangling.example"},
		{"no name", "203.0.113.99", policy.NoneFound, "permerror", "", ""},
		{"what is no host name does not count", "203.0.113.15", policy.NoneFound, "permerror", "", ""},
		{"the address of its name cannot be had", "203.0.113.13", policy.TempError, "temperror", "", "broken.example"},
		{"one name cannot be had, another does", "203.0.113.17", policy.Pass, "pass", "zz.example", "broken.example zz.example"},
		{"the name cannot be had", "203.0.113.14", policy.TempError, "temperror", "", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := c.Run(t.Context(), policy.View{Client: netip.MustParseAddr(x.client)})
			names := strings.Fields(f.Fact("names"))
			if f.Outcome != x.want || f.Fact("name") != x.fact || !sameNames(names, strings.Fields(x.names)) {
				t.Errorf("%s, name %q, names %q", f.Outcome, f.Fact("name"), names)
			}
			want := []policy.AuthResult{{Method: "iprev", Result: x.iprev, Comment: x.fact,
				Props: []policy.Fact{{Key: "policy.iprev", Value: x.client}}}}
			if d := cmp.Diff(want, f.Auth); d != "" {
				t.Error(d)
			}
			if f.Status != (policy.Status{Subject: 7, Detail: 25}) || !strings.Contains(f.Text, x.client) {
				t.Errorf("%v %q", f.Status, f.Text)
			}
		})
	}
}

// TestNamesAreBounded has an address with eight names that all lead elsewhere.
func TestNamesAreBounded(t *testing.T) {
	many := ""
	for _, n := range strings.Fields("a b c d e f g h") {
		many += "9.113.0.203.in-addr.arpa. PTR " + n + ".example.\n" + n + ".example. A 192.0.2.1\n"
	}
	c, server := newCheck(t, many)
	f := c.Run(t.Context(), policy.View{Client: netip.MustParseAddr("203.0.113.9")})
	if n := len(strings.Fields(f.Fact("names"))); f.Outcome != policy.Fail || n != 5 || server.Total() != 6 {
		t.Errorf("%s, %d names, %d queries", f.Outcome, n, server.Total())
	}
}

func TestDeadDNS(t *testing.T) {
	c, server := newCheck(t, zone)
	server.Close()
	if f := c.Run(t.Context(), policy.View{Client: netip.MustParseAddr("203.0.113.9")}); f.Outcome != policy.TempError {
		t.Errorf("%s", f.Outcome)
	}
}

func TestHostNames(t *testing.T) {
	for name, want := range map[string]bool{
		"mail.example": true, "MAIL-1.a_b.example": true, "localhost": true, "": false, "a..b": false, "a b": false, "<x>.example": false,
		"a\x1b[2J.example": false, strings.Repeat("a", 64) + ".example": false, strings.Repeat("a.", 127) + "b": false,
	} {
		if isHost(name) != want {
			t.Errorf("%q: not %v", name, want)
		}
	}
}

func newCheck(t *testing.T, zone string) (*Check, *dnstest.Server) {
	t.Helper()
	server := dnstest.Start(t, zone)
	r, err := resolver.New(resolver.Settings{Servers: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	return New(r), server
}

// sameNames compares names in any order, since the DNS has none.
func sameNames(a, b []string) bool {
	count := map[string]int{}
	for _, n := range a {
		count[n]++
	}
	for _, n := range b {
		count[n]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}
