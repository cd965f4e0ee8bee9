package journal

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"modernc.org/sqlite"
)

// schema is the database of one day. The id is when the entry was recorded, in nanoseconds since 1970, made unique and rising.
// There is one row of entry a recipient, or one without an address where the record has no recipients. An index has what is
// looked for by itself; the rest is found by going through entry, whose rows are small.
const schema = `
CREATE TABLE record (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE entry (
	id INTEGER NOT NULL, n INTEGER NOT NULL, ref TEXT NOT NULL, client BLOB NOT NULL,
	sender TEXT, sender_domain TEXT NOT NULL, author_domain TEXT NOT NULL, address TEXT NOT NULL,
	verdict INTEGER NOT NULL, would INTEGER NOT NULL, by TEXT NOT NULL, would_by TEXT NOT NULL,
	PRIMARY KEY (id, n)
) WITHOUT ROWID;
CREATE INDEX entry_ref ON entry (ref);
CREATE INDEX entry_client ON entry (client);
CREATE INDEX entry_sender ON entry (sender_domain);
CREATE INDEX entry_author ON entry (author_domain) WHERE author_domain <> sender_domain;
CREATE INDEX entry_address ON entry (address);
PRAGMA user_version = 1;`

// version is that of the schema.
const version = 1

// errNoDatabase is a file that does not begin as a database does.
var errNoDatabase = errors.New("it is no database")

// errNewer is a file that a later gatepost wrote.
var errNewer = errors.New("the file was written by a later version of gatepost")

// dayFile is one file of a journal.
type dayFile struct {
	dir, name string
	day       time.Time // its begin, UTC
	aside     bool      // it was set aside as no sound database
}

const (
	dayPrefix = "journal-"
	dayLayout = "2006-01-02"
	daySuffix = ".db"
)

// dayOf is the file for a time.
func dayOf(dir string, t time.Time) dayFile {
	day := t.UTC().Truncate(24 * time.Hour)
	return dayFile{dir: dir, name: dayPrefix + day.Format(dayLayout) + daySuffix, day: day}
}

func (d dayFile) path() string { return filepath.Join(d.dir, d.name) }

// listFiles are all day files of a directory, those set aside too, the oldest first.
func listFiles(dir string) ([]dayFile, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var days []dayFile
	for _, e := range names {
		date, rest, ok := strings.Cut(strings.TrimPrefix(e.Name(), dayPrefix), daySuffix)
		day, err := time.Parse(dayLayout, date)
		if !ok || err != nil || !strings.HasPrefix(e.Name(), dayPrefix) || rest != "" && !strings.HasPrefix(rest, asideMark) || isPart(rest) {
			continue
		}
		days = append(days, dayFile{dir, e.Name(), day, rest != ""})
	}
	slices.SortFunc(days, func(a, b dayFile) int { return cmp.Or(a.day.Compare(b.day), cmp.Compare(a.name, b.name)) })
	return days, nil
}

// isPart reports whether a name is of a file that belongs to another.
func isPart(name string) bool {
	return strings.HasSuffix(name, "-wal") || strings.HasSuffix(name, "-shm")
}

// listDays are the day files that can be read, the oldest first.
func listDays(dir string) ([]dayFile, error) {
	days, err := listFiles(dir)
	return slices.DeleteFunc(days, func(d dayFile) bool { return d.aside }), err
}

// size is how many octets the file takes, with what belongs to it.
func (d dayFile) size() (n int64) {
	for _, part := range parts() {
		if info, err := os.Stat(d.path() + part); err == nil {
			n += info.Size()
		}
	}
	return n
}

// remove deletes the file and what belongs to it. Who reads it reads on.
func (d dayFile) remove() error {
	for _, part := range parts()[1:] {
		os.Remove(d.path() + part) // without the file itself they are nothing
	}
	return os.Remove(d.path())
}

// parts are the endings of the files that make up a database.
func parts() []string { return []string{"", "-wal", "-shm"} }

