package journal

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatepost/policy"
)

// spoil writes nonsense over a part of a file.
func spoil(t *testing.T, path string, offset int64, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(strings.Repeat("nonsense", n/8)), offset); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedAtOpen: a file that is no database is set aside, with what belongs to it, and a new one is begun.
func TestDamagedAtOpen(t *testing.T) {
	dir := stored(t, at(noon(), "OLD"))
	path := dayOf(dir, noon()).path()
	for n := 1; n <= 2; n++ {
		spoil(t, path, 0, 4096)
		os.WriteFile(path+"-wal", []byte("its log"), 0o600)
		said := put(t, Settings{Dir: dir}, at(noon(), fmt.Sprint("NEW", n)))
		aside := fmt.Sprint(path, ".corrupt-", n)
		if _, err := os.Stat(aside); err != nil || !strings.Contains(said, aside) {
			t.Errorf("%v; %s", err, said)
		}
		if b, _ := os.ReadFile(aside + "-wal"); string(b) != "its log" {
			t.Errorf("its log is %q", b)
		}
		if got := refs(found(t, dir, Query{})); got != fmt.Sprint("NEW", n) {
			t.Error(got)
		}
	}
}

// TestDamagedWhileOpen spoils the file under the writer, which sets it aside and loses nothing that was still to be written.
func TestDamagedWhileOpen(t *testing.T) {
	dir := t.TempDir()
	s, said := testStore(t, Settings{Dir: dir})
	if _, err := s.write([]*policy.Record{at(noon(), "OLD")}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	spoil(t, s.day.path(), 4096, 60000)
	s.db.db.Exec("PRAGMA shrink_memory")
	go s.run()
	for i := range 1000 {
		s.queue <- at(noon(), fmt.Sprint(i))
	}
	s.Close()
	n, lost := s.Counts()
	got := found(t, dir, Query{})
	if n+lost != 1000 || len(got) != int(n) || !strings.Contains(said.String(), "set aside") {
		t.Errorf("%d written, %d lost, %d found; %s", n, lost, len(got), said)
	}
}

// TestReadDamaged: a search tells of the file that it cannot read, and goes on with the others.
func TestReadDamaged(t *testing.T) {
	day := 24 * time.Hour
	dir := stored(t, at(noon(), "ONE"), at(noon().Add(day), "TWO"), at(noon().Add(2*day), "THREE"))
	bad := dayOf(dir, noon().Add(day)).path()
	spoil(t, bad, 0, 4096)
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []*policy.Record
	var faults []string
	for e, err := range r.Search(t.Context(), Query{}) {
		var fault *FileError
		if errors.As(err, &fault) {
			faults = append(faults, fault.File)
			continue
		}
		got = append(got, e.Record)
	}
	if refs(got) != "THREE ONE" || len(faults) != 1 || faults[0] != bad {
		t.Errorf("found %s, faults %s", refs(got), faults)
	}
	if st, err := r.Stats(t.Context(), Query{}); err == nil || st.Entries != 2 {
		t.Errorf("%+v %v", st, err)
	}
}

// TestReadDamagedBody: one record that cannot be read costs no other.
func TestReadDamagedBody(t *testing.T) {
	dir := stored(t, at(noon(), "ONE"), at(noon().Add(1), "TWO"), at(noon().Add(2), "THREE"))
	for _, body := range []string{"", "x", "\x01", "\x01nonsense", "\x02{}"} {
		change(t, dir, "UPDATE record SET body = ? WHERE id = ?", []byte(body), noon().UnixNano()+1)
		r, _ := Open(dir)
		text := ""
		for e, err := range r.Search(t.Context(), Query{}) {
			if err != nil {
				text += " !"
				continue
			}
			text += " " + e.Record.Ref
		}
		if text != " THREE ! ONE" {
			t.Errorf("%q:%s", body, text)
		}
	}
}

// change changes the file of noon.
func change(t *testing.T, dir, query string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(dayOf(dir, noon()).path(), ""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

// TestLink: a link in the place of a file is not followed, and nothing is made where it leads.
func TestLink(t *testing.T) {
	outside := t.TempDir()
	for name, leads := range map[string]string{"to nothing": filepath.Join(outside, "new"), "to a database": dayOf(stored(t, at(noon(), "X")), noon()).path()} {
		d := dayOf(t.TempDir(), noon())
		if err := os.Symlink(leads, d.path()); err != nil {
			t.Fatal(err)
		}
		if db, err := d.open(); !errors.Is(err, syscall.ELOOP) {
			t.Errorf("%s: %v", name, err)
			db.Close()
		}
	}
	if made, _ := os.ReadDir(outside); len(made) > 0 {
		t.Errorf("made was %v", made)
	}
}

// TestOwner: what root makes is given to the owner of the directory, what root finds there is not.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving files away wants root")
	}
	const daemon = 4711
	dir := t.TempDir()
	if err := os.Chown(dir, daemon, daemon); err != nil {
		t.Fatal(err)
	}
	found := dayOf(dir, noon().Add(24*time.Hour))
	if err := os.WriteFile(found.path(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	made := dayOf(dir, noon())
	for _, d := range []dayFile{made, found} {
		db, err := d.open()
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
	}
	if _, err := makeKey(dir); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]uint32{made.path(): daemon, filepath.Join(dir, keyFile): daemon, found.path(): 0} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("%s is of %d, want %d", path, got, want)
		}
	}
}

