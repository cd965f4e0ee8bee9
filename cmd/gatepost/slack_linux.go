package main

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// slack is how late the kernel may wake a thread whose time of sleep is over. While there is work, Go's runtime has a thread that looks
// after the others every 20 us, and gives the place of one that is in a system call at two looks to another. The usual slack of 50 us
// lets it do so thousands of times a second, which takes a tenth of the processor. In return a place that a slow disk holds up may be given
// away a millisecond later.
const slack = time.Millisecond

// slackTried says, in the environment, that the program has been started anew for its slack.
const slackTried = "GATEPOST_SLACK_TRIED"

// loosen gives all threads the slack. Those of the runtime are there already, and a thread can change only its own: so the program is started
// anew in its place, as the same process, unless who started it gave it enough (TimerSlackNSec of systemd). Where that cannot be, it goes
// on as it is. It comes first of all in main: there this still is the first thread, to which a signal at the death of the parent belongs.
func loosen() {
	tried := os.Getenv(slackTried) != ""
	os.Unsetenv(slackTried)
	has, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	file, lost := os.Executable()
	if tried || err != nil || lost != nil || has >= int(slack) {
		return
	}
	runtime.LockOSThread() // the thread that has the slack is the one that goes on
	defer runtime.UnlockOSThread()
	if unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0) != nil {
		return
	}
	signal.Ignore(syscall.SIGHUP) // until serve listens to it: the new program would end
	var files syscall.Rlimit
	known := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil
	_ = syscall.Exec(file, os.Args, append(os.Environ(), slackTried+"=1"))
	if known { // Exec has put back what the runtime had raised
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files)
	}
}
