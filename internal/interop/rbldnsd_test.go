//go:build interop

package interop

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// dataset is one zone of an rbldnsd, or a part of it.
type dataset struct{ zone, kind, lines string }

// lists are the block lists of the tests: addresses, addresses of IPv6, names.
func lists() []dataset {
	return []dataset{
		// RFC 5782 section 5: a list of addresses has 127.0.0.2 in it, one of IPv6 the same address mapped, one of names TEST.
		{"bl.test", "ip4set", ":127.0.0.2:Listed, see https://bl.test/?$\n127.0.0.2\n203.0.113.0/24\n198.51.100.7 :127.0.0.4:Taken over: $\n"},
		{"six.test", "ip6trie", ":127.0.0.2:Listed: $\n0:0:0:0:0:ffff:7f00:2/128\n2001:db8:bad::/48\n"},
		{"names.test", "dnset", ":127.0.0.2:A spammer's: $\ntest\n.spammer.test\n"},
	}
}

// brokenLists are lists that have gone wrong, each in the way that its name tells; they all seem to list the test's clients.
func brokenLists() []dataset {
	const clients = "127.0.0.2\n203.0.113.0/24\n"
	return []dataset{
		{"everything.test", "ip4set", ":127.0.0.2:\n127.0.0.0/8\n203.0.113.0/24\n"},
		{"refuses.test", "acl", "127.0.0.0/8 :127.255.255.254:Error: open resolver\n"},
		{"refuses.test", "ip4set", ":127.0.0.2:\n" + clients},
		{"foreign.test", "ip4set", ":192.0.2.1:\n" + clients}, // as a domain does that is for sale
		{"untested.test", "ip4set", ":127.0.0.2:\n203.0.113.0/24\n"},
	}
}

// blockLists is an rbldnsd.
type blockLists struct {
	addr string
	args []string
	*process
}

// startRbldnsd serves these zones until the end of the test.
func startRbldnsd(t *testing.T, sets []dataset) *blockLists {
	t.Helper()
	need(t, "rbldnsd")
	dir := newDir(t, "rbldnsd")
	l := &blockLists{addr: "127.0.0.1:" + freePort(t)}
	l.args = []string{"-n", "-b", "127.0.0.1/" + portOf(l.addr), "-w", dir}
	for i, s := range sets {
		name := s.zone + "." + string(rune('a'+i))
		write(t, dir+"/"+name, s.lines)
		l.args = append(l.args, s.zone+":"+s.kind+":"+name)
	}
	l.launch(t)
	return l
}

// launch starts it, or starts it anew. It tells of its start on standard output, but whoever waits for an answer by way of
// an unbound need not know.
func (l *blockLists) launch(t *testing.T) {
	t.Helper()
	cmd := exec.Command("rbldnsd", l.args...)
	if os.Getuid() == 0 { // it would give root up by itself, and with it the signal that ends it when the tests die
		uid, gid := idsOf(t, "nobody")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	l.process = start(t, cmd)
}

// behind waits until an unbound has answers of every zone, and gives that unbound: so both stand in the way.
func (l *blockLists) behind(t *testing.T, sets []dataset, z zones) *nameserver {
	t.Helper()
	z.asks = map[string]string{}
	for _, s := range sets {
		z.asks[s.zone] = l.addr
	}
	ns := startUnbound(t, z)
	for zone := range z.asks {
		ns.reaches(t, l, zone)
	}
	return ns
}

// reaches waits until a zone of rbldnsd can be asked.
func (ns *nameserver) reaches(t *testing.T, l *blockLists, name string) {
	t.Helper()
	eventually(t, "rbldnsd answers for "+name, func() bool {
		if !l.alive() {
			t.Fatalf("rbldnsd ended:\n%s", l.log)
		}
		_, err := ns.ask(name)
		return err == nil || isNotFound(err)
	})
}
