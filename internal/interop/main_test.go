//go:build interop

package interop

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// roleVar makes the test binary run as one of its own helpers.
const roleVar = "GATEPOST_INTEROP_ROLE"

var (
	scratch string // holds all that a run writes; gone at its end
	binary  string // the gatepost under test
)

func TestMain(m *testing.M) {
	if os.Getenv(roleVar) == "sink" {
		os.Exit(runSink(os.Args[1:]))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	// Debian keeps servers where an ordinary user's PATH does not look.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	os.Setenv("GORACE", "atexit_sleep_ms=0") // gatepost would sleep for a second at each end
	var err error
	if scratch, err = makeScratch(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	release, err := startGuard(scratch)
	if err != nil {
		os.RemoveAll(scratch)
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer release()
	if binary, err = buildGatepost(scratch); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// makeScratch makes a directory that the users of the mail servers can enter too.
func makeScratch() (string, error) {
	dir, err := os.MkdirTemp("", "gatepost-interop-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// guardScript waits for the end of the tests, however they end, then stops what they left behind and removes it.
const guardScript = `
cat >/dev/null
for config in "$1"/*/main.cf; do
	[ -f "$config" ] || continue
	for i in 1 2 3 4 5; do # it may be just starting
		postfix -c "${config%/main.cf}" stop && break
		sleep 1
	done
done
rm -rf "$1"`

// startGuard starts a shell that outlives even a killed test binary: it reads from a pipe that closes when we are gone.
func startGuard(dir string) (release func(), err error) {
	guard := exec.Command("sh", "-c", guardScript, "guard", dir)
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // an interrupt from the terminal must not end it first
	var lifeline io.WriteCloser
	if lifeline, err = guard.StdinPipe(); err != nil {
		return nil, err
	}
	if err := guard.Start(); err != nil {
		return nil, err
	}
	return func() { lifeline.Close(); guard.Wait() }, nil
}

// buildGatepost builds the binary with the race detector, which then watches under real load.
func buildGatepost(dir string) (string, error) {
	out := filepath.Join(dir, "gatepost")
	build := exec.Command("go", "build", "-race", "-buildvcs=false", "-o", out, "gatepost/cmd/gatepost")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build gatepost: %w\n%s", err, text)
	}
	return out, nil
}

// newDir makes a directory for one test that the users of the mail servers can enter, as t.TempDir's they can't.
func newDir(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// write makes a file that all may read.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
