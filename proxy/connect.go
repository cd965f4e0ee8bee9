package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pires/go-proxyproto"

	"gatepost/policy"
	"gatepost/proxy/smtp"
)

const (
	proxyHeaderTimeout = 5 * time.Second
	handshakeTimeout   = 30 * time.Second
)

// connect does what comes before the first command: who the client is, limits, TLS where the listener starts with it, and the
// banner. It says whether there is a session.
func (s *session) connect() bool {
	if contains(s.lis.ProxyFrom, s.peer.Addr()) {
		if err := s.readProxyHeader(); err != nil {
			s.srv.log.Warn("no good PROXY header; the connection was dropped", "listener", s.lis.Name, "peer", s.peer, "error", err)
			s.fault("proxy-header")
			return false
		}
	}
	s.r = smtp.NewReader(s.conn)
	if !s.mayXClient() && !s.srv.admit(s, s.client.Addr()) { // a front is no client
		s.turnAway(replyTooMany)
		return false
	}
	if s.lis.ImplicitTLS && s.handshake() != nil {
		return false
	}
	early := s.talksFirst()
	if early {
		s.fault("pregreet")
	}
	s.begin(early)
	if d := s.run.Connect(s.lis.Early); d.Done >= policy.Defer {
		s.last = refusal{by: d.By, where: d.Where}
		s.hangUp(atConnect(d))
		s.linger = early // who waits for the banner sends nothing that could reset the connection under it
		s.flush()
		return false
	}
	s.reply(s.banner())
	return true
}

// atConnect is the reply to a connection that the policy refuses: 554 before the banner, 421 for now (RFC 5321 section 3.1).
func atConnect(d policy.Decision) smtp.Reply {
	r := smtp.Reply(d.Reply)
	switch d.Done {
	case policy.Reject:
		r.Code = 554
	case policy.Defer:
		r.Code = 421
	}
	return r
}

func (s *session) banner() smtp.Reply {
	return smtp.Reply{Code: 220, Text: s.set.Hostname + " ESMTP"}
}

// begin starts the run of checks for this client.
func (s *session) begin(early bool) {
	if s.run != nil {
		s.run.Close()
	}
	s.run = s.set.Policy.Begin(context.Background(), policy.View{Time: time.Now(), Client: s.client.Addr(), Hostname: s.set.Hostname, EarlyTalk: early})
}

// talksFirst holds the banner for a moment and says whether the client speaks before it, as only bots do (RFC 5321
// section 3.1: the client waits for the greeting).
func (s *session) talksFirst() bool {
	if s.set.Pregreet <= 0 {
		return false
	}
	s.conn.SetReadDeadline(time.Now().Add(s.set.Pregreet))
	got, _ := s.r.More()
	return len(got) > 0
}

// readProxyHeader reads the PROXY header of a trusted peer and takes the addresses from it; LOCAL and UNKNOWN keep those of the socket.
func (s *session) readProxyHeader() error {
	s.conn.SetReadDeadline(time.Now().Add(proxyHeaderTimeout))
	br := bufio.NewReaderSize(s.conn, maxProxyHeader)
	if err := checkProxyLength(br); err != nil {
		return err
	}
	h, err := proxyproto.Read(br)
	if err != nil {
		return err
	}
	rest, _ := br.Peek(br.Buffered())
	if len(rest) > 0 {
		s.conn = &prefixed{Conn: s.conn, rest: rest}
	}
	if src, dst, ok := h.TCPAddrs(); ok && !h.Command.IsLocal() {
		s.peer, s.local = addrPort(src), addrPort(dst)
		s.client = s.peer
	}
	return nil
}

// maxProxyHeader bounds a PROXY v2 header with its TLVs, in octets.
const maxProxyHeader = 2048

