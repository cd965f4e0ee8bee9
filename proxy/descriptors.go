package proxy

import (
	"math"
	"net"
	"syscall"
	"time"
)

// descriptors keeps the last tenth of the process's file descriptors for the sessions under way, which still need some for
// their backend, their spool and DNS.
type descriptors struct {
	most   int // a connection whose descriptor has this number, or more, is turned away
	warned time.Time
}

// newDescriptors reads the limit of the process.
func newDescriptors() descriptors {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return descriptors{most: math.MaxInt}
	}
	return descriptors{most: int(limit.Cur - limit.Cur/10)}
}

// few says whether a new connection got one of the last tenth. A new descriptor has the lowest number that is free, so its
// number is how many are in use at least.
func (d *descriptors) few(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok { // no socket: a pipe
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	number := 0
	raw.Control(func(fd uintptr) { number = int(fd) })
	return number >= d.most
}

// tell says whether it is time to log that they are few: once a minute.
func (d *descriptors) tell(now time.Time) bool {
	if now.Sub(d.warned) < time.Minute {
		return false
	}
	d.warned = now
	return true
}
