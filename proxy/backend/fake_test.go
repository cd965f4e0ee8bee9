package backend

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatepost/proxy/smtp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// farm plays the servers behind a Backend, one script a connection. A script has a step a line:
//
//	S: text    send the line
//	S= "..."   send these bytes, quoted as in Go
//	S+ text    send the line in one segment with what is sent next; under TLS it is a record of its own
//	CUT n      keep the last n octets of the next segment back, for the one behind it
//	C: text    expect this line
//	C= "..."   expect these bytes
//	C~ n       take n octets
//	C.         take a data stream to its end mark
//	TLS        handshake
//	TLSFAIL    handshake that the client breaks off
//	WAIT d     do nothing for a time
//	BYE        end TLS on our side, and leave the socket open
//	HANG       read, and say nothing, until the client closes
//	EOF        expect that the client closes, without a byte more
//
// At its end the connection is closed. A script "REFUSE" is a connection that can't be made.
type farm struct {
	t       *testing.T
	cert    *tls.Certificate
	wg      sync.WaitGroup
	mu      sync.Mutex
	scripts []string
	dead    string   // an address that refuses whatever the scripts say
	dialled []string // network and address of each connection
	writes  []string // what the client wrote, a string a write
}

var errRefused = errors.New("connection refused")

func newFarm(t *testing.T, scripts ...string) *farm {
	f := &farm{t: t, scripts: scripts}
	t.Cleanup(f.wg.Wait)
	return f
}

// backend is one whose connections go to the farm.
func (f *farm) backend(s Settings) *Backend {
	if s.Addresses == nil {
		s.Addresses = []string{"mx.test:25"}
	}
	s.Name, s.Hostname = "main", "gate.test"
	b := New(s)
	b.dial = f.dial
	return b
}

func (f *farm) dial(_ context.Context, network, address string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dialled = append(f.dialled, network+" "+address)
	if address == f.dead {
		return nil, errRefused
	}
	if len(f.scripts) == 0 {
		f.t.Errorf("connection %d was not expected", len(f.dialled))
		return nil, errRefused
	}
	script := f.scripts[0]
	f.scripts = f.scripts[1:]
	if script == "REFUSE" {
		return nil, errRefused
	}
	here, there := net.Pipe()
	f.wg.Go(func() { f.play(there, script) })
	return &tap{Conn: here, farm: f}, nil
}

// tap notes the client's writes.
type tap struct {
	net.Conn
	farm *farm
}

func (c *tap) Write(p []byte) (int, error) {
	c.farm.mu.Lock()
	c.farm.writes = append(c.farm.writes, string(p))
	c.farm.mu.Unlock()
	return c.Conn.Write(p)
}

// wrote gives the writes since the last call.
func (f *farm) wrote() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.writes
	f.writes = nil
	return w
}

// play is the server of one connection. That the client went away while we speak is no error: EOF asks for it.
func (f *farm) play(c net.Conn, script string) {
	seg := &segments{Conn: c}
	p := &player{t: f.t, conn: seg, seg: seg, cert: f.cert, in: bufio.NewReaderSize(c, 1<<20)}
	defer func() { _ = p.conn.Close() }()
	for step := range strings.Lines(strings.TrimSpace(script)) {
		if err := p.step(strings.TrimSpace(step)); err != nil {
			f.t.Errorf("server at %q: %v", strings.TrimSpace(step), err)
			return
		}
	}
}

// segments is the server's end, where what is written can be parted in another way than it was written.
type segments struct {
	net.Conn
	more bool // more is to come in the same segment
	cut  int  // octets to be kept back once
	held []byte
}

func (s *segments) Write(p []byte) (int, error) {
	s.held = append(s.held, p...)
	if s.more {
		return len(p), nil
	}
	n := len(s.held) - s.cut
	_, err := s.Conn.Write(s.held[:n])
	s.held, s.cut = s.held[n:], 0
	return len(p), err
}

type player struct {
	t    *testing.T
	conn net.Conn
	seg  *segments
	cert *tls.Certificate
	in   *bufio.Reader
}

func (p *player) step(step string) error {
	word, arg, _ := strings.Cut(step, " ")
	switch word {
	case "S:":
		_, _ = io.WriteString(p.conn, arg+"\r\n")
		return nil
	case "S=":
		s, err := strconv.Unquote(arg)
		_, _ = io.WriteString(p.conn, s)
		return err
	case "S+":
		p.seg.more = true
		_, _ = io.WriteString(p.conn, arg+"\r\n")
		p.seg.more = false
		return nil
	case "CUT":
		n, err := strconv.Atoi(arg)
		p.seg.cut = n
		return err
	case "WAIT":
		d, err := time.ParseDuration(arg)
		time.Sleep(d)
		return err
	case "BYE":
		return p.conn.(*tls.Conn).CloseWrite()
	case "HANG":
		_, _ = io.Copy(io.Discard, p.in)
		return nil
	case "TLS":
		return p.handshake()
	case "TLSFAIL":
		if p.handshake() == nil {
			_, err := p.in.ReadByte()
			if err == nil {
				return errors.New("the client took the certificate")
			}
		}
		return nil
	}
	return p.expect(word, arg)
}

