package dnstest

import (
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// A name given to one of the methods below is taken without its case and final dot; "" means every name. What is set for
// a name goes before what is set for all.

// Forgery is something that a server, or someone who pretends to be it, sends before the true answer.
type Forgery uint8

// The forgeries. Those with another question or id carry the address 192.0.2.66.
const (
	Junk      Forgery = iota // bytes that are no message
	WrongID                  // another id
	WrongName                // another name in the question
	WrongType                // another type in the question
	NoAnswer                 // the query itself, sent back
	Duplicate                // the true answer, one time more
	Stranger                 // the right id and question, but from another port
)

// fault is what goes wrong for a name.
type fault struct {
	rcode    int // dns.RcodeSuccess: none
	delay    time.Duration
	gate     <-chan struct{}
	drop     int // queries that get no answer; below 0: all
	truncate bool
	bare     bool
	forged   []Forgery
	raw      func(query []byte, tcp bool) []byte
}

func (s *Server) change(name string, f func(*fault)) {
	name = key(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.faults[name]
	f(&was)
	s.faults[name] = was
}

// key gives a name as the server's tables have it.
func key(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// ServFail makes the server fail for names.
func (s *Server) ServFail(names ...string) {
	for _, n := range names {
		s.change(n, func(f *fault) { f.rcode = dns.RcodeServerFailure })
	}
}

// Refuse makes the server refuse names.
func (s *Server) Refuse(names ...string) {
	for _, n := range names {
		s.change(n, func(f *fault) { f.rcode = dns.RcodeRefused })
	}
}

// Delay makes answers late by d.
func (s *Server) Delay(name string, d time.Duration) {
	s.change(name, func(f *fault) { f.delay = d })
}

// Hold keeps answers back until release is called.
func (s *Server) Hold(name string) (release func()) {
	gate := make(chan struct{})
	s.change(name, func(f *fault) { f.gate = gate })
	return sync.OnceFunc(func() { close(gate) })
}

// Drop leaves the next n queries without an answer; below 0: all.
func (s *Server) Drop(name string, n int) {
	s.change(name, func(f *fault) { f.drop = n })
}

// Truncate sends answers over UDP empty and marked as cut off.
func (s *Server) Truncate(name string) {
	s.change(name, func(f *fault) { f.truncate = true })
}

// Bare sends a CNAME record without what its target has.
func (s *Server) Bare(name string) {
	s.change(name, func(f *fault) { f.bare = true })
}

// Forge sends these over UDP before each true answer.
func (s *Server) Forge(name string, forged ...Forgery) {
	s.change(name, func(f *fault) { f.forged = forged })
}

// Raw makes whole answers: f is given the query, and whether it came over TCP. Nil from it: no answer.
func (s *Server) Raw(name string, f func(query []byte, tcp bool) []byte) {
	s.change(name, func(was *fault) { was.raw = f })
}

// Mend takes back all that was set for a name.
func (s *Server) Mend(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults, key(name))
}

// RefuseTCP makes connections over TCP fail from now on.
func (s *Server) RefuseTCP() { _ = s.tcp.Close() }

// count counts a query and gives what goes wrong for it. lost: it gets no answer.
func (s *Server) count(q dns.Question, tcp bool) (f fault, z *zones, lost bool) {
	name := key(q.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[name+" "+dns.Type(q.Qtype).String()]++
	if tcp {
		s.tcps++
	}
	if _, ok := s.faults[name]; !ok {
		name = ""
	}
	f = s.faults[name]
	if f.drop > 0 {
		left := f
		left.drop--
		s.faults[name] = left
	}
	return f, s.zones, f.drop != 0
}
