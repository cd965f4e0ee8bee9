//go:build interop

package interop

import (
	"fmt"
	"strings"
	"testing"

	"gatepost/policy"
)

// world is what the DNS says of the senders; record is the DKIM key of all.
func world(record string) zones {
	z := zones{
		data:  []string{"mail.elsewhere.test. A 192.0.2.25", "other.test. A 192.0.2.1", "nomail.test. MX 0 ."},
		names: map[string]string{goodClient: "mail.elsewhere.test", strangeClient: "other.test"},
		// One who cannot be asked for its key, one for its DMARC policy, one for anything.
		broken: []string{"_domainkey.keyless.test", "_dmarc.mute.test", "broken.test"},
	}
	for _, d := range []struct{ name, spf, dmarc string }{
		{"elsewhere.test", "v=spf1 ip4:192.0.2.25 ?all", "v=DMARC1; p=reject"},
		{"strict.test", "v=spf1 ip4:192.0.2.25 -all", "v=DMARC1; p=reject"},
		{"soft.test", "v=spf1 ip4:192.0.2.25 ?all", "v=DMARC1; p=quarantine"},
		{"calm.test", "v=spf1 ip4:192.0.2.25 ?all", "v=DMARC1; p=none"},
		{"long.test", longSPF(), "v=DMARC1; p=reject"},
		{"keyless.test", "v=spf1 ?all", "v=DMARC1; p=reject"},
		{"mute.test", "v=spf1 ?all", ""},
	} {
		z.data = append(z.data, d.name+". MX 10 mail.elsewhere.test.", txt(d.name, d.spf))
		if d.dmarc != "" {
			z.data = append(z.data, txt("_dmarc."+d.name, d.dmarc))
		}
		if d.name != "keyless.test" {
			z.data = append(z.data, txt("sel._domainkey."+d.name, record))
		}
	}
	return z
}

// longSPF is a record that no datagram of 1232 octets holds; the term that counts stands at its end.
func longSPF() string {
	var b strings.Builder
	b.WriteString("v=spf1")
	for i := range 150 {
		fmt.Fprintf(&b, " ip4:198.51.100.%d", i)
	}
	return b.String() + " ip4:192.0.2.25 -all"
}

// Real keys, records and signatures on one side, what a real mailbox has on the other.
func TestAuthors(t *testing.T) {
	need(t, "opendkim-testmsg", python)
	s := startPostfix(t)
	keyFile, record := dkimKey(t)
	p := startProxy(t, settings{backend: s.addr, clientIP: "xclient", policy: policyBy(startUnbound(t, world(record)), "")})
	new := func(of string) mail { return newMail("amy@" + domain).by(of) }
	signed := func(of string, by signer) mail {
		m := new(of)
		m.content = by(t, of, m.content, keyFile)
		return m
	}
	for _, c := range []struct {
		name, client string
		mail         mail
		code         int
		begins       string // of the reply
		by           string // the check that decided, if one did
		outcomes     string
	}{
		{"signed", strangeClient, signed("elsewhere.test", signByPython), 250, "", "", "spf=neutral dkim=pass dmarc=pass"},
		{"signed with SHA-1", strangeClient, signed("elsewhere.test", sign), // RFC 8301 section 3.1: that proves nothing
			550, "5.7.1 Neither SPF nor DKIM proves", "dmarc", "dkim=permerror dmarc=fail-reject"},
		{"SPF alone", goodClient, new("strict.test"), 250, "", "", "rdns=pass spf=pass dkim=none dmarc=pass"},
		{"SPF by TCP", goodClient, new("long.test"), 250, "", "", "spf=pass dmarc=pass"},
		{"SPF by TCP says no", strangeClient, new("long.test"), 550, "5.7.23 ", "spf", "spf=fail"},
		{"SPF says no", strangeClient, new("strict.test"), 550, "5.7.23 ", "spf", "rdns=fail spf=fail"},
		{"changed behind the signature", strangeClient, signed("elsewhere.test", signByPython).changed(),
			550, "5.7.1 Neither SPF nor DKIM proves", "dmarc", "dkim=fail dmarc=fail-reject"},
		{"the same, and SPF passes", goodClient, signed("elsewhere.test", signByPython).changed(), 250, "", "", "dkim=fail spf=pass dmarc=pass"},
		{"changed by a list", strangeClient, signed("elsewhere.test", signByPython).changed().onTop("List-Id: <talk.list.test>"),
			250, "", "dmarc", "dkim=fail dmarc=fail-reject-indirect"},
		{"quarantine", strangeClient, new("soft.test"), 250, "", "dmarc", "dmarc=fail-quarantine"},
		{"a policy of none", strangeClient, new("calm.test"), 250, "", "", "dmarc=fail-none"},
		{"a domain that takes no mail", goodClient, new("nomail.test"), 550, "5.7.27 ", "senderdomain", "senderdomain=null-mx"},
		{"no such domain", goodClient, new("nowhere.test"), 550, "5.1.8 ", "senderdomain", "senderdomain=nonexistent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := p.judged(t, c.client, c.mail, c.code, c.begins)
			sameOutcomes(t, r, c.outcomes)
			if c.code == 550 {
				decidedBy(t, r, c.by, policy.Rejected)
				return
			}
			if t.Failed() {
				return // it may never come
			}
			arrived(t, s, c.mail, r, c.by)
		})
	}
	s.settled(t)
}

// arrived demands that a message is there, and that its header says what the record does; by is the check that tagged it, if one did.
func arrived(t *testing.T, s *server, m mail, r policy.Record, by string) {
	t.Helper()
	s.expectMail(m)
	header, _, _ := strings.Cut(s.letterOf(t, "amy", m.id), "\n\n")
	told(t, header, r)
	tagged(t, header, r, by)
}

// told demands that our Authentication-Results, on top, say what the checks found.
func told(t *testing.T, header string, r policy.Record) {
	t.Helper()
	_, ours, found := strings.Cut(header, "\nAuthentication-Results: "+hostname+";")
	if !found {
		t.Fatalf("no Authentication-Results of ours in\n%s", header)
	}
	for _, f := range r.Findings {
		for _, a := range f.Auth {
			if want := "\n\t" + a.Method + "=" + a.Result; !strings.Contains(ours, want) {
				t.Errorf("Authentication-Results has no %q:\n%s", want, ours)
			}
		}
	}
}

// tagged demands the tag with its reason where a check wanted one, and none elsewhere.
func tagged(t *testing.T, header string, r policy.Record, by string) {
	t.Helper()
	if by != "" {
		decidedBy(t, r, by, policy.Tagged)
	}
	want := by != ""
	if got := strings.Contains(header, "\nX-Spam: Yes\nX-Spam-Reason: "+by); got != want {
		t.Errorf("tagged: %v, want %v\n%s", got, want, header)
	}
}

// signer puts a DKIM signature of a domain on top of a message.
type signer func(t *testing.T, domain string, content []byte, keyFile string) []byte

// signByPython is sign by another library, with the other canonicalization.
func signByPython(t *testing.T, domain string, content []byte, keyFile string) []byte {
	t.Helper()
	const script = `
import dkim, sys
content = sys.stdin.buffer.read()
key = open(sys.argv[2], "rb").read()
sys.stdout.buffer.write(dkim.sign(content, b"sel", sys.argv[1].encode(), key, canonicalize=(b"relaxed", b"relaxed")) + content)
`
	return run(t, content, python, "-c", script, domain, keyFile)
}
