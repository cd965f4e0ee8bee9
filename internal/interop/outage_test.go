//go:build interop

package interop

import (
	"strings"
	"syscall"
	"testing"

	"gatepost/policy"
)

// notJudged brings a message that a working DNS would have refused or tagged, and demands that it passes as if the checks were
// not there, with what they came to in the record: outcomes, as "spf=temperror".
func notJudged(t *testing.T, p *proxy, client string, m mail, outcomes string) policy.Record {
	t.Helper()
	r := p.judged(t, client, m, 250, "")
	sameOutcomes(t, r, outcomes)
	for _, to := range r.Recipients {
		if to.Verdict != policy.Accepted || to.Would != policy.None {
			t.Errorf("%s: %s, would %s by %s", to.Address, to.Verdict, to.Would, to.WouldBy)
		}
	}
	return r
}

// dark is what the checks find when the DNS says nothing at all.
const dark = "rdns=temperror dnsbl=temperror helo=temperror rhsbl=temperror spf=temperror senderdomain=temperror dkim=temperror " +
	"dmarc=temperror authorbl=temperror"

// The DNS fails in all the ways it has. Mail is never refused for good because of that (promise 5).
func TestPartOfTheDNSFails(t *testing.T) {
	need(t, python)
	keyFile, record := dkimKey(t)
	sink, backend := startBackend(t)
	p := startProxy(t, settings{backend: backend, policy: policyBy(startUnbound(t, world(record)), "")})
	new := func(of string) mail { return newMail("amy@" + domain).by(of) }
	signed := new("keyless.test")
	signed.content = signByPython(t, "keyless.test", signed.content, keyFile)
	for _, c := range []struct {
		name     string
		mail     mail
		outcomes string
	}{
		{"SERVFAIL for all of a domain", new("broken.test"), "spf=temperror senderdomain=temperror dkim=none dmarc=temperror"},
		{"SERVFAIL for a DKIM key", signed, "spf=neutral dkim=temperror dmarc=temperror"},
		{"SERVFAIL for a DMARC policy", new("mute.test"), "spf=neutral dkim=none dmarc=temperror"},
	} {
		t.Run(c.name, func(t *testing.T) { notJudged(t, p, strangeClient, c.mail, c.outcomes) })
	}
	t.Run("the record says SERVFAIL", func(t *testing.T) {
		r := notJudged(t, p, strangeClient, new("www.broken.test"), "senderdomain=temperror")
		if e := finding(t, r, "senderdomain").Fact("error"); !strings.Contains(e, "SERVFAIL") {
			t.Errorf("the error is %q", e)
		}
	})
	t.Run("a record that can be read still counts", func(t *testing.T) {
		p.judged(t, strangeClient, new("strict.test"), 550, "5.7.23 ")
	})
	if n := sink.Committed(); n != 4 {
		t.Errorf("the backend has %d messages, want 4", n)
	}
}

// An answer is too long for a datagram, and the server takes no TCP.
func TestCutOffWithoutTCP(t *testing.T) {
	z := world("v=DKIM1; p=")
	z.noTCP = true
	_, backend := startBackend(t)
	p := startProxy(t, settings{backend: backend, policy: policyBy(startUnbound(t, z), "")})
	notJudged(t, p, strangeClient, newMail("amy@"+domain).by("long.test"), "spf=temperror dkim=none dmarc=temperror")
}

// The one server that gatepost asks is silent, comes back, and dies.
func TestNoDNS(t *testing.T) {
	need(t, python)
	keyFile, record := dkimKey(t)
	ns := startUnbound(t, world(record))
	_, backend := startBackend(t)
	p := startProxy(t, settings{backend: backend, policy: policyBy(ns, zoneTables)})
	forged := func() mail { // with a signature, so that each check has something to ask
		m := newMail("amy@" + domain).by("strict.test")
		m.content = signByPython(t, "strict.test", m.content, keyFile)
		return m.changed()
	}
	stopped := func(t *testing.T) {
		ns.signal(t, syscall.SIGSTOP)
		notJudged(t, p, "203.0.113.9", forged(), dark)
	}
	t.Run("silent", stopped)
	t.Run("back", func(t *testing.T) {
		ns.signal(t, syscall.SIGCONT)
		eventually(t, "SPF refuses again", func() bool {
			code, text, _ := p.offer(t, strangeClient, forged())
			return code == 550 && strings.HasPrefix(text, "5.7.23 ")
		})
	})
	t.Run("dead", func(t *testing.T) {
		ns.kill()
		m := newMail("amy@" + domain).by("soft.test") // nothing of it is in the cache
		notJudged(t, p, "198.51.100.7", m, "rdns=temperror dnsbl=temperror spf=temperror senderdomain=temperror dmarc=temperror")
	})
}

// Who would rather wait than take mail unseen says so, and the refusal is one for now.
func TestDeferWhereTheDNSFails(t *testing.T) {
	_, backend := startBackend(t)
	tables := "[check.spf]\non = { temperror = \"defer\" }\n"
	p := startProxy(t, settings{backend: backend, policy: policyBy(startUnbound(t, world("v=DKIM1; p=")), tables)})
	r := p.judged(t, strangeClient, newMail("amy@"+domain).by("broken.test"), 451, "4.7.24 ")
	decidedBy(t, r, "spf", policy.Deferred)
}
