package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
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
	c, err := loadCertificate(&config.TLS{Certificate: st.file("cert.pem"), Key: st.file("key.pem")}, nil, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	first := handshake(t, c)
	c.reload()
	if handshake(t, c) != first {
		t.Error("files that have not changed gave another certificate")
	}
	renew(time.Now().AddDate(0, 0, -1))
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
	log.Reset()
	renew(time.Now().AddDate(-1, 0, 0))
	touch(t, st.file("cert.pem"), 3*time.Second)
	c.reload()
	if handshake(t, c) != second {
		t.Error("an expired certificate replaced the one in use, which is good")
	}
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "has expired") {
		t.Errorf("an expired certificate was not told: %s", log.String())
	}
}

// TestCertificateExpired: at the start there is no better one; and where the one in use has expired too, the next is taken as it is.
// A config that is read anew does not bring an expired one in the place of one that is good (hazard 70).
func TestCertificateExpired(t *testing.T) {
	st := &stage{dir: t.TempDir()}
	renew := func(at time.Time) {
		t.Helper()
		if err := st.makeCertificate(at); err != nil {
			t.Fatal(err)
		}
	}
	lines := fmt.Sprintf("[policy]\nchecks = []\n[tls]\ncertificate = %q\nkey = %q\n", st.file("cert.pem"), st.file("key.pem"))
	renew(time.Now().AddDate(-1, 0, 0))
	d := applied(t, lines)
	first := handshake(t, d.cert)
	renew(time.Now().AddDate(-1, 0, 1))
	apply(t, d, lines)
	if handshake(t, d.cert) == first {
		t.Error("of two that have expired, the older stays")
	}
	renew(time.Now())
	apply(t, d, lines)
	good := handshake(t, d.cert)
	renew(time.Now().AddDate(-1, 0, 0))
	if err := d.apply(parseLines(t, lines)); err == nil || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("a config with an expired certificate: %v", err)
	}
	if handshake(t, d.cert) != good {
		t.Error("it replaced the one in use, which is good")
	}
}

// TestCertificateLater: files that cannot be used yet are tried again, without a change of their times, and told once.
func TestCertificateLater(t *testing.T) {
	st := &stage{dir: t.TempDir()}
	if err := st.makeCertificate(time.Now()); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c, err := loadCertificate(&config.TLS{Certificate: st.file("cert.pem"), Key: st.file("key.pem")}, nil, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	first := handshake(t, c)
	if err := st.makeCertificate(time.Now()); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(st.file("key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(time.Second)
	write := func(key []byte) {
		t.Helper()
		if err := os.WriteFile(st.file("key.pem"), key, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(st.file("key.pem"), at, at); err != nil {
			t.Fatal(err)
		}
	}
	write(nil) // as one that may not be read
	c.reload()
	c.reload()
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 || handshake(t, c) != first {
		t.Errorf("told %d times: %s", n, log.String())
	}
	write(key)
	c.reload()
	if handshake(t, c) == first {
		t.Error("files that can be used by now are not")
	}
}

// TestCertificateTooEarly: one that is not valid yet does not replace one that is; at the start there is no better one.
func TestCertificateTooEarly(t *testing.T) {
	st := &stage{dir: t.TempDir()}
	lines := fmt.Sprintf("[policy]\nchecks = []\n[tls]\ncertificate = %q\nkey = %q\n", st.file("cert.pem"), st.file("key.pem"))
	renew := func(at time.Time) {
		t.Helper()
		if err := st.makeCertificate(at); err != nil {
			t.Fatal(err)
		}
	}
	renew(time.Now().AddDate(0, 0, 2))
	d := applied(t, lines)
	early := handshake(t, d.cert)
	renew(time.Now())
	apply(t, d, lines)
	good := handshake(t, d.cert)
	if good == early {
		t.Error("the one that is not valid yet stays")
	}
	renew(time.Now().AddDate(0, 0, 2))
	if err := d.apply(parseLines(t, lines)); err == nil || !strings.Contains(err.Error(), "is not valid yet") {
		t.Errorf("a config with a certificate that is not valid yet: %v", err)
	}
	if handshake(t, d.cert) != good {
		t.Error("it replaced the one in use, which is good")
	}
}

// TestHandshakesWhileReloading has 500 handshakes under way while the files are broken, expired, gone and at last renewed; behind each
// change a part of them goes on. Each ends well, and with a certificate that is good (hazard 70).
func TestHandshakesWhileReloading(t *testing.T) {
	st := &stage{dir: t.TempDir()}
	if err := st.makeCertificate(time.Now()); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	c, err := loadCertificate(&config.TLS{Certificate: st.file("cert.pem"), Key: st.file("key.pem")}, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	trust := func() { roots.AddCert(c.current.Load().Leaf) }
	trust()
	var waiting sync.WaitGroup
	on, ends := [4]chan struct{}{}, make(chan error)
	for i := range on {
		on[i] = make(chan struct{})
	}
	for i := range 500 {
		here, there := net.Pipe()
		waiting.Add(1)
		go func() { ends <- tls.Server(there, c.config()).Handshake() }()
		go func() {
			defer here.Close()
			conn := &held{Conn: here, at: i % 2, waiting: waiting.Done, on: on[i/125]}
			ends <- tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: demoHost}).Handshake()
		}()
	}
	waiting.Wait()
	for i, spoil := range []func() error{
		func() error { return os.WriteFile(st.file("cert.pem"), nil, 0o600) },
		func() error { return st.makeCertificate(time.Now().AddDate(-1, 0, 0)) },
		func() error { return os.Remove(st.file("key.pem")) },
		func() error { return st.makeCertificate(time.Now()) },
	} { // as many as on has
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		touch(t, st.file("cert.pem"), time.Duration(i+1)*time.Second)
		c.reload()
		trust()
		close(on[i])
		for range 2 * 500 / len(on) {
			if err := <-ends; err != nil {
				t.Error(err)
			}
		}
	}
}

// held is the client's end of a handshake that waits: before its first octet, or behind its first message.
type held struct {
	net.Conn
	at      int // 0: before the first write; 1: before the first read
	waiting func()
	on      chan struct{}
	once    sync.Once
}

func (h *held) wait(at int) {
	if at == h.at {
		h.once.Do(func() { h.waiting(); <-h.on })
	}
}

func (h *held) Write(b []byte) (int, error) { h.wait(0); return h.Conn.Write(b) }
func (h *held) Read(b []byte) (int, error)  { h.wait(1); return h.Conn.Read(b) }

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
