package greylist

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatepost/policy"
)

// reopen is a store on the file of another that was closed or has died.
func reopen(t *testing.T, s *Settings, path string) *SQLite {
	t.Helper()
	q := newSQLite(s, path, nowhere())
	if err := q.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.db.Close() })
	return q
}

// count is how many rows the file has.
func count(t *testing.T, q *SQLite) (n int) {
	t.Helper()
	if err := q.db.QueryRow("SELECT count(*) FROM entry").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSQLiteRemembers: what was seen is there after a restart, whichever way the store is closed.
func TestSQLiteRemembers(t *testing.T) {
	s, dir := Defaults(), t.TempDir()
	st, err := Open(s, dir, nowhere())
	if err != nil {
		t.Fatal(err)
	}
	expect(t, st, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
	expect(t, st, sight(2, "a@s.example", "b@r.example", hour), policy.Pass)
	expect(t, st, sight(3, "a@s.example", "b@r.example", hour), FirstSeen)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	q := reopen(t, s, dir+"/"+fileName)
	expect(t, q, sight(2, "a@s.example", "b@r.example", 2*hour), policy.Pass)
	expect(t, q, sight(3, "a@s.example", "b@r.example", hour+minute), Early)
	if st := q.Stats(); st[StateWaiting] != 1 || st[StatePassed] != 1 || st[StateSeen] != 1 || st[StateKnown] != 0 {
		t.Errorf("%v", st)
	}
	if info, err := os.Stat(dir + "/" + fileName); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("others may read the file: %v, %v", info.Mode(), err)
	}
}

// TestSQLiteClock: the machine comes up with a clock that is a day ahead, then with one a day behind. Nobody is forgotten.
func TestSQLiteClock(t *testing.T) {
	s, path := Defaults(), t.TempDir()+"/"+fileName
	q := reopen(t, s, path)
	for i := range byte(50) {
		expect(t, q, sight(i, "a@s.example", "b@r.example", 0), FirstSeen)
		expect(t, q, sight(i, "a@s.example", "b@r.example", hour), policy.Pass)
		expect(t, q, sight(i, "a@s.example", "c@r.example", 47*hour), FirstSeen)
	}
	for _, jump := range []int64{aDay, -aDay, 0} {
		q.save()
		q.db.Close()
		q = reopen(t, s, path)
		expect(t, q, sight(99, "x@s.example", fmt.Sprint(jump, "@r.example"), 94*hour+jump), FirstSeen) // gives everyone occasion to go
		if st := q.Stats(); st[StatePassed] != 50 || st[StateSeen] != 50 || st[StateWaiting] < 50 {
			t.Errorf("after a jump by %s: %v", span(jump), st)
		}
	}
	for i := range byte(50) {
		expect(t, q, sight(i, "a@s.example", "c@r.example", 94*hour), policy.Pass)
	}
}

// TestSQLiteNotices has a command change the file under a running store, which notices by itself.
func TestSQLiteNotices(t *testing.T) {
	s, dir := Defaults(), t.TempDir()
	st, err := Open(s, dir, nowhere())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	b, err := OpenBook(s, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Put(context.Background(), []Record{AllowedClient(Identity{Name: "192.0.2.0/24"}, time.Now())}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if st.Stats()[StateAllowed] == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the store does not notice")
		}
	}
	expect(t, st, sight(2, "a@s.example", "b@r.example", 0), Known)
}

// TestSQLiteDeleteWins: an entry that a command deletes while the store has a change of it to write stays deleted.
func TestSQLiteDeleteWins(t *testing.T) {
	q, f := openBoth(t)
	x := sight(2, "a@s.example", "b@r.example", 0)
	expect(t, q, x, FirstSeen)
	if err := q.save(); err != nil {
		t.Fatal(err)
	}
	x.Now += hour
	expect(t, q, x, policy.Pass) // not yet on disk
	if _, err := f.Delete(context.Background(), []Record{{Key: x.Triplet}, {Key: x.Client}}); err != nil {
		t.Fatal(err)
	}
	if err := q.save(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, q); n != 0 {
		t.Errorf("%d rows", n)
	}
	expect(t, q, x, FirstSeen)
}

// TestSQLiteKilled kills a process in the middle of its sightings, several times. The file is sound, and what was written is there.
func TestSQLiteKilled(t *testing.T) {
	path := t.TempDir() + "/" + fileName
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKillMe$")
		cmd.Env = append(os.Environ(), "GREYLIST_KILL_ME="+path, fmt.Sprint("GREYLIST_ROUND=", round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		saved := ""
		for in := bufio.NewScanner(out); saved == "" && in.Scan(); {
			saved, _ = strings.CutPrefix(in.Text(), "saved ")
		}
		cmd.Process.Kill()
		cmd.Wait()
		q := reopen(t, Defaults(), path)
		var verdict string
		if err := q.db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			t.Fatalf("%s %v", verdict, err)
		}
		x := sight(byte(round), "a@s.example", saved+"@r.example", minute)
		expect(t, q, x, Early)
		q.db.Close()
	}
}

// TestKillMe is the process that is killed. It tells of a sighting that the writer has written, and goes on.
func TestKillMe(t *testing.T) {
	path := os.Getenv("GREYLIST_KILL_ME")
	if path == "" {
		t.Skip("it is a part of TestSQLiteKilled")
	}
	var round byte
	fmt.Sscan(os.Getenv("GREYLIST_ROUND"), &round)
	q := openSQLite(Defaults(), path, nowhere())
	told := false
	for i := 0; ; i++ {
		x := sight(round, "a@s.example", fmt.Sprint("r", i, "@r.example"), 0)
		q.Sight(context.Background(), x)
		time.Sleep(time.Millisecond)
		q.table.mu.Lock()
		if n := q.table.nodes[sight(round, "a@s.example", "r0@r.example", 0).Triplet]; !told && n.label == "" { // it is on disk
			told = true
			fmt.Println("saved r0")
		}
		q.table.mu.Unlock()
	}
}

// TestSQLiteCorrupt: a file that is no sound database is set aside, and a new one is begun.
func TestSQLiteCorrupt(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"no database": func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("mail ", 5000)), 0o600) },
		"overwritten": func(path string) error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte(strings.Repeat("x", 60000)), 4096)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/" + fileName
			q := reopen(t, Defaults(), path)
			for i := range 2000 {
				expect(t, q, sight(2, "a@s.example", fmt.Sprint(i, "@r.example"), 0), FirstSeen)
			}
			q.save()
			q.db.Close()
			if err := harm(path); err != nil {
				t.Fatal(err)
			}
			q = reopen(t, Defaults(), path)
			expect(t, q, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
			if err := q.save(); err != nil {
				t.Fatal(err)
			}
			if aside, _ := filepath.Glob(path + ".corrupt-*"); len(aside) != 1 {
				t.Errorf("set aside: %v", aside)
			}
			if n := count(t, q); n != 1 {
				t.Errorf("%d rows", n)
			}
		})
	}
}

