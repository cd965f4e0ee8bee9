//go:build interop

package interop

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// unboundConfig is for a server that knows the names it is told and asks nobody else: all below the root is static.
const unboundConfig = `
server:
	interface: 127.0.0.1@%[1]s
	do-ip6: no
	do-daemonize: no
	username: ""
	chroot: ""
	directory: "%[2]s"
	pidfile: ""
	use-syslog: no
	do-not-query-localhost: no
	module-config: "iterator"
	infra-host-ttl: 1
	infra-cache-max-rtt: 1000
	infra-keep-probing: yes
	local-zone: "." static
%[3]s
remote-control:
	control-enable: no
%[4]s`

// zones is what an unbound is to serve.
type zones struct {
	data   []string          // records, as `elsewhere.test. A 192.0.2.25`
	names  map[string]string // of addresses, for PTR records
	asks   map[string]string // zones that another server has, and its address
	broken []string          // zones that end in SERVFAIL: nothing listens where they should be
	noTCP  bool
}

// nameserver is an unbound.
type nameserver struct {
	addr string
	*process
}

// startUnbound runs an unbound until the end of the test.
func startUnbound(t *testing.T, z zones) *nameserver {
	t.Helper()
	need(t, "unbound")
	dir := newDir(t, "unbound")
	ns := &nameserver{addr: "127.0.0.1:" + freePort(t)}
	write(t, dir+"/unbound.conf", fmt.Sprintf(unboundConfig, portOf(ns.addr), dir, z.local(), z.remote("127.0.0.1@"+freePort(t))))
	ns.process = start(t, exec.Command("unbound", "-d", "-c", dir+"/unbound.conf"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("unbound said:\n%s", ns.log)
		}
	})
	eventually(t, "unbound answers", func() bool {
		if !ns.alive() {
			t.Fatalf("unbound ended:\n%s", ns.log)
		}
		_, err := ns.ask("up.invalid")
		return err == nil || isNotFound(err)
	})
	return ns
}

// local is the part of the config that says what unbound knows itself.
func (z zones) local() string {
	var b strings.Builder
	for _, record := range z.data {
		fmt.Fprintf(&b, "\tlocal-data: '%s'\n", record)
	}
	for addr, name := range z.names {
		fmt.Fprintf(&b, "\tlocal-data-ptr: \"%s %s\"\n", addr, name)
	}
	for zone := range z.asks {
		fmt.Fprintf(&b, "\tlocal-zone: %q transparent\n", zone)
	}
	for _, zone := range z.broken {
		fmt.Fprintf(&b, "\tlocal-zone: %q transparent\n", zone)
	}
	if z.noTCP {
		b.WriteString("\tdo-tcp: no\n")
	}
	return b.String()
}

// remote is the part of the config that says whom unbound asks. It hears at once by TCP that a port is dead.
func (z zones) remote(dead string) string {
	var b strings.Builder
	for zone, addr := range z.asks {
		fmt.Fprintf(&b, "stub-zone:\n\tname: %q\n\tstub-addr: %s\n", zone, strings.Replace(addr, ":", "@", 1))
	}
	for _, zone := range z.broken {
		fmt.Fprintf(&b, "forward-zone:\n\tname: %q\n\tforward-addr: %s\n\tforward-tcp-upstream: yes\n", zone, dead)
	}
	return b.String()
}

// ask asks it for addresses, past gatepost.
func (ns *nameserver) ask(name string) ([]string, error) {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, ns.addr)
	}}
	return r.LookupHost(context.Background(), name+".")
}

func isNotFound(err error) bool {
	e, ok := err.(*net.DNSError)
	return ok && e.IsNotFound
}

// txt is a TXT record with a text of any length, in strings of at most 255 octets (RFC 1035 section 3.3).
func txt(name, text string) string {
	var b strings.Builder
	b.WriteString(name + ". TXT")
	for len(text) > 0 {
		n := min(len(text), 255)
		b.WriteString(` "` + text[:n] + `"`)
		text = text[n:]
	}
	return b.String()
}
