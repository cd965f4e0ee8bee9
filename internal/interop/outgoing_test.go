//go:build interop

package interop

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

const openDKIMConfig = `
Background no
Syslog no
Mode s
Socket inet:%s@127.0.0.1
Domain elsewhere.test
Selector sel
KeyFile %s
SignatureAlgorithm rsa-sha256
Canonicalization relaxed/simple
InternalHosts 127.0.0.1
RequireSafeKeys no
`

// startOpenDKIM runs a milter that signs for elsewhere.test, until the end of the test.
func startOpenDKIM(t *testing.T, keyFile string) (addr string) {
	t.Helper()
	need(t, "opendkim")
	addr = "127.0.0.1:" + freePort(t)
	config := newDir(t, "opendkim") + "/opendkim.conf"
	write(t, config, fmt.Sprintf(openDKIMConfig, portOf(addr), keyFile))
	p := start(t, exec.Command("opendkim", "-f", "-x", config))
	eventually(t, "OpenDKIM listens", func() bool {
		if !p.alive() {
			t.Fatalf("OpenDKIM ended:\n%s", p.log)
		}
		return listening(addr)
	})
	return addr
}

// outgoingMain turns a Postfix into one that signs what it is given and sends all of it to gatepost.
const outgoingMain = `
virtual_mailbox_domains =
default_transport = smtp
relayhost = [127.0.0.1]:%s
smtp_tls_security_level = may
smtpd_milters = inet:%s
milter_default_action = tempfail
`

// A whole way of a mail: swaks, a Postfix that signs with OpenDKIM, gatepost, a Postfix with the mailbox.
func TestSignedByAnotherServer(t *testing.T) {
	need(t, "swaks")
	in := startPostfix(t)
	keyFile, record := dkimKey(t)
	p := startProxy(t, settings{backend: in.addr, clientIP: "xclient", policy: policyBy(startUnbound(t, world(record)), "")})
	out := startPostfixWith(t, fmt.Sprintf(outgoingMain, portOf(p.addr), startOpenDKIM(t, keyFile)))
	m := newMail("amy@" + domain).by("elsewhere.test")
	swaks().deliver(t, &proxy{addr: out.addr}, in, m)
	got := in.letterOf(t, "amy", m.id)
	sameOutcomes(t, p.recordOf(t, m), "spf=neutral dkim=pass dmarc=pass")
	for _, want := range []string{"\n\tdkim=pass (2048-bit key) header.d=elsewhere.test", "\n\tdmarc=pass header.from=elsewhere.test", "with ESMTPS id "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	eventually(t, "the queue is empty", func() bool { return out.idle(t) })
	in.settled(t)
}
