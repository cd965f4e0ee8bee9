//go:build interop

package interop

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gatepost/internal/mailsink"
)

// runSink is the role of a backend in a process of its own, which can be killed: it listens at args[0] and keeps each
// message in the directory args[1] before it says 250.
func runSink(args []string) int {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s := &mailsink.Server{Extensions: mailsink.DefaultExtensions(), Dir: args[1], Keep: 1}
	if err := s.Serve(l); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// sinkProcess is such a backend.
type sinkProcess struct {
	addr, dir string
	*process
}

func startSink(t *testing.T) *sinkProcess {
	t.Helper()
	s := &sinkProcess{addr: "127.0.0.1:" + freePort(t), dir: newDir(t, "sink")}
	s.launch(t)
	return s
}

// launch starts it, or starts it anew on the same messages.
func (s *sinkProcess) launch(t *testing.T) {
	t.Helper()
	cmd := exec.Command(os.Args[0], s.addr, s.dir)
	cmd.Env = append(os.Environ(), roleVar+"=sink")
	s.process = start(t, cmd)
	eventually(t, "the sink listens", func() bool {
		if !s.alive() {
			t.Fatalf("the sink ended:\n%s", s.log)
		}
		return listening(s.addr)
	})
}

// copies counts the messages at the backend by id.
func (s *sinkProcess) copies(t *testing.T) map[string]int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, f := range files {
		got[subject(readFile(t, f))]++
	}
	return got
}
