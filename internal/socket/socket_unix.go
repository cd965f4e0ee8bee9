//go:build unix

package socket

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// Look says what a read of the connection would find now. It neither waits nor takes anything, and removes the read deadline, as one that
// passed would keep it from looking. Of a connection that is no socket of the system nothing is known.
func Look(c net.Conn) State {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return Quiet
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return Ended // closed by us
	}
	_ = c.SetReadDeadline(time.Time{})
	state := Ended
	if err := raw.Read(func(fd uintptr) bool {
		state = peek(int(fd))
		return true
	}); err != nil {
		return Ended
	}
	return state
}

// peek looks at the descriptor, which does not block.
func peek(fd int) State {
	var one [1]byte
	for {
		n, _, err := syscall.Recvfrom(fd, one[:], syscall.MSG_PEEK)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return Quiet
		case err != nil || n == 0:
			return Ended
		}
		return Input
	}
}
