//go:build interop

package interop

import (
	"regexp"
	"strings"
	"testing"
)

// Postfix must see the sender as it would without a proxy: in its log, and in the Received field it writes.
func TestClientAddress(t *testing.T) {
	s := startPostfix(t)
	for _, way := range []settings{
		{backend: s.addr, clientIP: "xclient"},
		{backend: s.proxyAddr, clientIP: "proxy-v2"},
	} {
		t.Run(way.clientIP, func(t *testing.T) {
			p := startProxy(t, way)
			for _, c := range []struct{ addr, hello, helo, proto string }{
				{"127.0.0.2", "EHLO", "two.client.test", "ESMTP"},
				{"127.0.0.3", "EHLO", "[127.0.0.3]", "ESMTP"},
				{"127.0.0.4", "HELO", "four.client.test", "SMTP"},
			} {
				t.Run(c.hello+" "+c.helo, func(t *testing.T) {
					m := newMail("amy@" + domain)
					sendFrom(t, p.addr, c.addr, c.hello+" "+c.helo, m)
					s.expectMail(m)
					seenAs(t, s, m, c.addr, c.helo)
					if got := s.letterOf(t, "amy", m.id); !strings.Contains(got, "(gatepost) with "+c.proto+" id ") {
						t.Errorf("our Received has not %s:\n%s", c.proto, got)
					}
				})
			}
		})
	}
	t.Run("curl --interface", func(t *testing.T) {
		p := startProxy(t, settings{backend: s.addr, clientIP: "xclient"})
		m := newMail("amy@" + domain)
		curl("smtp", "--interface", "127.0.0.9").deliver(t, p, s, m)
		seenAs(t, s, m, "127.0.0.9", "client.test")
	})
	s.settled(t)
}

// sendFrom sends a message from an address of loopback.
func sendFrom(t *testing.T, addr, client, hello string, m mail) {
	t.Helper()
	c := connect(t, addr, client)
	c.must(t, hello, 250)
	if code, text, err := c.send(m); err != nil || code != 250 {
		t.Fatalf("%d %s (%v)", code, text, err)
	}
	c.must(t, "QUIT", 221)
}

// seenAs looks at what Postfix made of the client. The protocol that it writes is the one of its last greeting, whatever
// XCLIENT said of PROTO before: EHLO, which gatepost needs for the extensions.
func seenAs(t *testing.T, s *server, m mail, addr, helo string) {
	t.Helper()
	text := s.letterOf(t, "amy", m.id)
	wantReceived := "Received: from " + helo + " (unknown [" + addr + "])\n\tby mail.interop.test (Postfix) with ESMTP id "
	_, received, found := strings.Cut(text, wantReceived)
	if !found {
		t.Fatalf("no %q in\n%s", wantReceived, text)
	}
	queueID := regexp.MustCompile(`^[0-9A-F]+`).FindString(received)
	if want := queueID + ": client=unknown[" + addr + "]"; !strings.Contains(readFile(t, s.log), want) {
		t.Errorf("Postfix's log has no %q", want)
	}
}
