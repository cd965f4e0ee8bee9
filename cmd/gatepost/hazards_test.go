package main

import (
	"crypto/tls"
	"io"
	"log/slog"
	"testing"
	"time"

	"gatepost/config"
)

// TestTLSKept: versions before 1.2 are refused, no session is resumed by a ticket, and a name that nobody knows, or none, gets the
// one certificate (hazard 69).
func TestTLSKept(t *testing.T) {
	st := &stage{dir: t.TempDir()}
	if err := st.makeCertificate(time.Now()); err != nil {
		t.Fatal(err)
	}
	c, err := loadCertificate(&config.TLS{Certificate: st.file("cert.pem"), Key: st.file("key.pem")}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ours, tickets := c.config(), tls.NewLRUClientSessionCache(10)
	for _, test := range []struct {
		name     string
		min, max uint16
		ok       bool
	}{
		{"", tls.VersionTLS10, tls.VersionTLS10, false}, {"", tls.VersionTLS11, tls.VersionTLS11, false},
		{"", tls.VersionTLS12, tls.VersionTLS12, true}, {"unknown.example", tls.VersionTLS12, tls.VersionTLS12, true},
		{"unknown.example", tls.VersionTLS12, tls.VersionTLS12, true}, {"", tls.VersionTLS13, tls.VersionTLS13, true},
		{"unknown.example", tls.VersionTLS13, tls.VersionTLS13, true}, {"unknown.example", tls.VersionTLS13, tls.VersionTLS13, true},
	} {
		state, err := secured(ours, &tls.Config{InsecureSkipVerify: true, ServerName: test.name, MinVersion: test.min, MaxVersion: test.max, ClientSessionCache: tickets})
		if (err == nil) != test.ok {
			t.Errorf("version %x, name %q: %v", test.max, test.name, err)
		}
		if err == nil && (state.DidResume || len(state.PeerCertificates) != 1) {
			t.Errorf("version %x, name %q: resumed %v", test.max, test.name, state.DidResume)
		}
	}
}

// secured is what a client makes out with us; it waits for a word, behind which all tickets have come.
func secured(ours, as *tls.Config) (tls.ConnectionState, error) {
	l, err := tls.Listen("tcp", "127.0.0.1:0", ours)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			io.WriteString(conn, "x")
			conn.Close()
		}
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), as)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = io.ReadFull(conn, make([]byte, 1))
	return conn.ConnectionState(), err
}