// TestSQLiteCorruptWhileOpen: what memory holds is written to the new file.
func TestSQLiteCorruptWhileOpen(t *testing.T) {
	path := t.TempDir() + "/" + fileName
	q := reopen(t, Defaults(), path)
	expect(t, q, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
	if err := q.save(); err != nil {
		t.Fatal(err)
	}
	expect(t, q, sight(3, "a@s.example", "b@r.example", 0), FirstSeen)
	q.db.Exec("DROP TABLE edit; DROP TABLE entry") // as good as lost
	for range 2 {
		q.save()
	}
	if q.db != nil { // a missing table is no corruption: the store says so and goes on in memory
		expect(t, q, sight(3, "a@s.example", "b@r.example", hour), policy.Pass)
	}
	b := q.table.drain()
	q.table.undo(b)
	if len(b.changes) == 0 {
		t.Error("what could not be written is forgotten")
	}
	if err := q.setAside(errors.New("test")); err != nil {
		t.Fatal(err)
	}
	q.table.undo(batch{all: true})
	if err := q.save(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, q); n != 4-1 {
		t.Errorf("%d rows in the new file", n)
	}
}

// TestSQLiteNewer: the file of a later version is left alone; memory serves.
func TestSQLiteNewer(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", dir+"/"+fileName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 99; CREATE TABLE later (x)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	st, err := Open(Defaults(), dir, nowhere())
	if err != nil {
		t.Fatal(err)
	}
	expect(t, st, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
	expect(t, st, sight(2, "a@s.example", "b@r.example", hour), policy.Pass)
	if err := st.Close(); !errors.Is(err, errNewer) {
		t.Errorf("closed: %v", err)
	}
	if aside, _ := filepath.Glob(dir + "/*corrupt*"); len(aside) != 0 {
		t.Errorf("set aside: %v", aside)
	}
	if _, err := OpenBook(Defaults(), dir, false); !errors.Is(err, errNewer) {
		t.Errorf("a command: %v", err)
	}
}

// TestSQLiteDisk: while the file cannot be written memory serves, and what it took in is written once it can.
func TestSQLiteDisk(t *testing.T) {
	q, _ := openBoth(t)
	if _, err := q.db.Exec("PRAGMA max_page_count = 1"); err != nil { // SQLite says "database or disk is full"
		t.Fatal(err)
	}
	for i := range 500 {
		expect(t, q, sight(2, "a@s.example", fmt.Sprint(i, "@r.example"), 0), FirstSeen)
	}
	if err := q.save(); err == nil {
		t.Fatal("the disk is not full")
	}
	expect(t, q, sight(2, "a@s.example", "7@r.example", hour), policy.Pass)
	if _, err := q.db.Exec("PRAGMA max_page_count = 100000"); err != nil {
		t.Fatal(err)
	}
	if err := q.save(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, q); n != 501 {
		t.Errorf("%d rows", n)
	}
}

// TestSQLiteNoDisk: there is no place for the file at first.
func TestSQLiteNoDisk(t *testing.T) {
	dir := t.TempDir() + "/state"
	path := dir + "/" + fileName
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // in the way
		t.Fatal(err)
	}
	q := newSQLite(Defaults(), path, nowhere())
	if err := q.open(); err == nil {
		t.Fatal("opened a file in no directory")
	}
	expect(t, q, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
	if err := q.save(); err == nil {
		t.Fatal("saved to no directory")
	}
	os.Remove(dir)
	if err := q.save(); err != nil {
		t.Fatal(err)
	}
	defer q.db.Close()
	if n := count(t, q); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// TestSQLiteBounded: strangers in any number leave the file bounded too, also after a time in which it could not be written.
func TestSQLiteBounded(t *testing.T) {
	s := Defaults()
	s.MaxEntries = 1000
	q := reopen(t, s, t.TempDir()+"/"+fileName)
	flood := func(from, to int) {
		for i := from; i < to; i++ {
			expect(t, q, sight(2, "a@s.example", fmt.Sprint(i, "@r.example"), int64(i)*hour/100), FirstSeen)
		}
	}
	flood(0, 900)
	q.save()
	flood(900, 2500)
	q.save()
	if n := count(t, q); n != 1000 {
		t.Errorf("%d rows", n)
	}
	flood(2500, 9000) // more than it keeps a list of
	if !q.table.tooMany {
		t.Error("the list of changes has no bound")
	}
	if err := q.save(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, q); n != 1000 || len(q.table.nodes) != 1000 {
		t.Errorf("%d rows, %d in memory", n, len(q.table.nodes))
	}
	var named int
	q.db.QueryRow("SELECT count(*) FROM entry WHERE label <> ''").Scan(&named)
	if named != 1000 {
		t.Errorf("%d of them with labels", named)
	}
}
