//go:build interop

package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hostname is gatepost's own in all tests, domain what its backend takes.
const (
	hostname = "mx.interop.test"
	domain   = "example.test"
)

// quickExit spares the second that the race detector waits at the end of a program by default.
const quickExit = "GORACE=atexit_sleep_ms=10"

// proxy is a gatepost with its config.
type proxy struct {
	addr, tlsAddr string // of the listeners with STARTTLS and with implicit TLS
	config        string // path of the file
	journal       string // path of the file of records
	*process
}

// settings are what tests want to be different.
type settings struct {
	backend  string // host:port
	clientIP string // "" is "none"
	tls      string // towards the backend; "" is "none"
	listen   string // "" is a free port
	size     string // of a message; "" is 50MB
	policy   string // TOML from [policy] on; "" runs no checks
}

// configFor writes the TOML.
func configFor(s settings, p *proxy, dir string) string {
	return fmt.Sprintf(`
hostname = %q
[listen.smtp]
address = [%q]
xclient_from = ["127.0.0.0/8"]
[listen.smtps]
address = [%q]
tls = "implicit"
[tls]
certificate = %q
key = %q
[backend.main]
address = [%q]
domains = [%q]
client_ip = %q
tls = %q
[limits]
connections_per_client = 1000
message_size = %q
[journal]
file = %q
[admin]
address = ""
%s`, hostname, or(s.listen, p.addr), p.tlsAddr, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"),
		s.backend, domain, or(s.clientIP, "none"), or(s.tls, "none"), or(s.size, "50MB"), p.journal,
		or(s.policy, "[policy]\nchecks = []\n"))
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// newProxy writes the config of a gatepost; launch runs it.
func newProxy(t *testing.T, s settings) *proxy {
	t.Helper()
	dir := newDir(t, "gatepost")
	p := &proxy{addr: "127.0.0.1:" + freePort(t), tlsAddr: "127.0.0.1:" + freePort(t),
		config: filepath.Join(dir, "gatepost.toml"), journal: filepath.Join(dir, "journal.jsonl")}
	makeCertificate(t, dir)
	write(t, p.config, configFor(s, p, dir))
	return p
}

// startProxy is newProxy and launch, and an orderly end at the end of the test.
func startProxy(t *testing.T, s settings) *proxy {
	t.Helper()
	p := newProxy(t, s)
	p.launch(t)
	t.Cleanup(func() { p.stop(t) })
	return p
}

// launch starts the process and waits until it listens and knows its backend.
func (p *proxy) launch(t *testing.T) {
	t.Helper()
	cmd := exec.Command(binary, "serve", "--config", p.config)
	cmd.Env = append(os.Environ(), quickExit)
	p.process = start(t, cmd)
	p.ready(t)
}

// ready waits until it listens and knows what its backend can.
func (p *proxy) ready(t *testing.T) {
	t.Helper()
	eventually(t, "gatepost listens", func() bool {
		if !p.alive() {
			t.Fatalf("gatepost ended:\n%s", p.log)
		}
		return p.log.count("msg=listening") == 2
	})
}

// offers waits until gatepost offers an extension, which it does once it has asked its backend.
func (p *proxy) offers(t *testing.T, keyword string) {
	t.Helper()
	eventually(t, "gatepost offers "+keyword, func() bool {
		c := connect(t, p.addr, "")
		defer c.close()
		return strings.Contains(c.must(t, "EHLO client.test", 250), keyword)
	})
}

// stop ends it as systemd does, and looks at what it leaves: a good exit code, no race, no panic.
func (p *proxy) stop(t *testing.T) {
	t.Helper()
	if p.alive() {
		p.signal(t, syscall.SIGTERM)
	}
	if code := p.ended(t); code != 0 {
		t.Errorf("gatepost ended with %d:\n%s", code, p.log)
	}
	p.sound(t)
}

// sound looks for words that must not stand in the log.
func (p *proxy) sound(t *testing.T) {
	t.Helper()
	for _, bad := range []string{"DATA RACE", "panic"} {
		if p.log.count(bad) > 0 {
			t.Errorf("gatepost's log has %q:\n%s", bad, p.log)
		}
	}
}

// makeCertificate writes cert.pem and key.pem, self-signed.
func makeCertificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{hostname, "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}
