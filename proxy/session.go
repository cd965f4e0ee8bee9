package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"gatepost/policy"
	"gatepost/proxy/backend"
	"gatepost/proxy/smtp"
)

// session is one client connection. It is run by one goroutine; only idle and raw are touched by others.
type session struct {
	srv  *Server
	set  *Settings
	lis  *Listener
	raw  net.Conn // the socket, below TLS
	conn net.Conn // what is spoken on
	r    *smtp.Reader
	out  []byte // replies that have not been written yet
	idle atomic.Bool

	id, refID string
	began     time.Time
	end       time.Time      // no mail is begun after it
	peer      netip.AddrPort // the other end of the socket, or whom a PROXY header names
	client    netip.AddrPort // the real client: the peer, or whom XCLIENT names
	local     netip.AddrPort
	name      string // the client's host name, "" where not known
	counted   netip.Prefix

	phase     phase
	verb      smtp.Verb // being answered
	helo      string
	esmtp     bool
	tls       string // version and suite, "" in clear
	offer     smtp.Offer
	sizeMax   int64 // octets of content that were offered
	errors    int
	idleCmds  int
	refusedDT bool // DATA was refused: what follows may be content and is not to run as commands
	closing   bool // the reply that ends the session has been given
	linger    bool // the sender may still be sending, and should be able to read that reply
	faults    []string
	last      refusal  // of a transaction or session as a whole
	script    []string // the dialogue, where it is kept
	recorded  bool     // a record of this session was written

	run     *policy.Run
	tx      *transaction
	dropped pace // of chunks that were refused
	back    *backend.Conn
	target  *backend.Backend // which one back leads to
	told    bool             // back was used by an earlier transaction: it may have died since
	wait    []waiting        // replies that the sender is owed behind those of the backend
	spare   []waiting        // room for the next ones
}

// refusal is a reply with what decided it.
type refusal struct {
	reply     smtp.Reply
	by, where string
	sent      string // what was refused, where it is not in the record elsewhere
}

// phase says which commands are legal.
type phase uint8

const (
	phaseStart phase = 1 << iota // before HELO
	phaseReady                   // greeted
	phaseMail                    // MAIL was taken
	phaseChunk                   // a BDAT chunk was taken, the last not yet
	phaseAny   = phaseStart | phaseReady | phaseMail | phaseChunk
)

func newSession(srv *Server, c net.Conn, l *Listener) *session {
	s := &session{srv: srv, set: srv.settings.Load(), lis: l, raw: c, conn: c, began: time.Now(), phase: phaseStart}
	s.peer, s.local = addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	s.client = s.peer
	s.end = s.began.Add(s.set.Limits.SessionTimeout)
	s.dropped = pace{until: s.end, kept: s.began}
	s.id = newRef()
	return s
}

// serve runs the session from the banner to its end.
func (s *session) serve() {
	defer s.finish()
	if !s.connect() {
		return
	}
	for !s.closing {
		line, err := s.readLine()
		if err != nil && !s.badLine(err) {
			return
		}
		if err == nil {
			s.command(line)
		}
	}
	s.flush()
}

// finish ends whatever is open and writes the last record.
func (s *session) finish() {
	s.endTransaction(policy.EndLost, "")
	s.dropBackend()
	if !s.recorded || len(s.faults) > 0 || s.last.reply.Code != 0 {
		s.recordSession()
	}
	if s.run != nil {
		s.run.Close()
	}
	if s.r != nil {
		s.r.Shrink()
	}
	if s.linger {
		s.awaitClose()
	}
	s.conn.Close()
}

// awaitClose gives a sender that was hung up on a moment to read why: closing a socket with unread input resets it, and
// the last reply may be lost with it.
func (s *session) awaitClose() {
	if c, ok := s.conn.(*tls.Conn); ok {
		c.CloseWrite() // the alert: an end without it looks like one that was cut
	}
	half, ok := s.raw.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	s.raw.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, s.raw, lingerBytes)
}

const (
	lingerTime  = time.Second
	lingerBytes = 256 << 10
)

