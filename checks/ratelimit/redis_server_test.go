//go:build interop

package ratelimit

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"
)

// redisServer is a Redis or Valkey server of the test's own.
type redisServer struct {
	t    testing.TB
	path string // of the program
	dir  string
	port int
	cmd  *exec.Cmd
}

// newServer starts one. Without the program the test is skipped, or fails where CI=true.
func newServer(t testing.TB) *redisServer {
	t.Helper()
	s := &redisServer{t: t, dir: t.TempDir(), port: freePort(t)}
	for _, name := range []string{"redis-server", "valkey-server"} {
		if s.path, _ = exec.LookPath(name); s.path != "" {
			break
		}
	}
	switch {
	case s.path == "" && os.Getenv("CI") == "true":
		t.Fatal("neither redis-server nor valkey-server is installed")
	case s.path == "":
		t.Skip("neither redis-server nor valkey-server is installed")
	}
	t.Cleanup(s.kill)
	s.start()
	return s
}

func freePort(t testing.TB) int {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// start starts it and waits until it answers.
func (s *redisServer) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.path, "--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir, "--save", "")
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.client()
}

func (s *redisServer) kill() {
	if s.cmd != nil {
		s.cmd.Process.Signal(syscall.SIGCONT)
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *redisServer) url() string { return fmt.Sprintf("redis://127.0.0.1:%d/0", s.port) }

// client is a connection of the test's own, to set the server up.
func (s *redisServer) client() valkey.Client {
	s.t.Helper()
	o, err := options(s.url())
	if err != nil {
		s.t.Fatal(err)
	}
	var c valkey.Client
	s.until("a connection", func() bool {
		c, err = valkey.NewClient(o)
		return err == nil
	})
	s.t.Cleanup(c.Close)
	return c
}

func (s *redisServer) do(c valkey.Client, args ...string) string {
	s.t.Helper()
	r := c.Do(context.Background(), c.B().Arbitrary(args...).Build())
	if err := r.Error(); err != nil && !valkey.IsValkeyNil(err) {
		s.t.Fatalf("%q: %v", args, err)
	}
	m, err := r.ToMessage()
	if err != nil || m.IsNil() {
		return ""
	}
	if n, err := m.AsInt64(); err == nil {
		return strconv.FormatInt(n, 10)
	}
	text, _ := m.ToString()
	return text
}

// until waits for something to come true.
func (s *redisServer) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// node is a store as a daemon opens it, connected, with the log that it writes.
func (s *redisServer) node() (*fallback, *strings.Builder) {
	s.t.Helper()
	settings := defaults()
	settings.Store = s.url()
	var log strings.Builder
	st, err := Open(settings, NewMemory(1000), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		s.t.Fatal(err)
	}
	f := st.(*fallback)
	s.t.Cleanup(func() { f.Close() })
	r := f.server.(*redis)
	s.until("a connection", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.client != nil
	})
	return f, &log
}
