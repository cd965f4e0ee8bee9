//go:build interop || soak

package soak

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	hostname = "mx.soak.test"
	domain   = "example.test" // what the backend takes
	patience = 60 * time.Second
)

// gatepost is a running one.
type gatepost struct {
	addr, admin string
	dir         string // config, journal, log; spool is a folder of its own within
	cmd         *exec.Cmd
	done        chan struct{} // closed when it is gone
}

// launch starts a gatepost before a backend and waits until it listens. more is TOML behind [admin].
func launch(t *testing.T, backend, more string) *gatepost {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "gatepost-")
	if err != nil {
		t.Fatal(err)
	}
	g := &gatepost{addr: freeAddr(t), admin: freeAddr(t), dir: dir, done: make(chan struct{})}
	g.certificate(t)
	g.write(t, "gatepost.toml", fmt.Sprintf(`
hostname = %q
[listen.smtp]
address = [%q]
[tls]
certificate = %q
key = %q
[backend.main]
address = [%q]
domains = [%q]
[journal]
file = %q
[log]
level = "warn"
[admin]
address = %q
%s`, hostname, g.addr, g.file("cert.pem"), g.file("key.pem"), backend, domain, g.file("journal.jsonl"), g.admin,
		strings.ReplaceAll(more, "SPOOL", g.spool(t))))
	g.start(t)
	return g
}

// start runs the process.
func (g *gatepost) start(t *testing.T) {
	t.Helper()
	log, err := os.Create(g.file("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	g.cmd = exec.Command(binary, "serve", "--config", g.file("gatepost.toml"))
	g.cmd.Stderr = log
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { g.cmd.Wait(); close(g.done) }()
	t.Cleanup(func() { g.cmd.Process.Kill(); <-g.done })
	eventually(t, "gatepost listens", func() bool {
		select {
		case <-g.done:
			t.Fatalf("gatepost ended:\n%s", g.read("log"))
		default:
		}
		c, err := net.Dial("tcp", g.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (g *gatepost) file(name string) string { return filepath.Join(g.dir, name) }

func (g *gatepost) spool(t *testing.T) string {
	t.Helper()
	dir := g.file("spool")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (g *gatepost) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(g.file(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// read gives a file of it, "" where there is none.
func (g *gatepost) read(name string) string {
	b, _ := os.ReadFile(g.file(name))
	return string(b)
}

// stop ends it as systemd does, and looks at what it leaves: a good exit code, no panic.
func (g *gatepost) stop(t *testing.T) {
	t.Helper()
	g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.done:
	case <-time.After(patience):
		g.cmd.Process.Signal(syscall.SIGQUIT) // a Go program tells where each goroutine stands
		<-g.done
		t.Fatalf("gatepost does not end:\n%s", g.tail())
	}
	if code := g.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("gatepost ended with %d:\n%s", code, g.tail())
	}
	if strings.Contains(g.read("log"), "panic") {
		t.Errorf("a panic is in the log:\n%s", g.tail())
	}
}

// tail is the end of the log.
func (g *gatepost) tail() string {
	log := g.read("log")
	return log[max(0, len(log)-20_000):]
}

// certificate writes cert.pem and key.pem, self-signed.
func (g *gatepost) certificate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{hostname},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	g.write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	g.write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}

// figures are what can be seen of a process from outside.
type figures struct {
	rss         int64 // octets
	descriptors int
	goroutines  int
	sessions    int
	content     int64 // octets of content in memory
	dropped     int   // records
	temporary   int   // files in the spool's folder, and open ones that have no name any more
}

func (f figures) String() string {
	return fmt.Sprintf("RSS %d MB, %d descriptors, %d goroutines, %d sessions, %d octets of content, %d temporary files",
		f.rss>>20, f.descriptors, f.goroutines, f.sessions, f.content, f.temporary)
}

// figures reads them, from the metrics and from the system.
func (g *gatepost) figures(t *testing.T) (f figures) {
	t.Helper()
	page := g.metrics(t)
	f.goroutines, f.sessions = page.number(t, "go_goroutines")-page.number(t, "gatepost_goroutines_waiting"), page.number(t, "gatepost_connections_open")
	f.content, f.dropped = int64(page.number(t, "gatepost_content_memory_bytes")), page.number(t, "gatepost_journal_dropped_total")
	proc := fmt.Sprintf("/proc/%d/", g.cmd.Process.Pid)
	open, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	f.descriptors = len(open)
	for _, o := range open {
		if name, err := os.Readlink(proc + "fd/" + o.Name()); err == nil && strings.HasSuffix(name, " (deleted)") {
			f.temporary++
		}
	}
	left, err := os.ReadDir(g.file("spool"))
	if err != nil {
		t.Fatal(err)
	}
	f.temporary += len(left)
	f.rss = rss(t, proc)
	return f
}

func rss(t *testing.T, proc string) int64 {
	t.Helper()
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	n, err := strconv.ParseInt(strings.Fields(string(rest))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// page is what /metrics shows.
type page string

func (g *gatepost) metrics(t *testing.T) page {
	t.Helper()
	// A connection of its own each time: a kept one would be a descriptor and two goroutines of the process.
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + g.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return page(text)
}

func (p page) number(t *testing.T, name string) int {
	t.Helper()
	for line := range strings.Lines(string(p)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	t.Fatalf("the metrics have no %s", name)
	return 0
}

// eventually asks ok again and again until it says yes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("gave up waiting until %s", what)
		}
	}
}

// freeAddr gives a port of the loopback address that was free a moment ago, below those that Linux gives to outgoing
// connections.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+mathrand.IntN(22_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}
