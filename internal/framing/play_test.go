// Package framing holds a differential test of how content is framed: streams of bytes go from a sender through the proxy to a
// backend, and a strict model says what the backend must have taken.
package framing

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy"
	"gatepost/proxy/backend"
)

// patience is how long a session may take that should take no time.
const patience = 10 * time.Second

// stream is what a sender sends behind its EHLO, and how.
type stream struct {
	bytes  []byte
	pieces []byte // half the lengths of the writes it is cut into, in turn; 0 is a piece of one byte
	waits  bool   // it waits for the reply to DATA and EHLO; else what is in the same write follows at once
	aborts bool   // where it ends in the middle of content it hangs up; else it goes on to the end mark
}

func (s stream) String() string {
	return fmt.Sprintf("bytes %q\npieces %q, waits %v, aborts %v", s.bytes, s.pieces, s.waits, s.aborts)
}

// cuts are the places where a stream of n bytes is cut.
func (s stream) cuts(n int) map[int]bool {
	all := map[int]bool{n: true}
	for at, i := 0, 0; at < n && len(s.pieces) > 0; i++ {
		at += max(2*int(s.pieces[i%len(s.pieces)]), 1)
		all[at] = true
	}
	if !s.waits { // a piece that is larger than the buffer of the proxy would be cut by that
		for at, last := 0, 0; at < n; at++ {
			if all[at] {
				last = at
			}
			if at-last == 500 {
				all[at], last = true, at
			}
		}
	}
	return all
}

// plan is a stream with its proper ending, its pieces, and what is to come of it.
type plan struct {
	writes [][]byte
	model
}

// plan completes a stream: content gets its end, and QUIT stands last.
func (s stream) plan() *plan {
	in := slices.Clone(s.bytes)
	for range 10 {
		cuts := s.cuts(len(in))
		m := model{in: in, edge: func(at int) bool {
			if s.waits {
				cuts[at] = true
			}
			return cuts[at] || at == len(in)
		}}
		m.run()
		switch {
		case m.over, m.unsure, s.aborts && (m.inData || m.owed > 0):
			return &plan{split(m.in, cuts), m}
		case m.inData:
			in = append(slices.Clone(m.in), "\r\n.\r\n"...)
		case m.owed > 0:
			in = append(slices.Clone(m.in), strings.Repeat("x", m.owed)...)
		default:
			in = append(slices.Clone(m.in), "QUIT\r\n"...)
		}
	}
	return &plan{model: model{unsure: true}}
}

func split(in []byte, cuts map[int]bool) (writes [][]byte) {
	from := 0
	for at := 1; at <= len(in); at++ {
		if cuts[at] || at == len(in) {
			writes = append(writes, in[from:at])
			from = at
		}
	}
	return writes
}

// stand is a proxy with its backend.
type stand struct {
	name   string
	server *proxy.Server
	take   func() []message // what the backend committed since the last call
	mu     sync.Mutex       // held while a stream is played
}

// stands are a strict backend without and one with CHUNKING, and the careless one.
func stands(t testing.TB) []*stand {
	loose := &careless{}
	addr, stop, err := loose.listen()
	if err != nil {
		t.Fatal(err)
	}
	return []*stand{
		sink(t, "DATA", "PIPELINING", "8BITMIME"), sink(t, "BDAT", "PIPELINING", "8BITMIME", "CHUNKING"),
		before(t, &stand{name: "careless", take: loose.take}, addr, stop),
	}
}

func sink(t testing.TB, name string, extensions ...string) *stand {
	var mu sync.Mutex
	var kept []message
	s := &mailsink.Server{Extensions: extensions, Keep: 1, OnMessage: func(m mailsink.Message) {
		mu.Lock()
		defer mu.Unlock()
		k := message{from: m.From, content: m.Content, exact: m.Via == "BDAT"}
		for _, r := range m.Recipients {
			k.rcpts = append(k.rcpts, r.Address)
		}
		kept = append(kept, k)
	}}
	addr, stop, err := mailsink.Listen(s)
	if err != nil {
		t.Fatal(err)
	}
	take := func() []message {
		mu.Lock()
		defer mu.Unlock()
		all := kept
		kept = nil
		return all
	}
	return before(t, &stand{name: name, take: take}, addr, stop)
}

