package mailsink

import (
	"context"
	"fmt"
	"slices"
)

// Log gives what every session got and gave, in order, as "S1 C: MAIL FROM:<a@x.example>": the number of the session, a
// letter and the line without its end, raw. The letters: C a line from the client, S one from the sink, D the end of
// content and its octets, E how the session ended or a fault that was put in.
func (s *Server) Log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// Open gives the number of sessions now running.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// AwaitLog waits until ok says yes to the log, and reports whether it did before ctx ended. ok is asked at each new line
// and must not call s.
func (s *Server) AwaitLog(ctx context.Context, ok func(log []string) bool) bool {
	for {
		s.mu.Lock()
		done := ok(s.log)
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// note adds a line to the log and wakes who waits for it.
func (s *Server) note(session int, kind byte, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, fmt.Sprintf("S%d %c: %s", session, kind, text))
	if s.Keep > 0 && len(s.log) > 2*s.Keep {
		s.log = slices.Delete(s.log, 0, len(s.log)-s.Keep)
	}
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}