// readLine gives the next command line. Before it waits for the sender, everything it is owed is written, in one go.
func (s *session) readLine() ([]byte, error) {
	if s.r.HasLine() {
		return s.r.Line(lineLimit)
	}
	if !s.settled() {
		return nil, errOver
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	if s.phase == phaseChunk {
		return s.awaitChunk()
	}
	defer s.idle.Store(false)
	if err := s.awaitCommand(); err != nil {
		return nil, err
	}
	return s.r.Line(lineLimit)
}

// awaitChunk gives the next command between two chunks. The content under way has its own end, also past that of the session and
// on shutdown, and its backend is kept.
func (s *session) awaitChunk() ([]byte, error) {
	p := &s.tx.pace
	until := earlier(time.Now().Add(s.set.Limits.CommandTimeout), p.until)
	for {
		s.conn.SetReadDeadline(earlier(until, p.kept.Add(keepAlive)))
		line, err := s.r.Line(lineLimit)
		now := time.Now()
		if !errors.Is(err, os.ErrDeadlineExceeded) || !now.Before(until) {
			return line, err
		}
		s.keepBackend(p, now)
	}
}

// errOver says that a reply of the backend was one error too many.
var errOver = errors.New("the session is over")

// lineLimit is the longest command line in octets. RFC 5321 section 4.5.3.1.4 asks for 512; extensions add to it.
const lineLimit = 2048

// awaitCommand sets the deadline for the next command; past the end of the session, or on shutdown, it has passed already.
func (s *session) awaitCommand() error {
	s.idle.Store(true)
	if err := s.conn.SetReadDeadline(earlier(time.Now().Add(s.set.Limits.CommandTimeout), s.end)); err != nil {
		return err
	}
	if s.srv.closing.Load() {
		return s.conn.SetReadDeadline(aLongTimeAgo)
	}
	return nil
}

var aLongTimeAgo = time.Unix(1, 0)

// nudge wakes the session if it waits for a command. Called from Shutdown.
func (s *session) nudge() {
	if s.idle.Load() {
		s.raw.SetReadDeadline(aLongTimeAgo)
	}
}

// badLine answers an error of reading a line, and says whether the session goes on.
func (s *session) badLine(err error) bool {
	switch {
	case errors.Is(err, smtp.ErrBareLine):
		s.fail(replyBareLine)
		if s.phase != phaseReady || s.refusedDT { // no SMTP at all, or maybe DATA or BDAT, with content behind it
			s.closing, s.linger = true, true
		}
		return true
	case errors.Is(err, smtp.ErrLineTooLong):
		s.hangUp(replyLongLine)
	case errors.Is(err, os.ErrDeadlineExceeded) && s.srv.closing.Load():
		s.hangUp(replyClosing)
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.hangUp(replyIdle)
	}
	s.flush()
	return false
}

// reply queues a reply behind those that are still awaited from the backend.
func (s *session) reply(r smtp.Reply) {
	if len(s.wait) > 0 {
		s.wait = append(s.wait, waiting{what: waitLocal, reply: r})
		return
	}
	s.say(r)
}

// say puts a reply behind those that are to be written.
func (s *session) say(r smtp.Reply) {
	at := len(s.out)
	s.out = r.Append(s.out)
	if s.set.Transcript {
		for line := range bytes.Lines(s.out[at:]) {
			s.note("S: ", line)
		}
	}
}

// The bounds of a transcript.
const (
	scriptLines = 200
	scriptLine  = 512
)

// note adds a line to the transcript.
func (s *session) note(who string, line []byte) {
	if len(s.script) < scriptLines {
		line = bytes.TrimRight(line, "\r\n")
		s.script = append(s.script, who+string(line[:min(len(line), scriptLine)]))
	}
}

// refuse is reply with the ref at the end, as each 4xx and 5xx carries it.
func (s *session) refuse(r smtp.Reply) { s.reply(r.WithRef(s.ref())) }

// fail refuses a command for an error of the sender's; too many of them end the session.
func (s *session) fail(r smtp.Reply) {
	s.refuse(r)
	s.countError()
}

func (s *session) countError() {
	if s.errors++; s.errors >= s.set.Limits.Errors && !s.closing {
		s.hangUp(replyErrors)
	}
}

// hangUp gives the reply that ends the session.
func (s *session) hangUp(r smtp.Reply) {
	if r.Class() == 2 {
		s.reply(r)
	} else {
		s.refuse(r)
		if s.last.by == "" {
			s.last.by = "protocol"
		}
		s.last.reply = r
	}
	s.closing, s.linger = true, true
}

// flush writes the replies that are owed.
func (s *session) flush() error {
	s.settle()
	if len(s.out) == 0 {
		return nil
	}
	s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := s.conn.Write(s.out)
	if cap(s.out) > 4096 {
		s.out = nil
	}
	s.out = s.out[:0]
	if err != nil {
		return fmt.Errorf("write replies: %v", err) // no timeout of the sender's silence: nothing is said behind a part of a reply
	}
	return nil
}

// writeTimeout is how long a sender may take to read replies.
const writeTimeout = time.Minute

// turnAway answers a connection that gets no session. It does not wait for the sender.
func (s *session) turnAway(r smtp.Reply) {
	s.last = refusal{reply: r, by: "proxy"}
	s.say(r.WithRef(s.ref()))
	s.conn.SetWriteDeadline(time.Now().Add(time.Second))
	s.conn.Write(s.out)
	s.faults = append(s.faults, "limit")
	s.recordSession()
}

// ref is the ref of the current transaction, or of the one to come.
func (s *session) ref() string {
	if s.refID == "" {
		s.refID = newRef()
	}
	return s.refID
}

// refAlphabet is Crockford's base 32: no I, L, O and U, so that it can be read aloud.
const refAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// newRef makes a ref of 50 random bits: over a month of a million mails a day, on any number of nodes, one pair is
// expected to share a ref.
func newRef() string {
	var b [10]byte
	v := rand.Uint64()
	for i := range b {
		b[i] = refAlphabet[v&31]
		v >>= 5
	}
	return string(b[:])
}

// fault notes a fault of form for the record, once.
func (s *session) fault(word string) {
	if !slices.Contains(s.faults, word) {
		s.faults = append(s.faults, word)
	}
}

// backendClient is what a backend is told of the client.
func (s *session) backendClient() backend.Client {
	proto := "SMTP"
	if s.esmtp {
		proto = "ESMTP"
	}
	return backend.Client{Addr: s.client, Local: s.local, Name: s.name, Helo: s.helo, Proto: proto}
}

// addrPort is a network address as a netip.AddrPort, IPv4-mapped addresses unmapped; zero for what is none.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

func stack() string { return string(debug.Stack()) }
