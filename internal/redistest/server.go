// Package redistest runs a Redis or Valkey server for tests.
package redistest

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

// Server is one server, on a port of loopback and on Socket.
type Server struct {
	Port   int
	Socket string // path of its socket in the file system

	t    testing.TB
	path string // of the program
	dir  string
	cmd  *exec.Cmd
}

// Start starts a server with more arguments of its program; it ends with the test. Without the program the test is skipped, or fails
// where CI=true.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := prepare(t)
	s.Run(args...)
	s.Await()
	return s
}

// Sentinel starts a server that watches a master under a name, as its only sentinel.
func Sentinel(t testing.TB, name string, master *Server) *Server {
	t.Helper()
	s := prepare(t)
	conf := filepath.Join(s.dir, "sentinel.conf")
	text := fmt.Sprintf("bind 127.0.0.1\nport %d\ndir %s\nsentinel monitor %s 127.0.0.1 %d 1\n", s.Port, s.dir, name, master.Port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.begin(conf, "--sentinel")
	s.Await()
	return s
}

func prepare(t testing.TB) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{Port: FreePort(t), Socket: filepath.Join(dir, "socket"), t: t, dir: dir}
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
	t.Cleanup(s.Kill)
	return s
}

// FreePort is a port of loopback that nobody listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// Run starts the server, which is not running. It answers later, and knows nothing of what was there before.
func (s *Server) Run(args ...string) {
	s.t.Helper()
	s.begin(append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(s.Port), "--dir", s.dir, "--save", "", "--unixsocket", s.Socket}, args...)...)
}

func (s *Server) begin(args ...string) {
	s.t.Helper()
	s.cmd = exec.Command(s.path, args...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// Await waits until the server answers.
func (s *Server) Await() {
	s.t.Helper()
	s.Until("an answer", s.answers)
}

func (s *Server) answers() bool {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprint(c, "PING\r\n")
	b := make([]byte, 64)
	n, _ := c.Read(b)
	return strings.HasPrefix(string(b[:n]), "+PONG") || strings.HasPrefix(string(b[:n]), "-NOAUTH")
}

// Signal sends the server a signal, such as SIGSTOP.
func (s *Server) Signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Kill ends the server at once, if it is running.
func (s *Server) Kill() {
	if s.cmd != nil {
		s.cmd.Process.Signal(syscall.SIGCONT)
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

// URL is the server's address as a config has it.
func (s *Server) URL() string { return fmt.Sprintf("redis://127.0.0.1:%d/0", s.Port) }

// Client is a connection of the test's own.
func (s *Server) Client() valkey.Client {
	s.t.Helper()
	o, err := redisurl.Options(s.URL())
	if err != nil {
		s.t.Fatal(err)
	}
	var c valkey.Client
	s.Until("a connection", func() bool {
		c, err = valkey.NewClient(o)
		return err == nil
	})
	s.t.Cleanup(c.Close)
	return c
}

// Do gives a command and returns its answer: a text or a number; "" for nil and for all else.
func (s *Server) Do(c valkey.Client, args ...string) string {
	s.t.Helper()
	r := c.Do(context.Background(), c.B().Arbitrary(args...).Build())
	if err := r.Error(); err != nil && !valkey.IsValkeyNil(err) {
		s.t.Fatalf("%q: %v", args, err)
	}
	if n, err := r.AsInt64(); err == nil {
		return strconv.FormatInt(n, 10)
	}
	text, _ := r.ToString()
	return text
}

// Until waits for something to come true.
func (s *Server) Until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}
