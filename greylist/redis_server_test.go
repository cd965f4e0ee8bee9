//go:build interop

package greylist

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	"gatepost/internal/redisurl"
)

// server is a Redis or Valkey server of the test's own.
type server struct {
	t    testing.TB
	path string // of the program
	dir  string
	port int
	cmd  *exec.Cmd
}

// newServer starts one. Without the program the test is skipped, or fails where CI=true.
func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), port: freePort(t)}
	for _, name := range []string{"redis-server", "valkey-server"} {
		if s.path, _ = exec.LookPath(name); s.path != "" {
			break
		}
	}
	if s.path == "" && os.Getenv("CI") == "true" {
		t.Fatal("neither redis-server nor valkey-server is installed")
	}
	if s.path == "" {
		t.Skip("neither redis-server nor valkey-server is installed")
	}
	t.Cleanup(s.kill)
	s.start(args...)
	s.answers()
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

func (s *server) start(args ...string) {
	s.t.Helper()
	s.cmd = exec.Command(s.path, append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir, "--save", "",
		"--unixsocket", filepath.Join(s.dir, "socket")}, args...)...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) kill() {
	if s.cmd != nil {
		s.cmd.Process.Signal(syscall.SIGCONT)
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *server) url() string { return fmt.Sprintf("redis://127.0.0.1:%d/0", s.port) }

// client is a connection of the test's own, to set the server up.
func (s *server) client() valkey.Client {
	s.t.Helper()
	o, err := redisurl.Options(s.url())
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

// answers waits until the server does.
func (s *server) answers() {
	s.t.Helper()
	s.until("an answer", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err != nil {
			return false
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Second))
		fmt.Fprint(c, "PING\r\n")
		b := make([]byte, 64)
		n, _ := c.Read(b)
		return strings.HasPrefix(string(b[:n]), "+PONG") || strings.HasPrefix(string(b[:n]), "-NOAUTH")
	})
}

func (s *server) do(c valkey.Client, args ...string) string {
	s.t.Helper()
	r := c.Do(context.Background(), c.B().Arbitrary(args...).Build())
	if err := r.Error(); err != nil && !valkey.IsValkeyNil(err) {
		s.t.Fatalf("%q: %v", args, err)
	}
	text, _ := r.ToString()
	return text
}

// until waits for something to come true.
func (s *server) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// node is a store as a daemon opens it, connected.
func (s *server) node(settings *Settings) *fallback {
	s.t.Helper()
	settings.Store = s.url()
	st, err := Open(settings, "", nowhere())
	if err != nil {
		s.t.Fatal(err)
	}
	f := st.(*fallback)
	s.t.Cleanup(func() { f.Close() })
	s.until("a connection", func() bool { _, err := f.shared.(*Redis).connected(); return err == nil })
	return f
}

func (s *server) redis() *Redis { return s.node(Defaults()).shared.(*Redis) }

func (s *server) book() *RedisBook {
	s.t.Helper()
	settings := Defaults()
	settings.Store = s.url()
	b, err := OpenBook(settings, "", false)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { b.Close() })
	return b.(*RedisBook)
}
