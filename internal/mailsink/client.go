package mailsink

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pires/go-proxyproto"
)

// told is what XCLIENT said of the real client; zero where nothing was said.
type told struct {
	addr, dest               netip.Addr
	port, destPort           uint16
	name, helo, proto, login string
}

// readProxy reads the header that must open the connection; anything else ends the session unanswered.
func (c *session) readProxy() error {
	h, err := proxyproto.Read(c.in)
	if err != nil {
		return errors.Join(errOver, err)
	}
	if h.Version != 2 {
		return errOver
	}
	if h.Command.IsLocal() {
		// PROXY protocol section 2.2: LOCAL is the proxy's own connection; the socket's addresses stand.
		c.sink.note(c.id, 'C', "PROXY LOCAL")
		return nil
	}
	c.client, c.dest = addrPort(h.SourceAddr), addrPort(h.DestinationAddr)
	c.sink.note(c.id, 'C', "PROXY "+c.client.String()+" "+c.dest.String())
	return nil
}

// addresses gives both ends of the sender's connection as far as they are known.
func (c *session) addresses() (client, dest netip.AddrPort) {
	client, dest = c.client, c.dest
	if c.told.addr.IsValid() {
		client = netip.AddrPortFrom(c.told.addr, c.told.port)
	}
	if c.told.dest.IsValid() {
		dest = netip.AddrPortFrom(c.told.dest, c.told.destPort)
	}
	return client, dest
}

// addrPort gives the address of a TCP connection, a mapped IPv4 one as IPv4; zero for other kinds.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// xclient takes Postfix's XCLIENT command, as its XCLIENT_README describes it.
func (c *session) xclient(arg, line string) error {
	announced, ok := c.extension("XCLIENT")
	if !ok {
		return c.say(StageXClient, line, "550 5.7.0 Not authorized")
	}
	if c.mailed {
		return c.say(StageXClient, line, "503 5.5.1 Transaction in progress")
	}
	next := c.told
	if arg == "" || !next.setAll(arg, announced) {
		return c.say(StageXClient, line, "501 5.5.4 Bad attribute")
	}
	sent, err := c.answer(StageXClient, line, "220 "+c.sink.hostname()+" ESMTP mailsink")
	if err == nil && class(sent) == '2' {
		// The session begins anew: a greeting is expected.
		c.told, c.helo, c.esmtp = next, "", false
		c.clear()
	}
	return err
}

// setAll takes "NAME=value ..." and reports whether each was announced and well-formed.
func (t *told) setAll(arg, announced string) bool {
	allowed := strings.Fields(strings.ToUpper(announced))
	for _, a := range strings.Fields(arg) {
		key, text, ok := strings.Cut(a, "=")
		key = strings.ToUpper(key)
		value, fine := decode(text)
		if !ok || !fine || !slices.Contains(allowed, key) || !t.set(key, value) {
			return false
		}
	}
	return true
}

func (t *told) set(key, value string) (ok bool) {
	if value == "[UNAVAILABLE]" || value == "[TEMPUNAVAIL]" {
		value = ""
	}
	ok = true
	switch key {
	case "NAME":
		t.name = value
	case "HELO":
		t.helo = value
	case "PROTO":
		t.proto = value
		ok = value == "" || value == "SMTP" || value == "ESMTP"
	case "LOGIN":
		t.login = value
	case "ADDR":
		t.addr, ok = address(value)
	case "DESTADDR":
		t.dest, ok = address(value)
	case "PORT":
		t.port, ok = port(value)
	case "DESTPORT":
		t.destPort, ok = port(value)
	default:
		ok = false
	}
	return ok
}

// address reads 192.0.2.1 or IPV6:2001:db8::1; "" is the zero address.
func address(s string) (netip.Addr, bool) {
	if s == "" {
		return netip.Addr{}, true
	}
	rest, tagged := strings.CutPrefix(strings.ToUpper(s), "IPV6:")
	a, err := netip.ParseAddr(rest)
	return a, err == nil && a.Zone() == "" && tagged == a.Is6()
}

func port(s string) (uint16, bool) {
	if s == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil
}

// decode undoes xtext. RFC 3461 section 4: "+" and two upper-case hex digits stand for an octet.
func decode(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			b.WriteByte(s[i])
			continue
		}
		if i+3 > len(s) || strings.ToUpper(s[i+1:i+3]) != s[i+1:i+3] {
			return "", false
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil || n < ' ' || n == 0x7f {
			return "", false // no control character has a place in an attribute
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), true
}

func (c *session) startTLS(arg, line string) error {
	own := "220 2.0.0 Ready to start TLS"
	switch {
	case arg != "":
		own = "501 5.5.4 STARTTLS takes no argument"
	case c.sink.TLS == nil:
		own = "502 5.5.1 No TLS here"
	case c.secure || c.mailed:
		own = "503 5.5.1 Out of sequence"
	}
	sent, err := c.answer(StageStartTLS, line, own)
	if err != nil || class(sent) != '2' || c.sink.TLS == nil {
		return err
	}
	return c.handshake()
}

func (c *session) handshake() error {
	c.out.drain()
	secured := tls.Server(c.conn, c.sink.TLS)
	if err := secured.HandshakeContext(c.ctx); err != nil {
		c.sink.note(c.id, 'E', "TLS handshake failed")
		return errOver
	}
	// RFC 3207 section 4.2: everything learned before is forgotten.
	c.helo, c.esmtp, c.secure = "", false, true
	c.clear()
	c.attach(secured)
	return nil
}
