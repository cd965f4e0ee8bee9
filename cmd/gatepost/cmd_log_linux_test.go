package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asNobody makes what this test does with files be done as by another user than root, until the test is over.
func asNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	runtime.LockOSThread()
	t.Cleanup(func() { // before those of the folders
		unix.Setfsuid(0)
		runtime.UnlockOSThread()
	})
	unix.Setfsuid(65534)
}

// TestLogForbidden: of a journal that this user may not read, each command says so, and whom to be.
func TestLogForbidden(t *testing.T) {
	dir := manyRecords(t, 1)
	file := filepath.Join(t.TempDir(), "g.toml")
	text := "hostname = \"mx.example.com\"\n[backend.main]\naddress = [\"127.0.0.1:9\"]\ndomains = [\"example.com\"]\n[policy]\nchecks = []\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Dir(file)} {
		if err := os.Chmod(filepath.Dir(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	days, err := filepath.Glob(filepath.Join(dir, "journal-*.db"))
	if err != nil || len(days) == 0 {
		t.Fatal(days, err)
	}
	for _, day := range days {
		if err := os.Chmod(day, 0); err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t)
	for _, words := range []string{"log search", "log show 8F3K2Q0000", "log tail", "log stats", "log export",
		"log allow 8F3K2Q0000 --config " + file, "report --config " + file, "replay --config " + file} {
		cmd := rootCommand()
		var talk bytes.Buffer
		cmd.SetOut(&talk)
		cmd.SetErr(&talk)
		cmd.SetArgs(append(strings.Fields(words), "--dir", dir))
		err := cmd.Execute()
		if err == nil {
			t.Errorf("%s ends well: %s", words, talk.String())
			continue
		}
		said := talk.String() + err.Error()
		if want := days[len(days)-1] + ": permission denied: run it as root, or as the user that gatepost runs as"; !strings.Contains(said, want) {
			t.Errorf("%s says %q", words, said)
		}
		for _, wrong := range []string{"unable to open", "nothing found"} {
			if strings.Contains(said, wrong) {
				t.Errorf("%s says %q", words, said)
			}
		}
	}
}

// TestLogForbiddenFolder is the same of the whole folder.
func TestLogForbiddenFolder(t *testing.T) {
	dir := manyRecords(t, 1)
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o755) })
	asNobody(t)
	f := logFlags{dir: dir}
	if _, err := f.open(); err == nil || !strings.HasSuffix(err.Error(), "permission denied: run it as root, or as the user that gatepost runs as") {
		t.Error(err)
	}
}

// TestLogTableWidth: lines are as wide as the terminal says it is, and of the usual width where it says nothing.
func TestLogTableWidth(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer terminal.Close()
	for _, c := range []struct{ says, want int }{{0, columns}, {200, 200}} {
		if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(c.says)}); err != nil {
			t.Fatal(err)
		}
		if got := newLogTable(terminal).width; got != c.want {
			t.Errorf("at %d columns: %d, want %d", c.says, got, c.want)
		}
	}
	if got := newLogTable(&bytes.Buffer{}).width; got != 0 {
		t.Errorf("in a pipe: %d", got)
	}
}
