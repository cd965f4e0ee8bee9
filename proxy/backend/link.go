package backend

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"

	"gatepost/internal/socket"
	"gatepost/proxy/smtp"
)

// link is the connection to one server: what stays the same whoever's transaction it carries.
type link struct {
	address  string
	socket   net.Conn // as dialled
	conn     net.Conn // the socket, or TLS over it
	wire     *wire    // what TLS reads; nil in clear
	in       *smtp.Reader
	parts    [2][]byte   // what writeBoth writes
	rest     net.Buffers // and what of it is left
	caps     smtp.Caps
	secured  bool // conn is TLS
	verified bool // and the certificate was verified
}

func newLink(address string, socket net.Conn) *link {
	return &link{address: address, socket: socket, conn: socket, in: smtp.NewReader(socket)}
}

// write sends p whole until the time given.
func (l *link) write(p []byte, by time.Time) error {
	if err := l.conn.SetWriteDeadline(by); err != nil {
		return err
	}
	_, err := l.conn.Write(p)
	return err
}

// gathers says that writeBoth makes one call of two parts.
func (l *link) gathers() bool {
	_, ok := l.conn.(*net.TCPConn)
	return ok
}

// writeBoth is write for p with q behind it; either may be empty.
func (l *link) writeBoth(p, q []byte, by time.Time) error {
	switch {
	case len(p) == 0:
		return l.write(q, by)
	case len(q) == 0:
		return l.write(p, by)
	}
	if err := l.conn.SetWriteDeadline(by); err != nil {
		return err
	}
	l.parts = [2][]byte{p, q}
	l.rest = l.parts[:]
	_, err := l.rest.WriteTo(l.conn)
	clear(l.parts[:])
	return err
}

// reply reads one reply. The time is for the whole of it, so a server that sends a byte now and then gains nothing.
func (l *link) reply(by time.Time) (smtp.Reply, error) {
	if err := l.conn.SetReadDeadline(by); err != nil {
		return smtp.Reply{}, err
	}
	return smtp.ReadReply(l.in)
}

// ask sends one command and reads the reply to it.
func (l *link) ask(line []byte, wait time.Duration) (smtp.Reply, error) {
	if l.pending() {
		return smtp.Reply{}, errOutOfTurn
	}
	by := time.Now().Add(wait)
	if err := l.write(line, by); err != nil {
		return smtp.Reply{}, err
	}
	return l.reply(by)
}

// pending says that more was read than was asked for. It makes no system call, unless TLS has half a record.
func (l *link) pending() bool {
	if l.in.Buffered() == 0 && l.secured {
		_ = l.decrypt(never) // the end, which is for the next reply to tell
	}
	return l.in.Buffered() > 0 || l.secured && l.wire.midway()
}

// answered says, as far as can be known without waiting, that a reply, or the end of the connection, came already.
func (l *link) answered() bool {
	switch {
	case l.in.Buffered() > 0:
		return true
	case l.secured:
		return !errors.Is(l.decrypt(readable), os.ErrDeadlineExceeded) || l.wire.midway()
	}
	return readable(l.socket)
}

// readable says that a read of the socket would return at once, with bytes or with its end. False where that can't be known.
func readable(c net.Conn) bool { return socket.Look(c) != socket.Quiet }

// decrypt takes an octet or more from TLS, or fails as at a deadline where it has none. Only TLS itself can tell: a record may hold
// nothing for us, a ticket for instance. ready says when the socket is read; for the rest of a record we wait a moment.
func (l *link) decrypt(ready func(net.Conn) bool) error {
	l.wire.ready, l.wire.by = ready, until(earlyWait)
	_, err := l.in.More()
	l.wire.ready = nil
	return err
}

// secure puts TLS over the socket. What was read before counts no more (RFC 3207 section 4.2): hello comes next.
func (l *link) secure(config *tls.Config, by time.Time) error {
	l.wire = &wire{Conn: l.socket}
	conn := tls.Client(l.wire, config)
	if err := conn.SetDeadline(by); err != nil {
		return err
	}
	if err := conn.Handshake(); err != nil {
		return err
	}
	l.conn, l.secured = conn, true
	l.verified = len(conn.ConnectionState().VerifiedChains) > 0
	l.in.Reset(conn)
	return nil
}

// quit says QUIT, gives the server a moment for its reply, and closes.
func (l *link) quit(wait time.Duration) {
	by := time.Now().Add(min(wait, time.Second))
	if l.write([]byte("QUIT\r\n"), by) == nil {
		_, _ = l.reply(by) // whatever it is
	}
	_ = l.conn.Close()
}

// drop closes the socket as it stands: no alert of TLS, and nothing that was not written is written.
func (l *link) drop() {
	_ = l.socket.Close()
}