// TestNewer does not touch what a later version wrote.
func TestNewer(t *testing.T) {
	dir := stored(t, at(noon(), "ONE"))
	change(t, dir, fmt.Sprint("PRAGMA user_version = ", version+1))
	s, said := testStore(t, Settings{Dir: dir})
	go s.run()
	s.Append(at(noon(), "TWO"))
	s.Close()
	if _, lost := s.Counts(); lost != 1 || !strings.Contains(said.String(), "later version") {
		t.Errorf("%d lost; %s", lost, said)
	}
}

// TestTakenAway: a file that somebody deleted is begun anew.
func TestTakenAway(t *testing.T) {
	dir := t.TempDir()
	s, said := testStore(t, Settings{Dir: dir})
	s.write([]*policy.Record{at(noon(), "ONE")})
	if err := s.day.remove(); err != nil {
		t.Fatal(err)
	}
	s.sweep()
	s.write([]*policy.Record{at(noon(), "TWO")})
	s.closeDay()
	if got := refs(found(t, dir, Query{})); got != "TWO" || !strings.Contains(said.String(), "taken away") {
		t.Errorf("%s; %s", got, said)
	}
}

// TestTakenAwayWhileOpen: records that come after the file or its folder was taken away are in a new one; none is counted that is not.
func TestTakenAwayWhileOpen(t *testing.T) {
	for name, take := range map[string]func(s *Store) error{
		"deleted":        func(s *Store) error { return s.day.remove() },
		"moved":          func(s *Store) error { return os.Rename(s.day.path(), s.day.path()+".old") },
		"without folder": func(s *Store) error { return os.RemoveAll(s.set.Dir) },
	} {
		s, said := testStore(t, Settings{Dir: filepath.Join(t.TempDir(), "journal")})
		s.save([]*policy.Record{at(noon(), "ONE")}, true)
		if err := take(s); err != nil {
			t.Fatal(err)
		}
		s.save([]*policy.Record{at(noon(), "TWO"), at(noon(), "THREE")}, true)
		s.save([]*policy.Record{at(noon(), "FOUR")}, false)
		s.closeDay()
		if got := refs(found(t, s.set.Dir, Query{})); got != "FOUR THREE TWO" {
			t.Errorf("%s: found %s", name, got)
		}
		if n, lost := s.Counts(); n != 4 || lost != 0 || strings.Count(said.String(), "taken away") != 1 {
			t.Errorf("%s: %d written, %d lost; %s", name, n, lost, said)
		}
	}
}

// safeLog is a log that is read while it is written.
type safeLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *safeLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// until waits for something that another goroutine does.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came: %s", what)
		}
	}
}

