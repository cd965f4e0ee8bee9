//go:build interop || soak

package soak

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var (
	scratch string // holds all that a run writes; gone at its end
	binary  string // the gatepost under test
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "gatepost-soak-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	// As it is released: the race detector stands 8,000 goroutines at most, and has a memory of its own.
	binary = filepath.Join(scratch, "gatepost")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "gatepost/cmd/gatepost")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build gatepost: %v\n%s", err, text)
		return 1
	}
	return m.Run()
}
