// Package mailsink is a small SMTP server that keeps what it is given: the backend of the demonstration, and the witness
// in tests of what a mail server behind the proxy would have seen. It shares no code with the proxy, so that both can't
// be wrong in the same way, and it misbehaves on demand: see Server.Fault and Server.Next.
//
// It is strict where a proxy must be exact: only CR LF ends a line, only CR LF . CR LF ends the content, parameters that
// were not announced are refused, and so is talking out of turn. Server.Lenient turns it into a careless server.
package mailsink

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
)

// Server holds the settings of a mail sink and what it was given. Its fields are set before the first session; its
// methods are safe for concurrent use. The zero value takes every recipient and announces no extension.
type Server struct {
	Hostname   string          // in the banner and the answer to EHLO; "" is "sink.test"
	Extensions []string        // lines of the answer to EHLO, such as DefaultExtensions; SIZE and STARTTLS are added
	Users      map[string]bool // recipients that exist, in lower case; nil: all do
	MaxSize    int64           // octets of content; 0: no limit, SIZE is not announced
	TLS        *tls.Config     // where set, STARTTLS is offered
	ProxyV2    bool            // a connection must begin with a PROXY header, version 2
	Lenient    bool            // a bare LF ends a line too, in commands and in content: a smuggled message shows as a second one
	Dir        string          // where set, each message is written there too: NAME.eml (content), NAME.json (envelope)
	Keep       int             // above 0: only so many of the latest messages and lines of the log are kept

	// Fault, where set, is asked at each Event what to do; it is called by many sessions at once and may block.
	Fault func(Event) Action
	// OnMessage, where set, is told of each message once it counts, before the sender is answered.
	OnMessage func(Message)

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	open      map[*session]struct{}
	next      map[Stage][]Action
	started   int // sessions ever
	committed int // messages ever
	messages  []Message
	log       []string
	changed   chan struct{} // closed at the next line of the log
	running   sync.WaitGroup
}

// DefaultExtensions gives what a common mail server announces, XCLIENT included.
func DefaultExtensions() []string {
	return []string{
		"PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING",
		"XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT",
	}
}

// Listen starts s on a free port of the loopback address and gives that as host:port. stop closes s and returns when its
// sessions have ended.
func Listen(s *Server) (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	return l.Addr().String(), func() { _ = s.Close(); _ = l.Close(); <-done }, nil
}

// Serve takes connections from l, each in a goroutine of its own, until Close (then it returns nil) or until l fails. It
// closes l.
func (s *Server) Serve(l net.Listener) error {
	if !s.hold(l) {
		_ = l.Close()
		return net.ErrClosed
	}
	defer s.release(l)
	for {
		conn, err := l.Accept()
		if err != nil {
			return s.acceptError(err)
		}
		if c := s.begin(conn); c != nil {
			go c.run()
		}
	}
}

// ServeConn runs one session on conn and returns when it is over; conn is closed then. On a closed server it only closes
// conn.
func (s *Server) ServeConn(conn net.Conn) {
	if c := s.begin(conn); c != nil {
		c.run()
	}
}

// Close ends all listeners and sessions and waits for them; what was committed stays readable. It must not be called
// from Fault or OnMessage. The error is always nil.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		_ = l.Close()
	}
	for c := range s.open {
		c.cancel()
		_ = c.socket.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

func (s *Server) hold(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.listeners == nil {
		s.listeners = make(map[net.Listener]struct{})
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) release(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	_ = l.Close()
}

// acceptError takes the failure of a listener that Close closed for the orderly end it is.
func (s *Server) acceptError(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	return err
}

// begin enters a session in the books; nil where the server is closed. The session leaves them at the end of its run.
func (s *Server) begin(conn net.Conn) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.started++
	c := &session{sink: s, id: s.started, ctx: ctx, cancel: cancel, socket: conn, conn: conn}
	if s.open == nil {
		s.open = make(map[*session]struct{})
	}
	s.open[c] = struct{}{}
	s.running.Add(1)
	return c
}

// finished takes a session out of the books.
func (s *Server) finished(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	s.running.Done()
}

func (s *Server) hostname() string {
	if s.Hostname == "" {
		return "sink.test"
	}
	return s.Hostname
}