// before puts a proxy before a backend.
func before(t testing.TB, s *stand, addr string, stop func()) *stand {
	b := backend.New(backend.Settings{Name: "main", Addresses: []string{addr}, Hostname: "mx.example.com"})
	routes := proxy.NewRoutes()
	routes.Add(b, "example.com")
	limits := proxy.Limits{PerClient: 1 << 20, Errors: 1 << 20, IdleCommands: 1 << 20, SpoolMemory: 1, SpoolDir: t.TempDir()}
	set := &proxy.Settings{Hostname: "mx.example.com", Routes: routes, Policy: &policy.Policy{Mode: policy.Enforce}, Limits: limits}
	s.server = proxy.New(set, func(*policy.Record) {}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	t.Cleanup(func() { b.Close(); stop() })
	return s
}

// play sends a stream as planned, and says what is wrong with what came of it; "" where nothing is.
func (s *stand) play(p *plan) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take()
	replies, ended := s.converse(p)
	got := s.take()
	var wrong []string
	if !ended {
		wrong = append(wrong, "the session does not end")
	}
	if st := s.server.Stats(); ended && (st.Open != 0 || st.Memory != 0) {
		wrong = append(wrong, fmt.Sprintf("at rest, but %+v", st))
	}
	if told := strings.Count(strings.Join(replies, "\n"), "queued as"); told != len(got) {
		wrong = append(wrong, fmt.Sprintf("%d messages committed, and %d told of", len(got), told))
	}
	if codes := codesOf(replies); !slices.Equal(codes, p.replies) {
		wrong = append(wrong, fmt.Sprintf("replies %v\nmodel   %v", codes, p.replies))
	}
	if len(got) != len(p.kept) {
		wrong = append(wrong, fmt.Sprintf("%d messages committed, model %d: %v", len(got), len(p.kept), got))
	} else {
		for i := range got {
			wrong = append(wrong, compare(got[i], p.kept[i])...)
		}
	}
	return strings.Join(wrong, "\n")
}

// top is what the proxy puts on a message.
var top = regexp.MustCompile(`^Received: [^\r\n]*\r\n(?:\t[^\r\n]*\r\n)*(?:Authentication-Results: [^\r\n]*\r\n(?:\t[^\r\n]*\r\n)*)?`)

func compare(got, want message) (wrong []string) {
	if got.from != want.from || !slices.Equal(got.rcpts, want.rcpts) {
		wrong = append(wrong, fmt.Sprintf("envelope %q %q\nmodel    %q %q", got.from, got.rcpts, want.from, want.rcpts))
	}
	content := got.content[len(top.Find(got.content)):]
	if len(content) == len(got.content) {
		wrong = append(wrong, "no Received on top")
	}
	expected := want.content
	if n := len(expected); n > 0 && !got.exact && !bytes.HasSuffix(expected, []byte("\r\n")) { // RFC 5321 section 4.1.1.4
		expected = append(slices.Clone(expected), "\r\n"...)
	}
	if !bytes.Equal(content, expected) {
		wrong = append(wrong, fmt.Sprintf("content %q\nmodel   %q", content, expected))
	}
	return wrong
}

// codesOf are the codes of replies.
func codesOf(lines []string) (codes []string) {
	for _, l := range lines {
		if len(l) > 3 && l[3] == ' ' {
			codes = append(codes, l[:3])
		}
	}
	return codes
}

// converse greets, sends, hangs up once the replies of the model have come, and gives the replies behind the greeting.
func (s *stand) converse(p *plan) (replies []string, ended bool) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	ours.SetDeadline(time.Now().Add(patience))
	done := make(chan struct{})
	go func() { defer close(done); s.server.ServeConn(theirs, &proxy.Listener{Name: "smtp"}) }()
	in := bufio.NewReader(ours)
	next := func() string { l, _ := in.ReadString('\n'); return strings.TrimRight(l, "\r\n") }
	next()
	io.WriteString(ours, "EHLO client.example\r\n")
	for l := next(); strings.HasPrefix(l, "250-"); l = next() {
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, w := range p.writes {
			if _, err := ours.Write(w); err != nil {
				return
			}
		}
	}()
	for n := 0; p.over || n < len(p.replies); { // a session that ends is read to its end
		l := next()
		if l == "" {
			break
		}
		replies = append(replies, l)
		n = len(codesOf(replies))
	}
	if !p.over {
		<-sent
	}
	ours.Close()
	<-sent
	select {
	case <-done:
		return replies, true
	case <-time.After(patience):
		return replies, false
	}
}
