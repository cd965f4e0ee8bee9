//go:build interop

package interop

import (
	"fmt"
	"strings"
	"testing"

	"gatepost/internal/mailsink"
	"gatepost/policy"
)

// zoneTables are the settings for the lists.
const zoneTables = `
[check.dnsbl.zone."bl.test"]
[check.dnsbl.zone."six.test"]
[check.rhsbl.zone."names.test"]
[check.authorbl.zone."names.test"]
`

// startBackend runs a backend that takes everything, within the test itself.
func startBackend(t *testing.T) (*mailsink.Server, string) {
	t.Helper()
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
	addr, stop, err := mailsink.Listen(sink)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop() })
	return sink, addr
}

// senders of good and of bad name, all of whom exist.
func listedWorld() zones {
	return zones{data: []string{"mail.elsewhere.test. A 192.0.2.25", "elsewhere.test. MX 10 mail.elsewhere.test.",
		"www.spammer.test. MX 10 mail.elsewhere.test."}}
}

// A list is asked by way of unbound, as in real life; who is on it is refused at RCPT, or behind the content for its author.
func TestBlockLists(t *testing.T) {
	sink, backend := startBackend(t)
	ns := startRbldnsd(t, lists()).behind(t, lists(), listedWorld())
	p := startProxy(t, settings{backend: backend, policy: policyBy(ns, zoneTables)})
	good := func() mail { return newMail("amy@" + domain).by("elsewhere.test") }
	bad := func() mail { return newMail("amy@" + domain).by("www.spammer.test") }
	badAuthor := bad()
	badAuthor.from = badAuthor.id + "@elsewhere.test"
	for _, c := range []struct {
		name, client string
		mail         mail
		begins       string // of a refusal; "" where the mail is to pass
		by           string // the check that refuses
		outcomes     string
	}{
		{"on no list", goodClient, good(), "", "", "dnsbl=pass rhsbl=pass authorbl=pass"},
		{"a network", "203.0.113.9", good(), "5.7.1 203.0.113.9 is listed at bl.test; see postmaster@", "dnsbl", "dnsbl=listed"},
		{"an address", "198.51.100.7", good(), "5.7.1 198.51.100.7 is listed at bl.test;", "dnsbl", "dnsbl=listed"},
		{"its neighbour", "198.51.100.8", good(), "", "", "dnsbl=pass"},
		{"IPv6", "2001:db8:bad::9", good(), "5.7.1 2001:db8:bad::9 is listed at six.test;", "dnsbl", "dnsbl=listed"},
		{"IPv6 on no list", "2001:db8::9", good(), "", "", "dnsbl=pass"},
		{"the sender's domain", goodClient, bad(), "5.7.1 www.spammer.test is listed at names.test;", "rhsbl", "dnsbl=pass rhsbl=listed"},
		{"the author's domain", goodClient, badAuthor, "5.7.1 www.spammer.test is listed at names.test;", "authorbl", "rhsbl=pass authorbl=listed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := sink.Committed()
			if c.begins == "" {
				sameOutcomes(t, p.judged(t, c.client, c.mail, 250, ""), c.outcomes)
				before++
			} else {
				r := p.judged(t, c.client, c.mail, 550, c.begins)
				sameOutcomes(t, r, c.outcomes)
				decidedBy(t, r, c.by, policy.Rejected)
			}
			if n := sink.Committed(); n != before {
				t.Errorf("the backend has %d messages, want %d", n, before)
			}
		})
	}
}