// checkProxyLength refuses a v2 header that claims to be longer than maxProxyHeader, before the library reads it.
func checkProxyLength(br *bufio.Reader) error {
	first, err := br.Peek(1)
	if err != nil {
		return err
	}
	if first[0] != 0x0d { // not version 2
		return nil
	}
	head, err := br.Peek(16)
	if err != nil {
		return err
	}
	if n := binary.BigEndian.Uint16(head[14:]); int(n)+16 > maxProxyHeader {
		return errors.New("a PROXY v2 header of absurd length")
	}
	return nil
}

// prefixed is a connection of which the first bytes have been read already.
type prefixed struct {
	net.Conn
	rest []byte
}

// Read gives the first bytes, then the connection's.
func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.rest) > 0 {
		n := copy(b, p.rest)
		p.rest = p.rest[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// canTLS says whether STARTTLS is offered.
func (s *session) canTLS() bool { return s.set.TLS != nil && !s.lis.NoTLS && s.tls == "" }

// startTLS answers STARTTLS (RFC 3207). Whatever the client sent behind it in clear is never read as commands.
func (s *session) startTLS([]byte) {
	if s.tls != "" {
		s.fail(smtp.Reply{Code: 503, Text: "5.5.1 TLS is on already"})
		return
	}
	if !s.canTLS() {
		s.fail(replyNotHere)
		return
	}
	if !s.inTurn() {
		return
	}
	s.reply(replyReadyTLS)
	if s.flush() != nil || s.handshake() != nil {
		s.closing = true
		return
	}
	s.dropBackend()
	s.phase, s.helo, s.esmtp, s.offer = phaseStart, "", false, smtp.Offer{} // RFC 3207 section 4.2
}

// handshake puts TLS on the connection.
func (s *session) handshake() error {
	if s.set.TLS == nil {
		return errors.New("no certificate")
	}
	c := tls.Server(s.conn, s.set.TLS)
	s.conn.SetDeadline(time.Now().Add(handshakeTimeout))
	if err := apart(c.Handshake); err != nil {
		s.srv.log.Debug("TLS handshake failed", "client", s.client, "error", err)
		s.fault("tls-handshake")
		return err
	}
	s.conn.SetDeadline(time.Time{})
	st := c.ConnectionState()
	s.tls = tls.VersionName(st.Version) + " " + tls.CipherSuiteName(st.CipherSuite)
	s.conn = c
	s.r.Reset(c)
	return nil
}

// apart runs f in another goroutine: the session's own would keep the stack that f needs for hours. A panic of
// f is one of the session.
func apart(f func() error) error {
	var err error
	panicked := make(chan any, 1)
	handshakes.Go(func() {
		defer func() { panicked <- recover() }()
		err = f()
	})
	if p := <-panicked; p != nil {
		panic(p)
	}
	return err
}

// mayXClient says whether XCLIENT is taken from this peer.
func (s *session) mayXClient() bool { return contains(s.lis.XClientFrom, s.peer.Addr()) }

// xclient answers XCLIENT: what a trusted peer says of the real client. All that came before is forgotten.
func (s *session) xclient(arg []byte) {
	if !s.mayXClient() {
		s.fail(replyXClient)
		return
	}
	x, err := smtp.ParseXClient(arg)
	if err != nil {
		s.fail(asReply(err))
		return
	}
	if x.Addr.IsValid() {
		s.client = netip.AddrPortFrom(x.Addr, x.Port)
		s.name = ""
		if !s.srv.admit(s, x.Addr) {
			s.hangUp(replyTooMany)
			return
		}
	}
	if x.Name != "" && x.Name[0] != '[' {
		s.name = x.Name
	}
	if x.DestAddr.IsValid() {
		s.local = netip.AddrPortFrom(x.DestAddr, x.DestPort)
	}
	s.dropBackend()
	s.phase, s.helo, s.esmtp, s.offer = phaseStart, "", false, smtp.Offer{}
	s.begin(false)
	s.reply(s.banner())
}

func contains(nets []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Contains(a) })
}
