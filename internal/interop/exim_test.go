//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// eximUser is the one that Debian's Exim was compiled for; it does not start without.
const eximUser = "Debian-exim"

const eximConfig = `
exim_path = %[1]s/exim4
spool_directory = %[1]s/spool
log_file_path = %[1]s/log/%%slog
pid_file_path = %[1]s/exim.pid
primary_hostname = mail.interop.test
daemon_smtp_ports = %[3]s
local_interfaces = 127.0.0.1
keep_environment =
host_lookup =
rfc1413_hosts =
tls_advertise_hosts =
chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
message_size_limit = 50M
smtp_accept_max = 200
smtp_accept_queue_per_connection = 0
deliver_drop_privilege = true
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  accept domains = %[2]s
         verify = recipient
  deny   message = relaying is not for you
begin routers
mailbox:
  driver = accept
  domains = %[2]s
  local_parts = lsearch;%[1]s/users
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = %[1]s/mail/$local_part_data
  maildir_format
`

// startExim runs an Exim of its own until the end of the test. It has no privileges: it runs as its own user. Debian's is
// compiled without XCLIENT and the PROXY protocol.
func startExim(t *testing.T) *server {
	t.Helper()
	needRoot(t)
	uid, gid := idsOf(t, eximUser)
	dir := newDir(t, "exim")
	s := newServer(t, dir)
	s.queues = []string{dir + "/spool/input"}
	s.accepted = os.ModePerm // each file
	s.log = dir + "/log/mainlog"
	copyExim(t, dir+"/exim4")
	for _, sub := range []string{"spool", "log"} {
		mkdir(t, filepath.Join(dir, sub))
		chown(t, filepath.Join(dir, sub), uid, gid)
	}
	chown(t, dir, uid, gid)
	chown(t, s.mailDir, uid, gid)
	write(t, dir+"/users", localUsers())
	write(t, dir+"/exim.conf", fmt.Sprintf(eximConfig, dir, domain, portOf(s.addr)))
	cmd := exec.Command(dir+"/exim4", "-bdf", "-C", dir+"/exim.conf")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	p := start(t, cmd)
	t.Cleanup(func() {
		p.signal(t, syscall.SIGTERM)
		p.ended(t)
		if t.Failed() {
			log, _ := os.ReadFile(s.log)
			t.Logf("Exim said:\n%s%s", p.log, log)
		}
	})
	eventually(t, "Exim listens", func() bool {
		if !p.alive() {
			t.Fatalf("Exim ended:\n%s", p.log)
		}
		return listening(s.addr)
	})
	return s
}

// localUsers lists the mailboxes by local part, as lsearch reads them.
func localUsers() string {
	list := ""
	for address, name := range users() {
		list += address[:len(address)-len("@"+domain)] + ": " + name + "\n"
	}
	return list
}

// copyExim puts Exim where its user can run it. Debian's package of it conflicts with that of Postfix, so setup.sh
// unpacks it into the cache of the checkout.
func copyExim(t *testing.T, to string) {
	t.Helper()
	b, err := os.ReadFile("../../.cache/exim/usr/sbin/exim4")
	if err != nil {
		lacking(t, "Exim is not there; internal/interop/setup.sh, run as root, unpacks it")
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}
