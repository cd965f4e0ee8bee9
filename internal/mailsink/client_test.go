package mailsink

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"net/smtp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pires/go-proxyproto"
)

// certificate makes a self-signed one for sink.test.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"sink.test"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// The client of the standard library, over TCP and TLS.
func TestNetSMTP(t *testing.T) {
	s := &Server{Extensions: DefaultExtensions(), TLS: certificate(t), Users: map[string]bool{"b@b.example": true}}
	addr, stop, err := Listen(s)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	if ok, _ := c.Extension("STARTTLS"); ok {
		t.Error("STARTTLS is offered within TLS")
	}
	if err := c.Mail("a@a.example"); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("x@b.example"); err == nil {
		t.Error("an unknown user was taken")
	}
	if err := c.Rcpt("b@b.example"); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte("Subject: x\r\n\r\n.dot\r\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
	got := s.Messages()[0]
	local := got.Client
	got.Client = netip.AddrPort{}
	want := Message{
		Session: 1, Helo: "localhost", TLS: true, From: "a@a.example", FromParams: "BODY=8BITMIME SMTPUTF8", Via: "DATA",
		Recipients: []Recipient{{Address: "b@b.example"}},
		Content:    []byte("Subject: x\r\n\r\n.dot\r\n"),
		Commands: []string{
			"MAIL FROM:<a@a.example> BODY=8BITMIME SMTPUTF8", "RCPT TO:<x@b.example>", "RCPT TO:<b@b.example>", "DATA",
		},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(sameAddr)); diff != "" || !local.Addr().IsLoopback() {
		t.Errorf("client %v, message (-want +got):\n%s", local, diff)
	}
}

func sameAddr(a, b netip.AddrPort) bool { return a == b }

// RFC 3207 section 4.2: nothing sent or learned before the handshake is of use after it.
func TestStartTLSForgets(t *testing.T) {
	p := connect(t, &Server{TLS: certificate(t)})
	p.ehlo()
	p.send("STARTTLS\r\n")
	p.want("220 2.0.0 Ready to start TLS")
	secure := tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true})
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	p.conn = secure
	p.in.Reset(secure)
	p.send("MAIL FROM:<>\r\n")
	p.want("503 5.5.1 EHLO first")
	p.send("STARTTLS\r\n")
	p.want("503 5.5.1 Out of sequence")
	p.send("QUIT\r\n")
	p.want("221 2.0.0 Bye")
}

func TestBrokenHandshake(t *testing.T) {
	s := &Server{TLS: certificate(t)}
	p := connect(t, s)
	p.ehlo()
	p.send("STARTTLS\r\n")
	p.want("220 2.0.0 Ready to start TLS")
	go func() { _, _ = p.conn.Write([]byte("MAIL FROM:<>\r\n")) }()
	// An alert comes back, then the end.
	buf := make([]byte, 100)
	for err := error(nil); err == nil; {
		_, err = p.conn.Read(buf)
	}
	<-p.done
	if s.Committed() != 0 {
		t.Error("plain text ran behind STARTTLS")
	}
}

