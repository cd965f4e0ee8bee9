//go:build interop

package greylist

import (
	"testing"

	"gatepost/internal/redistest"
)

// server is a Redis or Valkey server of the test's own.
type server struct {
	*redistest.Server
	t testing.TB
}

func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	return &server{redistest.Start(t, args...), t}
}

// node is a store as a daemon opens it, connected.
func (s *server) node(settings *Settings) *fallback {
	s.t.Helper()
	settings.Store = s.URL()
	st, err := Open(settings, "", nowhere())
	if err != nil {
		s.t.Fatal(err)
	}
	f := st.(*fallback)
	s.t.Cleanup(func() { f.Close() })
	s.Until("a connection", func() bool { _, err := f.shared.(*Redis).connected(); return err == nil })
	return f
}

func (s *server) redis() *Redis { return s.node(Defaults()).shared.(*Redis) }

func (s *server) book() *RedisBook {
	s.t.Helper()
	settings := Defaults()
	settings.Store = s.URL()
	b, err := OpenBook(settings, "", false)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { b.Close() })
	return b.(*RedisBook)
}
