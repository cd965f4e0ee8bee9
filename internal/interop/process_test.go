//go:build interop

package interop

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for another program. It decides nothing but how long a broken test hangs.
const patience = 60 * time.Second

// eventually asks ok again and again until it says yes. Other programs tell of what they do by files and ports only, so
// there is nothing to wait on.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("gave up waiting until %s", what)
		}
	}
}

// transcript is what a process says on its standard error.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write adds to it.
func (tr *transcript) Write(b []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.text.Write(b)
}

// count is how often a text stands in it.
func (tr *transcript) count(text string) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return bytes.Count(tr.text.Bytes(), []byte(text))
}

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.text.String()
}

// process is a running child.
type process struct {
	cmd  *exec.Cmd
	log  *transcript
	done chan struct{} // closed when it is gone
}

// start runs a command that is killed at the end of the test if it still runs, or when the tests die.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, log: &transcript{}, done: make(chan struct{})}
	cmd.Stderr = p.log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { cmd.Wait(); close(p.done) }()
	t.Cleanup(p.kill)
	return p
}

// kill ends it as a power cut would.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// signal sends a signal.
func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// ended waits for the end and gives the exit code.
func (p *process) ended(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.signal(t, syscall.SIGQUIT) // a Go program tells where each goroutine stands
		<-p.done
		t.Fatalf("%s does not end; it said:\n%s", p.cmd.Path, p.log)
	}
	return p.cmd.ProcessState.ExitCode()
}

// alive is false once the process is gone.
func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// run runs a program to its end and gives its output; a bad exit code fails the test.
func run(t *testing.T, stdin []byte, program string, args ...string) []byte {
	t.Helper()
	out, err := attempt(stdin, program, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return out
}

// attempt is run for a program that may well fail.
func attempt(stdin []byte, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	return cmd.CombinedOutput()
}

// freePort gives a port of the loopback address that was free a moment ago. It is below those that Linux gives to outgoing
// connections, which come and go all the time.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(22_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return portOf(addr)
		}
	}
	t.Fatal("no port is free")
	return ""
}

// listening says whether something takes connections there.
func listening(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