func TestXClient(t *testing.T) {
	const long = "XCLIENT NAME=mail.a.example ADDR=192.0.2.7 PORT=2525 PROTO=ESMTP HELO=a+20b LOGIN=joe DESTADDR=IPV6:2001:db8::1 DESTPORT=25"
	for _, c := range []struct {
		name, line, want string
		client, dest     string // "" where none
	}{
		{"all of it", long, "220 sink.test ESMTP mailsink", "192.0.2.7:2525", "[2001:db8::1]:25"},
		{"lower case", "xclient addr=ipv6:2001:DB8::2 port=1", "220 sink.test ESMTP mailsink", "[2001:db8::2]:1", ""},
		{"unknown values", "XCLIENT NAME=[UNAVAILABLE] ADDR=[TEMPUNAVAIL]", "220 sink.test ESMTP mailsink", "", ""},
		{"nothing", "XCLIENT", "501 5.5.4 Bad attribute", "", ""},
		{"unknown attribute", "XCLIENT FOO=1", "501 5.5.4 Bad attribute", "", ""},
		{"IPv6 without its tag", "XCLIENT ADDR=2001:db8::1", "501 5.5.4 Bad attribute", "", ""},
		{"IPv4 with the tag", "XCLIENT ADDR=IPV6:192.0.2.1", "501 5.5.4 Bad attribute", "", ""},
		{"a zone", "XCLIENT ADDR=IPV6:fe80::1%eth0", "501 5.5.4 Bad attribute", "", ""},
		{"a port too high", "XCLIENT PORT=65536", "501 5.5.4 Bad attribute", "", ""},
		{"xtext cut short", "XCLIENT HELO=a+2", "501 5.5.4 Bad attribute", "", ""},
		{"a line end in xtext", "XCLIENT HELO=a+0Ab", "501 5.5.4 Bad attribute", "", ""},
		{"lower-case xtext", "XCLIENT HELO=a+2fb", "501 5.5.4 Bad attribute", "", ""},
		{"unknown protocol", "XCLIENT PROTO=LMTP", "501 5.5.4 Bad attribute", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Server{Extensions: DefaultExtensions()}
			p := connect(t, s)
			p.ehlo()
			p.send(c.line + "\r\n")
			p.want(c.want)
			if c.want[0] != '2' {
				return
			}
			p.send("MAIL FROM:<>\r\n")
			p.want("503 5.5.1 EHLO first")
			p.send("HELO proxy.example\r\n")
			p.want("250 sink.test")
			p.open()
			p.put(".\r\n")
			p.want("250 2.0.0 Ok: queued as 1")
			m := s.Messages()[0]
			if text(m.Client) != c.client || text(m.Dest) != c.dest {
				t.Errorf("client %v, dest %v", m.Client, m.Dest)
			}
			if c.line == long && (m.ClientName != "mail.a.example" || m.Helo != "a b" || m.Proto != "ESMTP" || m.Login != "joe") {
				t.Errorf("got %+v", m)
			}
		})
	}
}

func text(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func TestXClientRefused(t *testing.T) {
	p := connect(t, &Server{Extensions: []string{"XCLIENT ADDR"}})
	p.ehlo()
	p.send("XCLIENT NAME=x\r\n")
	p.want("501 5.5.4 Bad attribute")
	p.send("MAIL FROM:<>\r\n")
	p.want("250 2.1.0 Ok")
	p.send("XCLIENT ADDR=192.0.2.1\r\n")
	p.want("503 5.5.1 Transaction in progress")
	p = connect(t, &Server{})
	p.ehlo()
	p.send("XCLIENT ADDR=192.0.2.1\r\n")
	p.want("550 5.7.0 Not authorized")
}

func TestProxy(t *testing.T) {
	mapped := &net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.9"), Port: 7}
	v6 := &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 25}
	v4 := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711}
	for _, c := range []struct {
		name   string
		header *proxyproto.Header
		client string
	}{
		{"IPv4", proxyproto.HeaderProxyFromAddrs(2, v4, v4), "192.0.2.1:4711"},
		{"IPv6", proxyproto.HeaderProxyFromAddrs(2, v6, v6), "[2001:db8::1]:25"},
		{"mapped", proxyproto.HeaderProxyFromAddrs(2, mapped, v6), "192.0.2.9:7"},
		{"LOCAL", &proxyproto.Header{Version: 2, Command: proxyproto.LOCAL}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Server{ProxyV2: true}
			p := connect(t, s)
			if _, err := c.header.WriteTo(p.conn); err != nil {
				t.Fatal(err)
			}
			p.hello()
			p.open()
			p.put(".\r\n")
			p.want("250 2.0.0 Ok: queued as 1")
			if m := s.Messages()[0]; text(m.Client) != c.client {
				t.Errorf("client %v, want %v", m.Client, c.client)
			}
		})
	}
}

func TestProxyMissing(t *testing.T) {
	for _, first := range []string{"HELO a.example\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n"} {
		p := connect(t, &Server{ProxyV2: true})
		go func() { _, _ = p.conn.Write([]byte(first)) }()
		p.wantEnd()
	}
}