// A list that has gone wrong lists nobody: it fails its own test entries, and is not asked.
func TestBrokenBlockLists(t *testing.T) {
	_, backend := startBackend(t)
	world := listedWorld()
	world.broken = []string{"silent.test"}
	ns := startRbldnsd(t, brokenLists()).behind(t, brokenLists(), world)
	zones := []string{"everything.test", "refuses.test", "foreign.test", "untested.test", "silent.test"}
	tables := ""
	for _, z := range zones {
		tables += fmt.Sprintf("[check.dnsbl.zone.%q]\n", z)
	}
	p := startProxy(t, settings{backend: backend, policy: policyBy(ns, tables)})
	r := p.judged(t, "203.0.113.9", newMail("amy@"+domain).by("elsewhere.test"), 250, "")
	sameOutcomes(t, r, "dnsbl=temperror")
	for _, z := range zones {
		if p.log.count(`msg="block list is out of service" zone=`+z+" ") != 1 {
			t.Errorf("the log does not tell once that %s is out of service:\n%s", z, p.log)
		}
	}
}

// rbldnsd dies: its list is silent, and refuses nobody. It comes back: so does the list.
func TestBlockListDies(t *testing.T) {
	_, backend := startBackend(t)
	l := startRbldnsd(t, lists())
	ns := l.behind(t, lists(), listedWorld())
	p := startProxy(t, settings{backend: backend, policy: policyBy(ns, zoneTables)})
	new := func() mail { return newMail("amy@" + domain).by("elsewhere.test") }
	p.judged(t, "203.0.113.9", new(), 550, "5.7.1 203.0.113.9 is listed at bl.test;")
	l.kill()
	r := p.judged(t, "203.0.113.10", new(), 250, "")
	sameOutcomes(t, r, "dnsbl=temperror")
	if f := finding(t, r, "dnsbl"); !strings.HasPrefix(f.Fact("silent"), "bl.test ") {
		t.Errorf("the record does not say who was silent: %v", f.Facts)
	}
	l.launch(t)
	ns.reaches(t, l, "12.113.0.203.bl.test")
	p.judged(t, "203.0.113.11", new(), 550, "5.7.1 203.0.113.11 is listed at bl.test;")
}

// What swaks prints of a refusal holds the ref, and by the ref the journal tells the whole story.
func TestRefusalIsExplained(t *testing.T) {
	need(t, "swaks")
	s := startPostfix(t)
	ns := startRbldnsd(t, lists()).behind(t, lists(), listedWorld())
	p := startProxy(t, settings{backend: s.addr, clientIP: "xclient", policy: policyBy(ns, zoneTables)})
	m := newMail("amy@" + domain)
	out, err := attempt(nil, "swaks", swaks("--xclient-addr", "203.0.113.9").args(p, m, m.file(t))...)
	_, words, found := strings.Cut(string(out), "<** 550 ")
	words, ref, hasRef := strings.Cut(words, " [")
	ref, _, _ = strings.Cut(ref, "]")
	if err == nil || !found || !hasRef || words != "5.7.1 203.0.113.9 is listed at bl.test; see postmaster@"+domain {
		t.Fatalf("swaks: %v\n%s", err, out)
	}
	r := p.record(t, "the ref "+ref, func(r policy.Record) bool { return r.Ref == ref })
	decidedBy(t, r, "dnsbl", policy.Rejected)
	got := r.Recipients[0]
	line := "gatepost.toml:" + lineOf(readFile(t, p.config), "[check.dnsbl")
	if got.Reply != (policy.Reply{Code: 550, Text: words}) || !strings.HasSuffix(got.Where, line) {
		t.Errorf("the journal says %q, set in %q; want %q in %s", got.Reply.Text, got.Where, words, line)
	}
	f := finding(t, r, "dnsbl")
	if f.Fact("zone") != "bl.test 127.0.0.2 weight 5" || f.Fact("txt") != "Listed, see https://bl.test/?203.0.113.9" {
		t.Errorf("the evidence is %v", f.Facts)
	}
	if r.Client.String() != "203.0.113.9" || *r.Sender != m.from || got.Address != m.to[0] {
		t.Errorf("the record is of %v, from %s to %s", r.Client, *r.Sender, got.Address)
	}
	s.settled(t) // Postfix has nothing
}
