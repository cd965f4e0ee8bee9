package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/internal/mailsink"
	"gatepost/proxy"
	"gatepost/proxy/backend"
)

// certificate is a fresh one for mx.example.com, signed by itself.
func certificate(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.com"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

// secure goes on under TLS.
func (c *client) secure() *client {
	c.t.Helper()
	conn := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	if err := conn.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	return newClient(c.t, conn)
}

// trusting is a client's config that trusts that certificate alone.
func trusting(t testing.TB, server *tls.Config) *tls.Config {
	t.Helper()
	cert, err := x509.ParseCertificate(server.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{RootCAs: roots, ServerName: "mx.example.com"}
}

// underTLS connects and puts TLS on the connection.
func (p *running) underTLS(t testing.TB) *client {
	t.Helper()
	c := p.client(t)
	c.say("EHLO client.example", "250")
	c.say("STARTTLS", "220 ")
	return c.secure()
}

// withTLS are settings with a certificate, in front of a sink.
func withTLS(t testing.TB) (*proxy.Settings, *mailsink.Server) {
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
	s := withSink(t, sink)
	s.TLS = certificate(t)
	return s, sink
}

// TestStartTLS: all that came before the handshake is forgotten, and TLS is not offered again (hazard 67, RFC 3207 section 4.2).
func TestStartTLS(t *testing.T) {
	s, sink := withTLS(t)
	p := start(t, s, listenerPlain())
	c := p.client(t)
	c.say("STARTTLS", "503 5.5.1 ") // a greeting comes first
	c.send("EHLO client.example\r\n")
	if got := c.reply(); !strings.Contains(got, "STARTTLS") {
		t.Errorf("STARTTLS is not offered: %q", got)
	}
	c.say("MAIL FROM:<a@client.example>", "250 ")
	c.say("STARTTLS", "503 5.5.1 ") // in mid-transaction
	c.say("RSET", "250 ")
	c.say("STARTTLS", "220 2.0.0 ")
	c = c.secure()
	c.say("MAIL FROM:<a@client.example>", "503 5.5.1 ")
	c.say("STARTTLS", "503 5.5.1 ")
	c.send("EHLO client.example\r\n")
	if got := c.reply(); strings.Contains(got, "STARTTLS") || !strings.HasPrefix(got, "250-") {
		t.Errorf("after TLS: %q", got)
	}
	c.say("STARTTLS", "503 5.5.1 ")
	c.envelope()
	c.say("Subject: x\r\n\r\n.", "250 ")
	c.quit()
	p.stop()
	p.atRest(t)
	r := p.record()
	if r.Proto != "ESMTPS" || !strings.HasPrefix(r.TLS, "TLS 1.3 ") {
		t.Errorf("record: proto %q, TLS %q", r.Proto, r.TLS)
	}
	if got := string(sink.Messages()[0].Content); !strings.Contains(got, " with ESMTPS id ") || !strings.Contains(got, "("+r.TLS+")") {
		t.Errorf("trace %q", got)
	}
}

// TestRequireTLS: mail that is to travel under verified TLS alone is refused where the backend can't keep that (RFC 8689 section 4.2.1).
func TestRequireTLS(t *testing.T) {
	cert := certificate(t)
	for _, test := range []struct {
		name     string
		tls      backend.TLSMode
		fewer    bool // REQUIRETLS is not offered any more
		rcpt     string
		accepted int
	}{
		{"verified", backend.TLSRequired, false, "250 ", 1},
		{"in clear", backend.TLSNone, false, "550 5.7.30 ", 0},
		{"the certificate not verified", backend.TLSOpportunistic, false, "550 5.7.30 ", 0},
		{"REQUIRETLS not offered", backend.TLSRequired, true, "550 5.7.30 ", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			sink := &mailsink.Server{Extensions: []string{"PIPELINING", "REQUIRETLS"}, TLS: cert, Fault: func(e mailsink.Event) mailsink.Action {
				switch {
				case e.Stage == mailsink.StageMail: // the sink does not know the parameter
					return mailsink.Action{Reply: "250 2.1.0 Ok"}
				case test.fewer && e.Session > 1 && e.Stage == mailsink.StageEhlo:
					return mailsink.Action{Reply: "250-sink.test\r\n250 STARTTLS"}
				}
				return mailsink.Action{}
			}}
			back, stopSink, err := mailsink.Listen(sink)
			if err != nil {
				t.Fatal(err)
			}
			defer stopSink()
			s := behind(t, backend.Settings{Addresses: []string{back}, TLS: test.tls, TLSConfig: trusting(t, cert)})
			s.Routes.Backends()[0].Probe(t.Context())
			s.TLS = cert
			p := start(t, s, listenerPlain())
			c := p.underTLS(t)
			c.say("EHLO client.example", "250")
			c.say("MAIL FROM:<a@client.example> REQUIRETLS", "250 ")
			c.say("RCPT TO:<amy@example.com>", test.rcpt)
			if test.accepted > 0 {
				c.say("DATA", "354 ")
				c.say("Subject: x\r\n\r\n.", "250 ")
			}
			c.quit()
			p.stop()
			p.atRest(t)
			all := sink.Messages()
			if len(all) != test.accepted || len(all) > 0 && !strings.Contains(all[0].FromParams, "REQUIRETLS") {
				t.Errorf("the backend has %+v", all)
			}
		})
	}
}

// TestStartTLSInjection: what is sent in clear behind STARTTLS never runs (hazard 66, CVE-2011-0411).
func TestStartTLSInjection(t *testing.T) {
	s, _ := withTLS(t)
	p := start(t, s, listenerPlain())
	defer p.stop()
	c := p.client(t)
	c.say("EHLO client.example", "250")
	c.send("STARTTLS\r\nNOOP\r\n")
	c.want("554 5.5.0 ")
	c.closed()
	if r := p.record(); len(r.Faults) != 1 || r.Faults[0] != "pipelining" {
		t.Errorf("faults %q", r.Faults)
	}
}

// TestStartTLSPlain: commands in place of a handshake end the session without a word.
func TestStartTLSPlain(t *testing.T) {
	s, _ := withTLS(t)
	p := start(t, s, listenerPlain())
	defer p.stop()
	c := p.client(t)
	c.say("EHLO client.example", "250")
	c.say("STARTTLS", "220 ")
	c.send("MAIL FROM:<a@client.example>\r\nRCPT TO:<amy@example.com>\r\n")
	for line := c.reply(); line != ""; line = c.reply() {
		if line[0] >= '2' && line[0] <= '5' { // an alert of TLS is none
			t.Errorf("reply %q", line)
		}
	}
	if r := p.record(); r.Sender != nil || len(r.Faults) != 1 || r.Faults[0] != "tls-handshake" {
		t.Errorf("record %+v", r)
	}
}

// TestHalfHandshake is given up after 30 s, however busy it looks (hazard 68).
func TestHalfHandshake(t *testing.T) {
	config := certificate(t)
	synctest.Test(t, func(t *testing.T) {
		s := behind(t, backend.Settings{})
		s.TLS = config
		p := newServer(s)
		c := p.pipe(t)
		c.want("220 ")
		c.say("EHLO client.example", "250")
		c.say("STARTTLS", "220 ")
		began := time.Now()
		c.background("\x16", 10, 10*time.Second)
		c.closed()
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestCloseNotify: plaintext behind the end of TLS is never read (hazard 68).
func TestCloseNotify(t *testing.T) {
	s, sink := withTLS(t)
	p := start(t, s, listenerPlain())
	defer p.stop()
	c := p.client(t)
	c.say("EHLO client.example", "250")
	c.say("STARTTLS", "220 ")
	under := c.secure()
	under.envelope()
	under.conn.(*tls.Conn).CloseWrite()
	c.conn.Write([]byte("Subject: x\r\n\r\n.\r\n")) // may fail: the session is over
	under.closed()
	if r := p.record(); r.End != "lost" || sink.Committed() != 0 {
		t.Errorf("end %s, %d messages", r.End, sink.Committed())
	}
}

// TestImplicitTLS starts with TLS and offers no STARTTLS; who speaks in clear gets no session.
func TestImplicitTLS(t *testing.T) {
	s, sink := withTLS(t)
	p := start(t, s, &proxy.Listener{Name: "smtps", ImplicitTLS: true})
	c := newClient(t, p.dial(t)).secure()
	c.want("220 ")
	c.send("EHLO client.example\r\n")
	if got := c.reply(); strings.Contains(got, "STARTTLS") {
		t.Errorf("offer %q", got)
	}
	c.envelope()
	c.say("Subject: x\r\n\r\n.", "250 ")
	c.quit()
	clear := newClient(t, p.dial(t))
	clear.send("EHLO client.example\r\n")
	if got := clear.reply(); strings.HasPrefix(got, "220") || strings.HasPrefix(got, "250") {
		t.Errorf("in clear: %q", got)
	}
	clear.conn.Close()
	p.stop()
	p.atRest(t)
	if sink.Committed() != 1 {
		t.Error("the message is not there")
	}
}

// records is a connection that keeps what was read.
type records struct {
	net.Conn
	all []byte
}

func (c *records) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.all = append(c.all, b[:n]...)
	return n, err
}

// last is the type of the last TLS record, all of them whole.
func (c *records) last() (kind byte) {
	for b := c.all; len(b) >= 5; b = b[min(len(b), 5+int(b[3])<<8+int(b[4])):] {
		kind = b[0]
	}
	return kind
}

// TestCloseNotifyIsSent: each session that ends under TLS ends it with an alert, also where the sender was hung up on.
func TestCloseNotifyIsSent(t *testing.T) {
	s, _ := withTLS(t)
	s.TLS.MaxVersion = tls.VersionTLS12 // whose records show that they are alerts
	p := start(t, s, &proxy.Listener{Name: "smtps", ImplicitTLS: true})
	defer p.stop()
	for _, commands := range []string{"QUIT\r\n", strings.Repeat("FROB\r\n", 20)} {
		raw := &records{Conn: p.dial(t)}
		c := newClient(t, tls.Client(raw, &tls.Config{InsecureSkipVerify: true}))
		c.want("220 ")
		c.send(commands)
		const alert = 21
		if _, err := io.ReadAll(c.in); err != nil || raw.last() != alert {
			t.Errorf("%.6s: %v, the last record is of type %d", commands, err, raw.last())
		}
		c.conn.Close()
	}
}
