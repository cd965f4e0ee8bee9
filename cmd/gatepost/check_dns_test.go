package main

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"gatepost/checks"
	"gatepost/config"
	"gatepost/internal/dnstest"
)

// goodZone is the DNS of an admin who has done all that there is to do.
const goodZone = `
$ORIGIN example.com.
mx    A 192.0.2.25
mx    AAAA 2001:db8::25
$ORIGIN 2.0.192.in-addr.arpa.
25    PTR mx.example.com.
$ORIGIN 8.b.d.0.1.0.0.2.ip6.arpa.
5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 PTR MX.example.com.
$ORIGIN bl.example.
2.0.0.127 A 127.0.0.2
$ORIGIN names.example.
test      A 127.0.0.2
$ORIGIN public.example.
2.0.0.127 A 127.255.255.254
$ORIGIN all.example.
*         A 127.0.0.2
`

const (
	fineServer = "ok   dns: 127.0.0.1:"
	fineName   = "ok   hostname: mx.example.com leads to 192.0.2.25, and back"
)

// TestCheckDNS is told as TestCheckBackend is: all that is not ok, in order, and some of what is.
func TestCheckDNS(t *testing.T) {
	for _, c := range []struct {
		name, zone, more string // more: of the config
		fault            func(*dnstest.Server)
		want             []string
	}{
		{"all is right", goodZone, "[check.dnsbl.zone.\"bl.example\"]\n[check.rhsbl.zone.\"names.example\"]\n[check.authorbl.zone.\"names.example\"]", nil,
			[]string{fineServer, fineName, "ok   hostname: mx.example.com leads to 2001:db8::25, and back",
				"ok   check.dnsbl: bl.example is in service", "ok   check.rhsbl: names.example is in service", "ok   check.authorbl: names.example"}},
		{"no answer", goodZone, "[check.dnsbl.zone.\"bl.example\"]", func(s *dnstest.Server) { s.Drop("", -1) },
			[]string{"FAIL dns: 127.0.0.1:"}},
		{"a server that fails", goodZone, "", func(s *dnstest.Server) { s.ServFail("") }, []string{"FAIL dns: 127.0.0.1:"}},
		{"one that refuses us", goodZone, "", func(s *dnstest.Server) { s.Refuse("") }, []string{"FAIL dns: 127.0.0.1:"}},
		{"no address", strings.ReplaceAll(goodZone, "mx  ", "my  "), "", nil, []string{fineServer, "warn hostname: mx.example.com has no address"}},
		{"no reverse DNS", strings.ReplaceAll(goodZone, "25    PTR", "26    PTR"), "", nil,
			[]string{"warn hostname: mx.example.com leads to 192.0.2.25, which has no reverse", "ok   hostname: mx.example.com leads to 2001:db8::25"}},
		{"of another name", strings.ReplaceAll(goodZone, "PTR mx", "PTR host25"), "", nil,
			[]string{"warn hostname: mx.example.com leads to 192.0.2.25, whose reverse DNS name is host25.example.com"}},
		{"reverse DNS that fails", goodZone, "", func(s *dnstest.Server) { s.ServFail("25.2.0.192.in-addr.arpa") },
			[]string{"warn hostname: the reverse DNS of 192.0.2.25 cannot be looked up: SERVFAIL"}},
		{"a list that refuses public resolvers", goodZone, "[check.dnsbl.zone.\"public.example\"]", nil,
			[]string{fineName, "FAIL check.dnsbl: public.example refuses our queries (127.255.255.254): a public resolver"}},
		{"a list that is gone", goodZone, "[check.dnsbl.zone.\"gone.example\"]\n[check.dnsbl.zone.\"bl.example\"]", nil,
			[]string{"FAIL check.dnsbl: gone.example does not list the test entry 127.0.0.2", "ok   check.dnsbl: bl.example is in service"}},
		{"a list of everything", goodZone, "[check.dnsbl.zone.\"all.example\"]", nil,
			[]string{"FAIL check.dnsbl: all.example lists 127.0.0.1"}},
		{"a list that fails", goodZone, "[check.dnsbl.zone.\"bl.example\"]", func(s *dnstest.Server) { s.ServFail("2.0.0.127.bl.example") },
			[]string{"FAIL check.dnsbl: bl.example cannot be looked up"}},
		{"a list by a key that nobody is to see", goodZone, "[check.dnsbl.zone.\"secret.all.example\"]\nshow = \"all.example\"", nil,
			[]string{"FAIL check.dnsbl: all.example lists 127.0.0.1"}},
		{"a check that is off", goodZone, "[check.dnsbl]\nmode = \"off\"\n[check.dnsbl.zone.\"gone.example\"]", nil, []string{fineServer}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := dnstest.Start(t, c.zone)
			if c.fault != nil {
				c.fault(s)
			}
			got := dnsReport(t, c.more, s.Addr())
			compare(t, got, c.want)
			if strings.Contains(got, "secret") {
				t.Errorf("a secret is told:\n%s", got)
			}
		})
	}
}

// dnsReport is the report on DNS servers and what is in them.
func dnsReport(t *testing.T, more string, servers ...string) string {
	t.Helper()
	c := parseLines(t, fmt.Sprintf("[dns]\nservers = [\"%s\"]\ntimeout = \"300ms\"\n%s\n", strings.Join(servers, `", "`), more))
	var out bytes.Buffer
	checkDNS(t.Context(), &report{out: &out}, c)
	return out.String()
}

// parseLines is a small config with some more lines.
func parseLines(t *testing.T, more string) *config.Config {
	t.Helper()
	text := "hostname = \"mx.example.com\"\n[backend.main]\naddress = [\"127.0.0.1:9\"]\ndomains = [\"example.com\"]\n" + more
	c, err := config.Parse("gatepost.toml", []byte(text), checks.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCheckDNSNobody asks where nobody listens; that is told at once.
func TestCheckDNSNobody(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := conn.LocalAddr().String()
	conn.Close()
	compare(t, dnsReport(t, "", addr), []string{"FAIL dns: " + addr + " does not answer as a DNS server"})
}

// TestCheckDNSOneOfTwo has one server that is there, so the rest can be looked at.
func TestCheckDNSOneOfTwo(t *testing.T) {
	good, bad := dnstest.Start(t, goodZone), dnstest.Start(t, goodZone)
	bad.Refuse("")
	compare(t, dnsReport(t, "", bad.Addr(), good.Addr()), []string{fineName, "FAIL dns: " + bad.Addr() + " does not answer as a DNS server: REFUSED"})
}

func TestCheckPolicy(t *testing.T) {
	for _, c := range []struct{ name, more, want string }{
		{"the default", "", ""},
		{"alone", `[policy]` + "\n" + `checks = ["dmarc"]`, "warn check.dmarc: dmarc runs without spf and dkim: "},
		{"without spf", `[policy]` + "\n" + `checks = ["dkim", "dmarc"]`, "warn check.dmarc: dmarc runs without spf: "},
		{"dkim is off", "[check.dkim]\nmode = \"off\"", "warn check.dmarc: dmarc runs without dkim: "},
		{"dkim watches", "[check.dkim]\nmode = \"monitor\"", ""},
		{"dmarc is off", "[check.dmarc]\nmode = \"off\"\n[check.spf]\nmode = \"off\"", ""},
		{"no dmarc", `[policy]` + "\n" + `checks = ["spf"]`, ""},
	} {
		var out bytes.Buffer
		checkPolicy(&report{out: &out}, parseLines(t, c.more), time.Now())
		if got := out.String(); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
