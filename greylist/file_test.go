package greylist

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// nobody is a user who is not the one that runs the test, where that is root.
const nobody = 65534

// stateDir is a directory that belongs to nobody where the test may give it away.
func stateDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func ownerOf(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// TestFileIsNoLink has the daemon's user put links where root's command looks for the greylist: no other file is made, given away or written.
func TestFileIsNoLink(t *testing.T) {
	for name, plant := range map[string]func(victim, path string) error{
		"a link":               os.Symlink,
		"a link to nothing":    func(victim, path string) error { return os.Symlink(victim+"-new", path) },
		"another name":         os.Link,
		"another name, as WAL": func(victim, path string) error { return os.Link(victim, path+"-wal") },
		"a directory":          func(_, path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			victim, path := filepath.Join(t.TempDir(), "victim"), filepath.Join(stateDir(t), fileName)
			if err := os.WriteFile(victim, nil, 0o600); err != nil { // an empty one SQLite would take for its own
				t.Fatal(err)
			}
			if err := plant(victim, path); err != nil {
				t.Fatal(err)
			}
			if name == "another name, as WAL" {
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if f, err := openFile(path, true); err == nil {
				f.Close()
				t.Error("it was opened")
			}
			if text, err := os.ReadFile(victim); err != nil || len(text) > 0 || ownerOf(t, victim) != os.Geteuid() {
				t.Errorf("the other file has %d octets (%v), and belongs to %d", len(text), err, ownerOf(t, victim))
			}
			if _, err := os.Stat(victim + "-new"); err == nil {
				t.Error("a file was made where a link led to")
			}
		})
	}
}

// TestFileBelongsToTheDaemon: what a command makes as root belongs to the owner of the directory; what is there already keeps its owner.
func TestFileBelongsToTheDaemon(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes root")
	}
	path := filepath.Join(stateDir(t), fileName)
	for _, want := range []int{nobody, 1} {
		f, err := openFile(path, true)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if got := ownerOf(t, path); got != want {
			t.Errorf("it belongs to %d, want %d", got, want)
		}
		if err := os.Chown(path, 1, 1); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeletedIsGone: no address of a deleted entry is left in the file, or beside it, while the daemon has it open.
func TestDeletedIsGone(t *testing.T) {
	q, f := openBoth(t)
	expect(t, q, sight(2, "a@s.example", "amy.somebody@r.example", 0), FirstSeen)
	expect(t, q, sight(3, "a@s.example", "b@r.example", 0), FirstSeen)
	if err := q.save(); err != nil {
		t.Fatal(err)
	}
	holds := func(text string) (found bool) {
		err := fs.WalkDir(os.DirFS(filepath.Dir(q.path)), ".", func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(filepath.Join(filepath.Dir(q.path), name))
			found = found || bytes.Contains(b, []byte(text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if !holds("amy.somebody") {
		t.Fatal("the address is not where it is looked for")
	}
	if n, err := f.Delete(context.Background(), []Record{{Key: sight(2, "a@s.example", "amy.somebody@r.example", 0).Triplet}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if holds("amy.somebody") || !holds("b@r.example") {
		t.Error("the file still holds the address, or lost another")
	}
}

// TestSQLiteRemoved has the file removed, and another put in its place, under a running store: all it knows is written anew, with the labels.
func TestSQLiteRemoved(t *testing.T) {
	for name, replace := range map[string]bool{"removed": false, "replaced": true} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/" + fileName
			q := reopen(t, Defaults(), path)
			expect(t, q, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
			if err := q.save(); err != nil {
				t.Fatal(err)
			}
			expect(t, q, sight(3, "c@s.example", "d@r.example", 0), FirstSeen)
			for _, end := range []string{"", "-wal", "-shm"} {
				if err := os.Remove(path + end); err != nil {
					t.Fatal(err)
				}
			}
			if replace {
				allow(t, path)
			}
			if err := q.save(); err != nil {
				t.Fatal(err)
			}
			if replace != (q.Stats()[StateAllowed] == 1) {
				t.Errorf("%v", q.Stats())
			}
			allow(t, path) // a command is heard again
			if err := q.save(); err != nil {
				t.Fatal(err)
			}
			expect(t, q, sight(9, "a@s.example", "b@r.example", 0), Known)
			f, err := openFile(path, false)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got := map[string]bool{}
			for _, r := range records(t, f)[StateWaiting] {
				got[r.Label.Recipient] = true
			}
			if len(got) != 2 || !got["b@r.example"] || !got["d@r.example"] {
				t.Errorf("the new file has %v", got)
			}
		})
	}
}

// allow is a command that opens all recipients to 192.0.9.0/24.
func allow(t *testing.T, path string) {
	t.Helper()
	f, err := openFile(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Put(context.Background(), []Record{AllowedClient(Identity{Name: "192.0.9.0/24"}, time.Now())}); err != nil {
		t.Fatal(err)
	}
}
