//go:build interop

package ratelimit

import (
	"log/slog"
	"strings"
	"testing"

	"gatepost/internal/redistest"
)

// redisServer is a Redis or Valkey server of the test's own.
type redisServer struct {
	*redistest.Server
	t testing.TB
}

func newServer(t testing.TB) *redisServer {
	t.Helper()
	return &redisServer{redistest.Start(t), t}
}

// node is a store as a daemon opens it, connected, with the log that it writes.
func (s *redisServer) node() (*fallback, *strings.Builder) {
	s.t.Helper()
	settings := defaults()
	settings.Store = s.URL()
	var log strings.Builder
	st, err := Open(settings, NewMemory(1000), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		s.t.Fatal(err)
	}
	f := st.(*fallback)
	s.t.Cleanup(func() { f.Close() })
	r := f.server.(*redis)
	s.Until("a connection", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.client != nil
	})
	return f, &log
}
