//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const postfixMain = `
compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log/maillog
maillog_file_prefixes = %[1]s
myhostname = mail.interop.test
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_protocols = ipv4
inet_interfaces = 127.0.0.1
# All of loopback may relay here: an open relay that only gatepost stands before.
mynetworks = 127.0.0.0/8
default_transport = discard
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
local_header_rewrite_clients =
message_size_limit = 52428800
virtual_mailbox_limit = 0
in_flow_delay = 0
virtual_mailbox_domains = %[2]s
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = texthash:%[1]s/users
virtual_minimum_uid = 100
virtual_uid_maps = static:%[3]d
virtual_gid_maps = static:%[4]d
smtpd_tls_cert_file = %[1]s/cert.pem
smtpd_tls_key_file = %[1]s/key.pem
smtpd_tls_security_level = may
`

const postfixMaster = `
127.0.0.1:%s inet n - n - - smtpd
  -o smtpd_authorized_xclient_hosts=127.0.0.0/8
127.0.0.1:%s inet n - n - - smtpd
  -o smtpd_upstream_proxy_protocol=haproxy
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
discard unix - - n - - discard
smtp unix - - n - - smtp
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`

// startPostfix runs a Postfix of its own until the end of the test.
func startPostfix(t *testing.T) *server {
	t.Helper()
	return startPostfixWith(t, "")
}

// startPostfixWith is startPostfix with more settings, which take the place of those above.
func startPostfixWith(t *testing.T, more string) *server {
	t.Helper()
	needRoot(t)
	need(t, "postfix")
	dir := newDir(t, "postfix")
	s := newServer(t, dir)
	s.queues = []string{dir + "/queue/incoming", dir + "/queue/active", dir + "/queue/deferred"}
	s.accepted = 0o100 // it makes a file executable when that is complete; stopped before, it leaves one that it never accepted
	s.log = dir + "/log/maillog"
	uid, gid := idsOf(t, "nobody")
	chown(t, s.mailDir, uid, gid)
	mailOwner, _ := idsOf(t, "postfix")
	for _, sub := range []string{"queue", "data", "log"} {
		mkdir(t, filepath.Join(dir, sub))
	}
	chown(t, dir+"/data", mailOwner, -1)
	write(t, s.log, "") // both root's and this user's programs write there
	chown(t, s.log, mailOwner, -1)
	makeCertificate(t, dir)
	write(t, dir+"/users", usersFile(" ", "/"))
	write(t, dir+"/main.cf", withSettings(fmt.Sprintf(postfixMain, dir, domain, uid, gid), more))
	write(t, dir+"/master.cf", fmt.Sprintf(postfixMaster, portOf(s.addr), portOf(s.proxyAddr)))
	s.config = dir
	run(t, nil, "postfix", "-c", dir, "start")
	t.Cleanup(func() {
		run(t, nil, "postfix", "-c", dir, "stop")
		if t.Failed() {
			t.Logf("Postfix said:\n%s", withoutLines(readFile(t, s.log), "postfix-script"))
		}
	})
	eventually(t, "Postfix listens", func() bool { return listening(s.addr) && listening(s.proxyAddr) })
	return s
}

// withSettings puts settings in the place of those in main.cf that have the same names. Postfix takes the last of two, but warns,
// and stands still for good where more warnings come than the socket of its postlogd holds before that one runs.
func withSettings(main, more string) string {
	name := func(line string) string { return strings.TrimSpace(line[:max(0, strings.IndexByte(line, '='))]) }
	again := map[string]bool{}
	for line := range strings.Lines(more) {
		again[name(line)] = true
	}
	var b strings.Builder
	for line := range strings.Lines(main) {
		if !again[name(line)] {
			b.WriteString(line)
		}
	}
	return b.String() + more
}

// withoutLines drops the lines that have a word in them: Postfix's own look at its files, which does not know this layout.
func withoutLines(text, word string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, word) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// restart stops a Postfix and starts it anew; its queue and Maildirs stay.
func (s *server) restart(t *testing.T) {
	t.Helper()
	run(t, nil, "postfix", "-c", s.config, "stop")
	run(t, nil, "postfix", "-c", s.config, "start")
}

// newServer chooses ports and makes the directory of Maildirs.
func newServer(t *testing.T, dir string) *server {
	t.Helper()
	s := &server{addr: "127.0.0.1:" + freePort(t), proxyAddr: "127.0.0.1:" + freePort(t), mailDir: filepath.Join(dir, "mail"),
		expected: map[letter]int{}, read: map[string]letter{}}
	mkdir(t, s.mailDir)
	return s
}

// usersFile lists the mailboxes, one a line.
func usersFile(between, after string) string {
	var b strings.Builder
	for address, name := range users() {
		b.WriteString(address + between + name + after + "\n")
	}
	return b.String()
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func chown(t *testing.T, path string, uid, gid int) {
	t.Helper()
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
}

// idsOf gives the numbers of a user of this machine.
func idsOf(t *testing.T, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		lacking(t, "the user "+name+" is missing; internal/interop/setup.sh, run as root, makes it")
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		t.Fatal(err)
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		t.Fatal(err)
	}
	return uid, gid
}