// read opens the file for reading, beside its writer, and has it read.
func (d dayFile) read(ctx context.Context, f func(*sql.DB) error) error {
	if _, err := os.Stat(d.path()); err != nil {
		return err
	}
	err := d.readAs(ctx, "", f)
	if code(err) == cannotOpen || code(err) == readOnly {
		// SQLite has to write beside a file in WAL mode, even to read it. A file without a WAL, in a directory that we cannot write,
		// has no writer either.
		if _, wal := os.Stat(d.path() + "-wal"); errors.Is(wal, fs.ErrNotExist) {
			return d.readAs(ctx, "&immutable=1", f)
		}
	}
	return err
}

func (d dayFile) readAs(ctx context.Context, how string, f func(*sql.DB) error) error {
	db, err := sql.Open("sqlite", dsn(d.path(), "mode=ro&_pragma=busy_timeout(5000)&_pragma=cache_size(-4096)"+how))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var v int
	err = db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&v)
	switch {
	case err != nil:
		return err
	case v > version:
		return errNewer
	case v == 0: // its writer has only just made it
		return nil
	}
	return f(db)
}

// open opens the file for writing, made if it is not there. What has been committed outlives the process, and the file is sound
// whenever the machine stops (WAL).
func (d dayFile) open() (*sql.DB, error) {
	if err := d.make(); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dsn(d.path(), "mode=rw&_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"+
		"&_pragma=journal_size_limit(16777216)&_pragma=cache_size(-8192)&_pragma=secure_delete(1)"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if err := prepare(db); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// make makes the file, if it is not there. SQLite would let everybody read it; and of a file that is no database it would delete the WAL.
func (d dayFile) make() error {
	f, err := os.OpenFile(d.path(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err == nil {
		return errors.Join(giveToOwner(f), f.Close())
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err = os.OpenFile(d.path(), os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	const magic = "SQLite format 3\x00"
	head := make([]byte, len(magic))
	switch _, err := io.ReadFull(f, head); {
	case err == io.EOF: // it is new
		return nil
	case err != nil && err != io.ErrUnexpectedEOF:
		return err
	case string(head) != magic:
		return errNoDatabase
	}
	return nil
}

// dsn names a database to the driver.
func dsn(path, options string) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: options}).String()
}

// giveToOwner gives a file that root has just made, and no other, to the owner of its directory, who is the user that the daemon runs as.
func giveToOwner(made *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(made.Name()))
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return made.Chown(int(st.Uid), int(st.Gid))
	}
	return nil
}

func prepare(db *sql.DB) error {
	var v int
	if err := db.QueryRow("PRAGMA user_version").Scan(&v); err != nil {
		return err
	}
	switch {
	case v > version:
		return errNewer
	case v == version:
		return nil
	}
	tx, err := db.Begin() // a process killed in between leaves no half of it
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.Exec(schema); err != nil {
		return err
	}
	return tx.Commit()
}

// What SQLite says is wrong, by the first octet of its code.
const (
	readOnly   = 8
	corrupt    = 11
	cannotOpen = 14
	tooBig     = 18
	constraint = 19
	mismatch   = 20
	notADB     = 26
)

// code is the code of an error of SQLite's; 0 of any other.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// isCorrupt says whether an error means that the file is no sound database.
func isCorrupt(err error) bool {
	return code(err) == corrupt || code(err) == notADB || errors.Is(err, errNoDatabase)
}

// asideMark stands in the name of a file that was set aside.
const asideMark = ".corrupt-"

// setAside moves a file that is no sound database out of the way, for whoever wants to look at it, and returns its new name.
func (d dayFile) setAside() (string, error) {
	for n := 1; ; n++ {
		aside := fmt.Sprintf("%s%s%d", d.path(), asideMark, n)
		if _, err := os.Lstat(aside); err == nil {
			continue
		}
		if err := os.Rename(d.path(), aside); err != nil {
			return "", err
		}
		os.Rename(d.path()+"-wal", aside+"-wal") // it holds a part of the file; a new one must not find it
		os.Remove(d.path() + "-shm")
		return aside, nil
	}
}
