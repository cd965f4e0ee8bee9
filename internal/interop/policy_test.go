//go:build interop

package interop

import (
	"fmt"
	"strings"
	"testing"

	"gatepost/policy"
)

// allChecks are those that look at a stranger's mail and put nobody off.
const allChecks = `["rdns", "dnsbl", "helo", "rhsbl", "spf", "senderdomain", "size", "headers", "dkim", "dmarc", "authorbl"]`

// policyBy is the TOML of a policy that asks this server, with more tables behind. Patience with the DNS is short, so that
// a silent one does not make a test long.
func policyBy(ns *nameserver, more string) string {
	return fmt.Sprintf("[dns]\nservers = [%q]\ntimeout = \"300ms\"\n[policy]\nchecks = %s\n%s", ns.addr, allChecks, more)
}

// The clients that the tests play: one that may send for most domains, one that may for none.
const (
	goodClient    = "192.0.2.25"
	strangeClient = "192.0.2.66"
)

// offer brings a message as a client that XCLIENT tells of; it gives the last reply and the journal's record.
func (p *proxy) offer(t *testing.T, client string, m mail) (code int, text string, r policy.Record) {
	t.Helper()
	c := connect(t, p.addr, "")
	c.must(t, "EHLO balancer.test", 250)
	if strings.Contains(client, ":") {
		client = "IPV6:" + client
	}
	c.must(t, "XCLIENT ADDR="+client, 220)
	c.must(t, "EHLO mail.elsewhere.test", 250)
	code, text, err := c.send(m)
	if err != nil {
		t.Fatal(err)
	}
	c.must(t, "QUIT", 221)
	return code, text, p.recordOf(t, m)
}

// judged is offer where the reply is known: its code and how its text begins. A refusal must say the ref by which the journal
// has it, and the journal must say the same words.
func (p *proxy) judged(t *testing.T, client string, m mail, code int, begins string) policy.Record {
	t.Helper()
	got, text, r := p.offer(t, client, m)
	if got != code || !strings.HasPrefix(text, begins) {
		t.Errorf("%d %s\nwant %d %s", got, text, code, begins)
	}
	if got/100 == 2 {
		return r
	}
	words, ref, _ := strings.Cut(text, " [")
	if ref != r.Ref+"]" {
		t.Errorf("the reply %q has not the ref %s of the record", text, r.Ref)
	}
	if len(r.Recipients) != 1 || r.Recipients[0].Reply != (policy.Reply{Code: got, Text: words}) {
		t.Errorf("the sender heard %d %s\nthe journal has %+v", got, words, r.Recipients)
	}
	return r
}

// decidedBy looks at who decided, and that a line of the config is named for it.
func decidedBy(t *testing.T, r policy.Record, check string, v policy.Verdict) {
	t.Helper()
	if len(r.Recipients) != 1 {
		t.Fatalf("the record has %d recipients", len(r.Recipients))
	}
	got := r.Recipients[0]
	if got.By != check || got.Verdict != v || !strings.Contains(got.Where, "gatepost.toml:") {
		t.Errorf("%s by %q, set in %q; want %s by %q, set in a line of gatepost.toml", got.Verdict, got.By, got.Where, v, check)
	}
}
