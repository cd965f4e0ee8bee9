package main

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"gatepost/config"
)

// TestCertificateReload: changed files are taken up, broken ones are not, and say so (hazard 70); handshakes go on throughout, for any name (hazard 69).
func TestCertificateReload(t *testing.T) {
	st := &stage{dir: t.TempDir()}
	renew := func(at time.Time) {
		t.Helper()
		if err := st.makeCertificate(at); err != nil {
			t.Fatal(err)
		}
	}
	renew(time.Now())
	var log bytes.Buffer
	c, err := loadCertificate(&config.TLS{Certificate: st.file("cert.pem"), Key: st.file("key.pem")}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	first := handshake(t, c)
	c.reload()
	if handshake(t, c) != first {
		t.Error("files that have not changed gave another certificate")
	}
	renew(time.Now().AddDate(0, 0, 1))
	touch(t, st.file("cert.pem"), time.Second)
	c.reload()
	second := handshake(t, c)
	if second == first {
		t.Error("changed files were not taken up")
	}
	if err := os.WriteFile(st.file("cert.pem"), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	touch(t, st.file("cert.pem"), 2*time.Second)
	c.reload()
	if handshake(t, c) != second {
		t.Error("a broken file replaced the certificate in use")
	}
	if !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("a broken file was not told: %s", log.String())
	}
}

// touch gives a file a change time apart from that of the one before.
func touch(t *testing.T, file string, ahead time.Duration) {
	t.Helper()
	at := time.Now().Add(ahead)
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
}

// handshake is the certificate that a client is shown under a name that we do not have.
func handshake(t *testing.T, c *certificate) string {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	go tls.Server(there, c.config()).Handshake()
	conn := tls.Client(here, &tls.Config{InsecureSkipVerify: true, ServerName: "other.example"})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return string(conn.ConnectionState().PeerCertificates[0].Raw)
}
