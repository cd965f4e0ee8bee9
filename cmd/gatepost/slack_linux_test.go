package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSlack: each thread of the process has the slack, those of the runtime too; the program is started anew for that once at most, and
// at all where who started it gave it enough.
func TestSlack(t *testing.T) {
	for _, c := range []struct {
		name   string
		before string
		given  time.Duration
		want   time.Duration
		anew   bool
	}{
		{"usual", "true", 50 * time.Microsecond, slack, true},
		{"more", "true", 2 * slack, 2 * slack, false},
		{"in vain", "export " + slackTried + "=1", 50 * time.Microsecond, 50 * time.Microsecond, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			runtime.LockOSThread() // a process has the slack of the thread that started it; this one ends with the test
			if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(c.given), 0, 0, 0); err != nil {
				t.Fatal(err)
			}
			p := launch(t, c.before, "")
			defer p.stop(t)
			proc := fmt.Sprintf("/proc/%d/", p.Process.Pid)
			environ, err := os.ReadFile(proc + "environ")
			if err != nil {
				t.Fatal(err)
			}
			if anew := bytes.Contains(environ, []byte(slackTried)); anew != c.anew {
				t.Errorf("started anew: %v", anew)
			}
			threads, _ := filepath.Glob(proc + "task/*")
			if len(threads) < 3 {
				t.Errorf("threads: %q", threads)
			}
			for _, thread := range threads {
				got, err := os.ReadFile("/proc/" + filepath.Base(thread) + "/timerslack_ns")
				if errors.Is(err, syscall.EPERM) {
					lacking(t, "the slack of others is shown to root alone")
				}
				if ns, _ := strconv.Atoi(strings.TrimSpace(string(got))); time.Duration(ns) != c.want {
					t.Errorf("a thread has %s (%v), want %v", got, err, c.want)
				}
			}
			if s := p.try(t); s == nil || s.mail("x") != nil {
				t.Error("no mail")
			}
		})
	}
}

// TestSlackInVain: where the program cannot be started anew it goes on, with all the descriptors that it may have.
func TestSlackInVain(t *testing.T) {
	// The file of the program is gone, once it runs.
	p := launch(t, `cp "$(command -v gatepost)" g && exec 9<g && rm g && mkdir bin && ln -s /proc/self/fd/9 bin/gatepost && PATH="$PWD/bin:$PATH" &&
		ulimit -S -n 256`, "")
	defer p.stop(t)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if most := regexp.MustCompile(`Max open files +(\d+)`).FindSubmatch(limits); most == nil || string(most[1]) == "256" {
		t.Errorf("%s", limits)
	}
	if s := p.try(t); s == nil || s.mail("x") != nil {
		t.Error("no mail")
	}
}
