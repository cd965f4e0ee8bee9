package greylist

import (
	"os"
	"syscall"
	"testing"
)

// TestOpenKeepsLocks: a second connection of the same process leaves the first its lock. Without that a command would think itself alone when
// it ends, and remove the WAL that the daemon writes.
func TestOpenKeepsLocks(t *testing.T) {
	q, _ := openBoth(t)
	db, err := openDB(q.path)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	f, err := os.Open(q.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const getLock = 36                                                          // F_OFD_GETLK, which the locks of this process are in the way of, too
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: 0x40000002, Len: 510} // SQLite's bytes of those who read
	if err := syscall.FcntlFlock(f.Fd(), getLock, &lock); err != nil {
		t.Fatal(err)
	}
	if lock.Type == syscall.F_UNLCK {
		t.Error("the lock is gone")
	}
}
