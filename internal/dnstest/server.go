// Package dnstest is a small DNS server for tests and for the demonstration. It serves the zones of a text over UDP and TCP
// on one port of the loopback address, as a recursive server would answer, counts what it is asked, and misbehaves on
// demand: see the methods of Server.
//
// The text is in the master file format of RFC 1035 section 5, any number of $ORIGIN lines included; $INCLUDE is refused.
// Names outside every zone (a zone is what lies below a SOA record) count as those of a root zone that has nothing else.
package dnstest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Server serves zones. Its methods are safe for concurrent use.
type Server struct {
	udp *net.UDPConn
	tcp net.Listener

	done    chan struct{} // closed by Close
	closing sync.Once
	running sync.WaitGroup

	mu     sync.Mutex
	zones  *zones
	faults map[string]fault // by name, "" for all names
	asked  map[string]int
	tcps   int
	conns  map[net.Conn]struct{}
}

// test is what Start needs of a testing.TB. The package testing is not named here: the demonstration links this one.
type test interface {
	Helper()
	Fatal(...any)
	Cleanup(func())
}

// Start serves zone until the test ends.
func Start(t test, zone string) *Server {
	t.Helper()
	s, err := Listen(zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// ListenZone serves zone without a test around it. addr is host:port; stop returns when everything has ended.
func ListenZone(zone string) (addr string, stop func(), err error) {
	s, err := Listen(zone)
	if err != nil {
		return "", nil, err
	}
	return s.Addr(), s.Close, nil
}

// Listen serves zone until Close. The error tells the line of a zone that can't be read, or why there is no socket.
func Listen(zone string) (*Server, error) {
	z, err := parse(zone)
	if err != nil {
		return nil, err
	}
	s := &Server{
		zones: z, done: make(chan struct{}),
		faults: make(map[string]fault), asked: make(map[string]int), conns: make(map[net.Conn]struct{}),
	}
	if err := s.bind(); err != nil {
		return nil, err
	}
	s.running.Go(s.serveUDP)
	s.running.Go(s.serveTCP)
	return s, nil
}

// bind finds a port that is free for both.
func (s *Server) bind() (err error) {
	const attempts = 20
	for range attempts {
		s.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return err
		}
		if s.tcp, err = net.Listen("tcp", s.Addr()); err == nil {
			return nil
		}
		_ = s.udp.Close()
	}
	return fmt.Errorf("no port is free for UDP and TCP: %w", err)
}

// Addr gives the address of the server, as host:port.
func (s *Server) Addr() string { return s.udp.LocalAddr().String() }

// Close stops the server; to those who ask, it is refused then. It returns when everything has ended.
func (s *Server) Close() {
	s.closing.Do(func() {
		close(s.done)
		_ = s.udp.Close()
		_ = s.tcp.Close()
		s.mu.Lock()
		for c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
	})
	s.running.Wait()
}

// SetZone puts other zones in the place of those served.
func (s *Server) SetZone(zone string) error {
	z, err := parse(zone)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zones = z
	return nil
}

// Queries tells how often each question was asked, over UDP and TCP, by "name TYPE": "example.com TXT". The names are in
// lower case, without the final dot.
func (s *Server) Queries() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]int, len(s.asked))
	for k, n := range s.asked {
		all[k] = n
	}
	return all
}

// Total tells how many queries came, over UDP and TCP: the round trips it took.
func (s *Server) Total() (n int) {
	for _, k := range s.Queries() {
		n += k
	}
	return n
}

// TCP tells how many of the queries came over TCP.
func (s *Server) TCP() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tcps
}

func (s *Server) serveUDP() {
	const largest = 4096
	for {
		buf := make([]byte, largest)
		n, from, err := s.udp.ReadFromUDP(buf)
		if err != nil {
			return
		}
		s.running.Go(func() {
			for _, answer := range s.answer(buf[:n], false) {
				s.send(answer, from)
			}
		})
	}
}

func (s *Server) send(p packet, to *net.UDPAddr) {
	if !p.strange {
		_, _ = s.udp.WriteToUDP(p.raw, to)
		return
	}
	if other, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err == nil {
		_, _ = other.WriteToUDP(p.raw, to)
		_ = other.Close()
	}
}

func (s *Server) serveTCP() {
	for {
		conn, err := s.tcp.Accept()
		if err != nil {
			return
		}
		if !s.hold(conn) {
			_ = conn.Close()
			return
		}
		s.running.Go(func() {
			defer s.release(conn)
			s.serveConn(conn)
		})
	}
}

// hold keeps conn for Close; it says false when the server is closed.
func (s *Server) hold(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return false
	default:
		s.conns[conn] = struct{}{}
		return true
	}
}

func (s *Server) release(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
	_ = conn.Close()
}

// serveConn answers the queries of one connection (RFC 7766 section 8: each with its length in front).
func (s *Server) serveConn(conn net.Conn) {
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		for _, answer := range s.answer(query, true) {
			framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(answer.raw))), answer.raw...)
			if _, err := conn.Write(framed); err != nil {
				return
			}
		}
	}
}

// wait waits for d, or for the end of the server, or for gate.
func (s *Server) wait(d time.Duration, gate <-chan struct{}) {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.done:
		}
	}
	if gate != nil {
		select {
		case <-gate:
		case <-s.done:
		}
	}
}
