//go:build interop

package interop

import (
	"strings"
	"testing"

	"gatepost/internal/mailsink"
)

// detours are spellings by which a server may be talked into sending mail elsewhere; us is a domain of the backend.
func detours(us string) []string {
	return []string{
		"u@victim.test", "u%victim.test@" + us, "u@victim.test@" + us, `"u@victim.test"`, `"u@victim.test"@` + us,
		"@" + us + ":u@victim.test", "@" + us + ",@victim.test:u@" + us + ".victim.test", "victim.test!u", "victim.test!u@" + us,
		`"victim.test!u"@` + us, `"u%victim.test"@` + us, `u\@victim.test@` + us, "u%victim.test@[127.0.0.1]", "u@[127.0.0.1]", "u@[192.0.2.1]",
		"u@[IPv6:::1]", "u@127.0.0.1", "u%victim.test", "u", "", "u@", "@victim.test", "u@" + us + ".", "u@." + us, "u@x" + us,
		"u@victim.test%" + us, "u@" + us + "\x00.victim.test", "u@victim.test\x00@" + us, "u@localhost", "u%victim.test@localhost",
		"u%[192.0.2.1]@" + us, "u@" + us + "@victim.test", `"u"@victim.test`, `"u\@victim.test"@` + us, "postmaster@victim.test",
		"u@victim.test>,<amy@" + us, "u@１２７.0.0.1", "u@victim。test",
	}
}

// None of them may pass, and the backend must not even hear of them.
func TestNeverARelay(t *testing.T) {
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()} // takes every recipient there is
	addr, stop, err := mailsink.Listen(sink)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	p := startProxy(t, settings{backend: addr, clientIP: "xclient"})
	for _, from := range []string{"", "a@" + domain, "a@localhost", "a@elsewhere.test"} {
		for _, to := range detours(domain) {
			refusedRecipient(t, p, from, to)
		}
	}
	for _, line := range sink.Log() {
		if strings.Contains(line, " C: MAIL") || strings.Contains(line, " C: RCPT") {
			t.Errorf("the backend heard %q", line)
		}
	}
	// What belongs here still passes, or the test above would prove nothing.
	sendFrom(t, p.addr, "", "EHLO client.test", newMail("amy@"+domain, "postmaster"))
	if n := sink.Committed(); n != 1 {
		t.Errorf("%d messages came through, want 1", n)
	}
}

func refusedRecipient(t *testing.T, p *proxy, from, to string) {
	t.Helper()
	c := connect(t, p.addr, "")
	defer c.close()
	c.must(t, "EHLO client.test", 250)
	c.must(t, "MAIL FROM:<"+from+">", 250)
	code, text, err := c.say("RCPT TO:<" + to + ">")
	if err != nil || code/100 != 5 {
		t.Errorf("from <%s> to <%s>: %d %s (%v)", from, to, code, text, err)
	}
	if code, text, err = c.say("DATA"); err == nil && code/100 != 5 {
		t.Errorf("from <%s> to <%s>: DATA was answered %d %s", from, to, code, text)
	}
}

// The same through swaks, before a Postfix that would relay for anyone on this machine.
func TestRelayIsRefusedBeforePostfix(t *testing.T) {
	need(t, "swaks")
	s := startPostfix(t)
	p := startProxy(t, settings{backend: s.addr, clientIP: "xclient"})
	m := newMail("u@victim.test")
	args := swaks().args(p, m, m.file(t))
	if out, err := attempt(nil, "swaks", args...); err == nil || !strings.Contains(string(out), "<** 550 5.7.1 Relaying denied") {
		t.Errorf("swaks: %v\n%s", err, out)
	}
	if log := readFile(t, s.log); strings.Contains(log, "victim.test") {
		t.Errorf("Postfix heard of it:\n%s", log)
	}
	s.settled(t)
}
