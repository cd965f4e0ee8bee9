package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gatepost": func() { os.Exit(run(os.Args[1:])) }})
}

// TestScripts plays what is typed at a shell: testdata/script/*.txt.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		RequireExplicitExec: true,
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
