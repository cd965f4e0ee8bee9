package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gatepost/internal/workers"
	"gatepost/policy"
	"gatepost/proxy/smtp"
)

// Server accepts connections and runs a session on each.
type Server struct {
	settings atomic.Pointer[Settings]
	record   func(*policy.Record)
	log      *slog.Logger
	memory   budget
	closing  atomic.Bool
	opened   atomic.Int64
	refused  atomic.Int64

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	sessions  map[*session]struct{}
	clients   map[netip.Prefix]int
	files     descriptors
	running   sync.WaitGroup
}

// New makes a Server. record is called for each transaction, from many goroutines, and must not block.
func New(settings *Settings, record func(*policy.Record), log *slog.Logger) *Server {
	s := &Server{record: record, log: log, listeners: map[net.Listener]struct{}{},
		sessions: map[*session]struct{}{}, clients: map[netip.Prefix]int{}, files: newDescriptors()}
	s.Swap(settings)
	return s
}

// Swap puts new settings in force for the sessions to come.
func (s *Server) Swap(settings *Settings) {
	c := *settings
	c.Limits = c.Limits.withDefaults()
	s.memory.limit.Store(c.Limits.Memory)
	if most := s.files.most / 2; c.Limits.Connections > most {
		s.log.Warn("limits.connections is more than the file descriptors serve, of which a session takes two or more; raise the process's limit (LimitNOFILE= or ulimit -n), or lower this",
			"connections", c.Limits.Connections, "served", most)
	}
	s.settings.Store(&c)
}

// Stats are the figures of a moment.
type Stats struct {
	Open    int64 // sessions
	Total   int64 // connections ever accepted
	Refused int64 // of these, turned away for a limit
	Memory  int64 // octets of content in memory
}

// Stats tells how busy the server is.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	open := len(s.sessions)
	s.mu.Unlock()
	return Stats{int64(open), s.opened.Load(), s.refused.Load(), s.memory.used.Load()}
}

// Serve accepts connections until the listener is closed or Shutdown is called, which gives nil.
func (s *Server) Serve(ln net.Listener, l *Listener) error {
	s.mu.Lock()
	s.listeners[ln] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, ln)
		s.mu.Unlock()
	}()
	if s.closing.Load() {
		return ln.Close()
	}
	wait := time.Duration(0)
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			wait = 0
			s.serve(c, l)
		case s.closing.Load() || errors.Is(err, net.ErrClosed):
			return nil
		default: // out of descriptors, mostly: wait, so that accept never spins
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.log.Warn("cannot accept a connection; trying again", "listener", l.Name, "in", wait, "error", err)
			time.Sleep(wait)
		}
	}
}

// sessions and handshakes are what these run on. They are two, as a session waits for hours with the stack that it was given, and a
// handshake leaves a large one.
var sessions, handshakes workers.Pool

// serve is ServeConn in a goroutine that Shutdown waits for. What was accepted just before Shutdown is closed.
func (s *Server) serve(c net.Conn, l *Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		c.Close()
		return
	}
	s.running.Add(1)
	sessions.Go(func() {
		defer s.running.Done()
		s.ServeConn(c, l)
	})
}

// ServeConn runs a session on a connection and closes it. A panic ends that session alone.
func (s *Server) ServeConn(c net.Conn, l *Listener) {
	s.opened.Add(1)
	defer c.Close()
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a session panicked; it was ended", "client", c.RemoteAddr(), "panic", p, "stack", stack())
		}
	}()
	ss := newSession(s, c, l)
	if !s.enter(ss) {
		ss.turnAway(replyBusy)
		return
	}
	defer s.leave(ss)
	ss.serve()
}

// enter counts a session in; false where the server is full or closing, or descriptors are few.
func (s *Server) enter(ss *session) bool {
	few := s.files.few(ss.raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	if few && s.files.tell(time.Now()) {
		s.log.Warn("file descriptors are few; new connections are turned away", "at", s.files.most)
	}
	if few || s.closing.Load() || len(s.sessions) >= ss.set.Limits.Connections {
		s.refused.Add(1)
		return false
	}
	s.sessions[ss] = struct{}{}
	return true
}

func (s *Server) leave(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, ss)
	s.discount(ss)
}

// discount takes a session off the count of the client it is counted for.
func (s *Server) discount(ss *session) {
	if !ss.counted.IsValid() {
		return
	}
	if s.clients[ss.counted]--; s.clients[ss.counted] <= 0 {
		delete(s.clients, ss.counted)
	}
	ss.counted = netip.Prefix{}
}

// admit counts a session for its client, an IPv4 address or an IPv6 /64, and for no other; false where that has too many.
func (s *Server) admit(ss *session, client netip.Addr) bool {
	if !client.IsValid() { // no network address: a pipe, or a socket in the file system
		return true
	}
	bits := 32
	if client.Is6() {
		bits = 64
	}
	p, err := client.Prefix(bits)
	if err != nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discount(ss)
	if s.clients[p] >= ss.set.Limits.PerClient {
		s.refused.Add(1)
		return false
	}
	s.clients[p]++
	ss.counted = p
	return true
}

// Shutdown takes no more sessions, ends those that wait for a command with 421, and lets content under way finish
// until ctx ends; then it closes what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing.Store(true)
	for ln := range s.listeners {
		ln.Close()
	}
	for ss := range s.sessions {
		ss.nudge()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for ss := range s.sessions {
		ss.raw.Close()
	}
	s.mu.Unlock()
	select {
	case <-done:
	case <-time.After(time.Second): // one may still wait for a backend; its sender is gone
	}
	return ctx.Err()
}

var (
	replyBusy    = smtp.Reply{Code: 421, Text: "4.3.2 Too busy, or shutting down; please try again later"}
	replyTooMany = smtp.Reply{Code: 421, Text: "4.7.0 Too many connections from your address; please try again later"}
)
