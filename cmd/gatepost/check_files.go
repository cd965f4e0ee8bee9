package main

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gatepost/config"
	"gatepost/greylist"
	"gatepost/policy"
)

// renewBy is how long before its end a certificate should have been renewed.
const renewBy = 14 * 24 * time.Hour

// checkCertificate looks at our certificate as serve would load it.
func checkCertificate(r *report, c *config.Config, now time.Time) {
	if c.TLS == nil {
		r.warn("tls", "name a certificate and its key in [tls]", "no certificate: senders cannot use STARTTLS, and mail comes in clear")
		return
	}
	cert, err := loadCertificate(c.TLS, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		r.fail("tls", "both files must be PEM, readable by this user, and belong together", "%v", err)
		return
	}
	checkLeaf(r, cert.current.Load().Leaf, c.Hostname, now)
}

func checkLeaf(r *report, leaf *x509.Certificate, hostname string, now time.Time) {
	left := leaf.NotAfter.Sub(now)
	until := leaf.NotAfter.UTC().Format("2006-01-02")
	switch {
	case now.Before(leaf.NotBefore):
		r.fail("tls", "look at the clock of this machine", "the certificate is not valid before %s", leaf.NotBefore.UTC().Format("2006-01-02"))
	case left < 0:
		r.fail("tls", "renew it; a running gatepost takes the new files by itself", "the certificate expired on %s", until)
	case left < renewBy:
		r.warn("tls", "see why it was not renewed", "the certificate expires on %s, in %d days", until, int(left.Hours()/24))
	default:
		r.ok("tls", "the certificate can be loaded, and is valid until %s", until)
	}
	if err := leaf.VerifyHostname(hostname); err != nil {
		r.warn("tls", "get one that names "+hostname+"; senders that verify (MTA-STS, RFC 8461) will not deliver",
			"the certificate does not cover the hostname: %v", err)
	}
}

// checkFiles looks at the places that are written to.
func checkFiles(r *report, c *config.Config) {
	checkDir(r, "limits.spool_dir", c.Limits.SpoolDir)
	switch {
	case c.Journal.Dir != "":
		checkDir(r, "journal.dir", c.Journal.Dir)
	case keepsGreylist(c):
		checkGreylist(r, stateDir(c))
	}
	if f := c.Journal.File; f != "" && f != "-" {
		checkJournal(r, f)
	}
}

// keepsGreylist says whether a greylist is kept in the state directory.
func keepsGreylist(c *config.Config) bool {
	for _, k := range c.Checks {
		if s, ok := k.Settings.(*greylist.Settings); ok && s.Store == "sqlite" && k.Mode != policy.Off {
			return true
		}
	}
	return false
}

// checkGreylist looks at the directory of the greylist, which serve makes if it can. Without it mail flows as ever, so it is no failure.
func checkGreylist(r *report, dir string) {
	err := writable(dir)
	if errors.Is(err, fs.ErrNotExist) {
		above := filepath.Dir(dir)
		for errors.Is(syscall.Access(above, 0), fs.ErrNotExist) && above != filepath.Dir(above) {
			above = filepath.Dir(above)
		}
		err = syscall.Access(above, 2) // W_OK
	}
	if err != nil {
		r.warn("check.greylist", "make the directory, and give it to the user that gatepost runs as; or name another with journal.dir",
			"the greylist cannot be written to %s, so it is lost at each restart: %v", dir, err)
		return
	}
	r.ok("check.greylist", "the greylist can be written to %s", dir)
}

// checkDir makes a file in a directory and removes it.
func checkDir(r *report, about, dir string) {
	if err := writable(dir); err != nil {
		r.fail(about, "make the directory, and give it to the user that gatepost runs as", "nothing can be written to %s: %v", dir, err)
		return
	}
	r.ok(about, "%s can be written to", dir)
}

func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".gatepost-check-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// checkJournal opens the journal without making or changing it.
func checkJournal(r *report, file string) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		checkDir(r, "journal.file", filepath.Dir(file))
		return
	}
	if err != nil {
		r.fail("journal.file", "give it to the user that gatepost runs as", "the journal cannot be written: %v", err)
		return
	}
	f.Close()
	r.ok("journal.file", "%s can be written", file)
}

// checkPorts tries to listen where serve would.
func checkPorts(r *report, c *config.Config) {
	for _, l := range c.Listen {
		for _, a := range l.Address {
			checkPort(r, config.Path("listen", l.Name), a)
		}
	}
	if c.Admin.Address != "" {
		checkPort(r, "admin.address", c.Admin.Address)
	}
}

func checkPort(r *report, about, address string) {
	if strings.HasPrefix(address, "systemd:") {
		r.ok(about, "%s comes from systemd, and is not looked at", address)
		return
	}
	ln, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		ln.Close()
		r.ok(about, "%s is free", address)
	case errors.Is(err, syscall.EADDRINUSE):
		r.warn(about, "if that is not gatepost itself, stop it or move it to another port", "%s is in use", address)
	case errors.Is(err, syscall.EACCES):
		r.fail(about, "use a socket from systemd, or give the capability CAP_NET_BIND_SERVICE", "%s may not be opened by this user: %v", address, err)
	default:
		r.fail(about, "is it an address of this machine?", "%s cannot be opened: %v", address, err)
	}
}
