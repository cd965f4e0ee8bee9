//go:build unix

package backend

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// readable says that a read of the socket would return at once, with bytes or with its end. False where that can't be known.
func readable(socket net.Conn) bool {
	sc, ok := socket.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true // closed
	}
	_ = socket.SetReadDeadline(time.Time{}) // one that passed would keep the look from being made
	found := true
	err = raw.Read(func(fd uintptr) bool {
		found = peek(int(fd))
		return true
	})
	return found || err != nil
}

// peek looks at the descriptor, which does not block, and takes nothing from it.
func peek(fd int) bool {
	var one [1]byte
	for {
		_, _, err := syscall.Recvfrom(fd, one[:], syscall.MSG_PEEK)
		if !errors.Is(err, syscall.EINTR) {
			return !errors.Is(err, syscall.EAGAIN)
		}
	}
}
