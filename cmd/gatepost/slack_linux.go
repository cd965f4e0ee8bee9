package main

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// slack is how late the kernel may wake a thread whose time of sleep is over. Go's runtime has a thread that looks after the others every
// 20 us while there is work, and takes the turn from each that is in a system call at two looks. The usual 50 us let it do that so often
// that a tenth of the processor goes there. Nothing in gatepost is timed as finely as this.
const slack = time.Millisecond

// slackTried says, in the environment, that the program has been started anew for its slack.
const slackTried = "GATEPOST_SLACK_TRIED"

// loosen gives all threads the slack. Those of the runtime are there already, and a thread can change only its own: so the program is started
// anew in its place, as the same process, unless who started it (systemd's TimerSlackNSec) gave it enough. Where that cannot be, it goes on.
func loosen() {
	tried := os.Getenv(slackTried) != ""
	os.Unsetenv(slackTried)
	runtime.LockOSThread() // the thread that has the slack is the one that goes on
	defer runtime.UnlockOSThread()
	has, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if tried || err != nil || has >= int(slack) || unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0) != nil {
		return
	}
	if file, err := os.Executable(); err == nil {
		_ = syscall.Exec(file, os.Args, append(os.Environ(), slackTried+"=1"))
	}
}
