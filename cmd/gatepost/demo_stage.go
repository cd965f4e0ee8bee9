package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gatepost/internal/mailsink"
	"gatepost/policy"
)

// demoHost is the name of the proxy of the demo.
const demoHost = "mx.example.com"

// stage is all that the demo sets up: a mail server, the proxy in front of it, a DNS server, and a directory for all.
type stage struct {
	dir      string
	roots    *x509.CertPool     // the proxy's certificate
	key      ed25519.PrivateKey // of bank.example
	dns      string             // where the DNS server listens
	sink     *mailsink.Server
	sinkAddr string
	smtp     string // where the proxy listens for everybody
	tries    string // where it listens for the samples, which come with a PROXY header
	admin    string
	daemon   *daemon
	records  chan *policy.Record
	ends     []func() // what close does, last first
}

// newStage sets everything up. Nothing of it is left if that fails.
func newStage() (*stage, error) {
	st := &stage{records: make(chan *policy.Record, 1024)}
	if err := st.set(); err != nil {
		st.close()
		return nil, err
	}
	return st, nil
}

func (st *stage) set() error {
	dir, err := os.MkdirTemp("", "gatepost-demo-")
	if err != nil {
		return err
	}
	st.dir = dir
	st.ends = append(st.ends, func() { os.RemoveAll(dir) })
	if err := st.startSink(); err != nil {
		return fmt.Errorf("start the mail server: %w", err)
	}
	if err := st.startDNS(); err != nil {
		return fmt.Errorf("start the DNS server: %w", err)
	}
	if err := st.makeCertificate(time.Now()); err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	if err := st.startProxy(); err != nil {
		return fmt.Errorf("start the proxy: %w", err)
	}
	return nil
}

// close ends and removes everything.
func (st *stage) close() {
	for _, end := range slices.Backward(st.ends) {
		end()
	}
}

// file is the path of a file of the demo.
func (st *stage) file(name string) string { return filepath.Join(st.dir, name) }

// startSink starts the mail server. It is careless on purpose: only such a one can be tricked by a smuggled mail.
func (st *stage) startSink() error {
	if err := os.Mkdir(st.file("mails"), 0o700); err != nil {
		return err
	}
	users := map[string]bool{}
	for _, u := range append(staff(50),
		"amy@example.com", "bob@example.com", "postmaster@example.com", "full@example.com", "amy@example.net", "postmaster@example.net") {
		users[u] = true
	}
	st.sink = &mailsink.Server{Hostname: "mail.example.com", Extensions: mailsink.DefaultExtensions(), Users: users,
		MaxSize: 1e6, Lenient: true, Dir: st.file("mails"), Keep: 100, Fault: noRoom}
	addr, stop, err := mailsink.Listen(st.sink)
	if err != nil {
		return err
	}
	st.sinkAddr = addr
	st.ends = append(st.ends, stop)
	return nil
}

// noRoom makes one mailbox full.
func noRoom(e mailsink.Event) mailsink.Action {
	if e.Stage == mailsink.StageRcpt && strings.Contains(e.Line, "<full@example.com>") {
		return mailsink.Action{Reply: "452 4.2.2 The mailbox is full"}
	}
	return mailsink.Action{}
}

// startProxy starts the proxy as serve does, from a config that could be a file of its own.
func (st *stage) startProxy() error {
	var lns [3]net.Listener
	for i, addr := range []*string{&st.smtp, &st.tries, &st.admin} {
		var err error
		if lns[i], err = st.listen(addr); err != nil {
			return err
		}
	}
	c, err := st.config()
	if err != nil {
		return err
	}
	log := newLogger(c.Log, os.Stderr)
	d := &daemon{log: log, told: st.took, parts: newParts(log)}
	if d.journal, err = openJournals(c.Journal, d.log); err != nil {
		return err
	}
	st.ends = append(st.ends, d.journal.Close)
	d.metrics = newMetrics(d)
	if err := d.apply(c); err != nil {
		return err
	}
	st.daemon = d
	st.ends = append(st.ends, st.stopProxy, serveAdmin(lns[2], d))
	for i, ln := range lns[:2] {
		go d.server.Serve(ln, engineListener(c.Listen[i]))
	}
	return nil
}

// listen takes a free port and notes its address.
func (st *stage) listen(addr *string) (net.Listener, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	st.ends = append(st.ends, func() { ln.Close() })
	*addr = ln.Addr().String()
	return ln, nil
}

// stopProxy ends the proxy, without much patience for mail under way.
func (st *stage) stopProxy() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	st.daemon.server.Shutdown(ctx)
	st.daemon.stop()
	st.daemon.parts.close()
}

// took keeps a record for the narration. It does not wait for it: past the queue, records are in the journal only.
func (st *stage) took(r *policy.Record) {
	select {
	case st.records <- r:
	default:
	}
}