func (p *player) expect(word, arg string) error {
	switch word {
	case "C:":
		return p.take(arg + "\r\n")
	case "C=":
		s, err := strconv.Unquote(arg)
		if err != nil {
			return err
		}
		return p.take(s)
	case "C~":
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		_, err = io.CopyN(io.Discard, p.in, int64(n))
		return err
	case "C.":
		return p.takeData()
	case "EOF":
		if rest, err := io.ReadAll(p.in); len(rest) > 0 {
			return fmt.Errorf("got %q, %v; want the end", rest, err)
		}
		return nil
	}
	return fmt.Errorf("no such step")
}

func (p *player) take(want string) error {
	got := make([]byte, len(want))
	n, err := io.ReadFull(p.in, got)
	if string(got[:n]) != want {
		return fmt.Errorf("got %q, %v; want %q", got[:n], err, want)
	}
	return nil
}

func (p *player) takeData() error {
	for {
		line, err := p.in.ReadString('\n')
		if err != nil || line == ".\r\n" {
			return err
		}
	}
}

func (p *player) handshake() error {
	c := tls.Server(p.conn, &tls.Config{Certificates: []tls.Certificate{*p.cert}})
	if err := c.Handshake(); err != nil {
		return err
	}
	p.conn, p.in = c, bufio.NewReaderSize(c, 1<<20)
	return nil
}

// certificate is a throwaway one for mx.test, and the pool that trusts it.
func certificate(t *testing.T) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"mx.test"},
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), // synctest's clock begins in 2000
		NotAfter:     time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// message is content of given pieces.
type message struct {
	pieces []string
	size   int64 // 0: that of the pieces
	err    error // comes behind the pieces
	plain  bool  // no line starts with a dot
}

func text(pieces ...string) *message { return &message{pieces: pieces} }

func (m *message) Size() int64 {
	if m.size > 0 {
		return m.size
	}
	return int64(len(strings.Join(m.pieces, "")))
}

func (m *message) Dotted() bool { return !m.plain }

func (m *message) Pieces(to Sink) error {
	for _, p := range m.pieces {
		if err := to.Write([]byte(p)); err != nil {
			return err
		}
	}
	return m.err
}

var (
	anna = smtp.Address{Local: "anna", Domain: "shop.test"}
	amy  = smtp.Address{Local: "amy", Domain: "mx.test"}
	ben  = smtp.Address{Local: "ben", Domain: "mx.test"}
)

// visitor is a client as it comes over IPv4.
func visitor() Client {
	return Client{
		Addr:  netip.MustParseAddrPort("192.0.2.7:4000"),
		Local: netip.MustParseAddrPort("198.51.100.1:25"),
		Name:  "mail.shop.test", Helo: "helo.shop.test", Proto: "ESMTP",
	}
}

// mustOpen opens a connection for visitor.
func mustOpen(t *testing.T, b *Backend) *Conn {
	t.Helper()
	c, err := b.Open(t.Context(), visitor())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// envelope queues one transaction of two recipients.
func envelope(c *Conn) {
	c.Mail(anna, smtp.MailParams{Size: -1}, 0)
	c.Rcpt(amy, smtp.RcptParams{})
	c.Rcpt(ben, smtp.RcptParams{})
}

// replies reads n replies that must come.
func replies(t *testing.T, c *Conn, n int) []int {
	t.Helper()
	codes := make([]int, 0, n)
	for range n {
		r, err := c.Reply()
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, r.Code)
	}
	return codes
}

// outcome is a reply or a fault in few words: "250 queued", "final 451 4.4.2 unknown".
func outcome(r smtp.Reply, err error) string {
	if err == nil {
		return fmt.Sprintf("%d %s", r.Code, r.Text)
	}
	var f *Fault
	if !errors.As(err, &f) {
		return fmt.Sprintf("not a fault: %v", err)
	}
	s := fmt.Sprintf("%s %d %.5s", f.Stage, f.Reply.Code, f.Reply.Text)
	if f.Unknown {
		s += " unknown"
	}
	return s
}

// deliver brings one message as a session does, and tells how it ended.
func deliver(t *testing.T, b *Backend, content Content) string {
	t.Helper()
	c, err := b.Open(t.Context(), visitor())
	if err != nil {
		return outcome(smtp.Reply{}, err)
	}
	defer c.Quit()
	c.Mail(anna, smtp.MailParams{Size: -1}, 0)
	c.Rcpt(amy, smtp.RcptParams{})
	for range 2 {
		if r, err := c.Reply(); err != nil || r.Class() != 2 {
			return outcome(r, err)
		}
	}
	return outcome(c.Send(content))
}