// TestDiskFull fills a small file system. What was written stays readable, the fault is said, nothing blocks, and when there is room
// again all that waited is written.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a file system wants root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("journal", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skip("no file system can be mounted here: ", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	said := &safeLog{}
	s := newStore(Settings{Dir: dir}, nil, slog.New(slog.NewTextHandler(said, nil)))
	go s.run()
	s.Append(at(noon(), "FIRST"))
	until(t, "the first record", func() bool { n, _ := s.Counts(); return n == 1 })
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 4<<20), 0o600); err == nil {
		t.Fatal("the file system is larger than thought")
	}
	for i := range 800 {
		s.Append(at(noon().Add(time.Duration(i)), fmt.Sprint(i)))
	}
	until(t, "word of it", func() bool { return strings.Contains(said.String(), "cannot be written") })
	if got := found(t, dir, Query{OldestFirst: true}); len(got) == 0 || got[0].Ref != "FIRST" {
		t.Errorf("while it is full: %d records", len(got))
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	until(t, "the rest", func() bool { n, _ := s.Counts(); return n == 801 })
	until(t, "word that it is over", func() bool { return strings.Contains(said.String(), "can be written again") })
	s.Close()
	if got := found(t, dir, Query{}); len(got) != 801 {
		t.Errorf("%d of 801 records; %s", len(got), said)
	}
	if n := strings.Count(said.String(), "cannot be written"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
}

// TestNowhere: a directory that cannot be made is said once; records wait, then are lost and counted, and the end comes all the same.
func TestNowhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	s, said := testStore(t, Settings{Dir: filepath.Join(file, "dir")})
	go s.run()
	for range 10 {
		s.Append(at(noon(), "X"))
	}
	s.Close()
	if n, lost := s.Counts(); n != 0 || lost != 10 {
		t.Errorf("%d written, %d lost", n, lost)
	}
	if text := said.String(); strings.Count(text, "cannot be written") != 1 || !strings.Contains(text, "records=10") {
		t.Error(text)
	}
}

// TestReadOnlyDir reads a closed file in a directory that cannot be written.
func TestReadOnlyDir(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a file system wants root")
	}
	dir := stored(t, at(noon(), "ONE"))
	change(t, dir, "PRAGMA journal_mode = WAL") // as it is where somebody read the file when the day was over
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Skip("no file system can be mounted here: ", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skip(err)
	}
	if got := refs(found(t, dir, Query{})); got != "ONE" {
		t.Error(got)
	}
	s, said := testStore(t, Settings{Dir: dir})
	go s.run()
	s.Append(at(noon(), "TWO"))
	s.Close()
	if _, lost := s.Counts(); lost != 1 || !strings.Contains(said.String(), "cannot be written") {
		t.Errorf("%d lost; %s", lost, said)
	}
}

// killEnv holds the directory in which the child of TestKill writes until it is killed.
const killEnv = "GATEPOST_TEST_JOURNAL_KILL"

// TestKill kills a process that writes, again and again; the file is sound each time, and has all that was told to be written.
func TestKill(t *testing.T) {
	if dir := os.Getenv(killEnv); dir != "" {
		writeForEver(dir)
	}
	dir := t.TempDir()
	for round := range 3 {
		child := exec.Command(os.Args[0], "-test.run=^TestKill$")
		child.Env = append(os.Environ(), killEnv+"="+dir)
		told, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		var written int
		for written < 300+round*300 {
			if _, err := fmt.Fscanln(told, &written); err != nil {
				t.Fatal(err)
			}
		}
		child.Process.Kill()
		rest, _ := io.ReadAll(told)
		if lines := strings.Fields(string(rest)); len(lines) > 0 {
			fmt.Sscan(lines[len(lines)-1], &written)
		}
		child.Wait()
		got := found(t, dir, Query{Text: "pid0."})
		if len(got) > 0 {
			t.Errorf("found %s", refs(got))
		}
		if got := found(t, dir, Query{Text: fmt.Sprint("pid", child.Process.Pid, ".")}); len(got) < written {
			t.Fatalf("round %d: %d written, %d found", round, written, len(got))
		}
	}
	wal, err := filepath.Glob(filepath.Join(dir, "*-wal"))
	if err != nil || len(wal) == 0 {
		t.Errorf("nothing was left in mid-batch: %v, %v", wal, err)
	}
	put(t, Settings{Dir: dir}, at(noon(), "AFTER"))
	if got := found(t, dir, Query{Limit: 1}); refs(got) != "AFTER" {
		t.Errorf("found %s", refs(got))
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "*"+asideMark+"*")); len(aside) > 0 {
		t.Errorf("set aside: %v", aside)
	}
}

// writeForEver writes records and tells how many are written.
func writeForEver(dir string) {
	s := newStore(Settings{Dir: dir}, nil, discard())
	s.now = noon
	go s.run()
	for i := 0; ; i++ {
		r := at(noon(), fmt.Sprint(i))
		r.Helo = fmt.Sprintf("pid%d.example", os.Getpid())
		s.queue <- r
		if i%100 == 0 {
			n, _ := s.Counts()
			fmt.Println(n)
		}
	}
}
