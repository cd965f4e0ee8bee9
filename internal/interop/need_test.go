//go:build interop

package interop

import (
	"os"
	"os/exec"
	"testing"
)

// python is Debian's own, for which Debian packages the DKIM module.
const python = "/usr/bin/python3"

// need skips the test where a program is missing; where CI=true it fails instead.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			lacking(t, p+" is not installed; internal/interop/setup.sh, run as root, installs it")
		}
	}
}

// needRoot is need for the rights of root.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		lacking(t, "this test starts a mail server, which wants root")
	}
}

func lacking(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
