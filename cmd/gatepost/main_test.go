package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// promptExit ends the programs that are run under the race detector at once: they would sleep for a second first.
const promptExit = "atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	os.Setenv("GORACE", promptExit)
	testscript.Main(m, map[string]func(){"gatepost": main})
}

// TestScripts plays what is typed at a shell: testdata/script/*.txt.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		RequireExplicitExec: true,
		Setup:               func(env *testscript.Env) error { env.Setenv("GORACE", promptExit); return nil },
		Condition:           condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":     status,
			"until-told": untilTold,
			"journal":    journalOf,
			"clean":      clean,
		},
	})
}

// condition knows [free:PORT]: nobody listens there on loopback.
func condition(cond string) (bool, error) {
	port, ok := strings.CutPrefix(cond, "free:")
	if !ok {
		return false, fmt.Errorf("unknown condition %q", cond)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return false, nil
	}
	return true, ln.Close()
}

// lacking skips a test that wants what this machine has not; where CI=true it fails instead, as those of internal/interop do.
func lacking(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// TestFullOutput: a command that cannot write what it has to say has failed.
func TestFullOutput(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		lacking(t, err.Error())
	}
	defer full.Close()
	dir := manyRecords(t, 1)
	file := filepath.Join(t.TempDir(), "g.toml")
	text := "hostname = \"mx.example.com\"\n[backend.main]\naddress = [\"127.0.0.1:9\"]\ndomains = [\"example.com\"]\n[policy]\nchecks = []\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"init", "version", "explain --ip 203.0.113.9 --from a@shop.example --rcpt amy@example.com --config " + file,
		"report --dir " + dir + " --config " + file, "replay --dir " + dir + " --config " + file, "log search --dir " + dir} {
		cmd := rootCommand()
		cmd.SetOut(full)
		cmd.SetErr(io.Discard)
		cmd.SetArgs(strings.Fields(words))
		if err := cmd.Execute(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", words, err)
		}
	}
}

// status runs a command that must end with an exit status, its output in the files out and err: status 2 gatepost bogus.
func status(ts *testscript.TestScript, _ bool, args []string) {
	cmd := command(ts, args[1:])
	out, err := os.Create(ts.MkAbs("out"))
	ts.Check(err)
	defer out.Close()
	errOut, err := os.Create(ts.MkAbs("err"))
	ts.Check(err)
	defer errOut.Close()
	cmd.Stdout, cmd.Stderr = out, errOut
	err = cmd.Run()
	if got := fmt.Sprint(cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("exit status %s (%v), want %s:\n%s%s", got, err, args[0], ts.ReadFile("out"), ts.ReadFile("err"))
	}
}

// untilTold runs a command until a line of its stdout or stderr holds a word, then interrupts it; it must then end well.
// All that it said is in the file said: until-told listening gatepost serve ...
func untilTold(ts *testscript.TestScript, _ bool, args []string) {
	cmd := command(ts, args[1:])
	r, w, err := os.Pipe()
	ts.Check(err)
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	ts.Check(cmd.Start())
	w.Close()
	var said strings.Builder
	found := false
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		if !found && strings.Contains(lines.Text(), args[0]) {
			found = true
			ts.Check(cmd.Process.Signal(os.Interrupt))
		}
	}
	err = cmd.Wait()
	ts.Check(os.WriteFile(ts.MkAbs("said"), []byte(said.String()), 0o666))
	if !found || err != nil {
		ts.Fatalf("told %q: %v; ended: %v\n%s", args[0], found, err, said.String())
	}
}

// command is a command of the script, in its directory and environment.
func command(ts *testscript.TestScript, args []string) *exec.Cmd {
	path, err := exec.LookPath(args[0])
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
}
