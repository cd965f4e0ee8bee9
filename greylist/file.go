package greylist

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"modernc.org/sqlite"
)

// schema is the database. An edit is an entry that a command changed: the daemon reads these, and takes the entry over.
const schema = `
CREATE TABLE IF NOT EXISTS entry (
	key BLOB PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, passed INTEGER NOT NULL, flags INTEGER NOT NULL, label TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS edit (id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL, at INTEGER NOT NULL);
PRAGMA user_version = 1;`

// version is that of the schema.
const version = 1

// errNewer is a file that a later gatepost wrote.
var errNewer = errors.New("the file was written by a later version of gatepost")

// openDB opens the database, made if it is not there. What has been committed outlives the process, and the file is sound whenever the
// machine stops (WAL).
func openDB(path string) (*sql.DB, error) {
	if err := makeFile(path); err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: "mode=rw&_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)" +
		"&_pragma=synchronous(NORMAL)&_pragma=journal_size_limit(16777216)&_pragma=secure_delete(1)"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // one writer: else a batch would wait for itself
	if err := prepare(db); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// makeFile makes the file if it is not there; SQLite would let everybody read it. A command may run as root, in a directory where the
// daemon's user can put what he likes: so root gives away only what it made here, and a file that stands elsewhere too is not opened.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err == nil {
		return errors.Join(giveToOwner(f), f.Close())
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} { // SQLite gives these to the owner of the first
		if err := checkPlain(name); err != nil {
			return err
		}
	}
	// SQLite would not say why. To open and close the file would drop the locks that this process has on it.
	if err := syscall.Access(path, 6); err != nil { // R_OK and W_OK
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return nil
}

// checkPlain refuses what is no plain file, or has other names. What is not there is in order.
func checkPlain(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || ok && st.Nlink > 1 {
		return fmt.Errorf("%s is a link, or no plain file; it is not opened", path)
	}
	return nil
}

// giveToOwner gives a file that root made to the owner of its directory, who is the user that the daemon runs as.
func giveToOwner(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return f.Chown(int(st.Uid), int(st.Gid))
	}
	return nil
}

func prepare(db *sql.DB) error {
	var v int
	if err := db.QueryRow("PRAGMA user_version").Scan(&v); err != nil {
		return err
	}
	if v > version {
		return errNewer
	}
	if v == version {
		return nil
	}
	_, err := db.Exec(schema)
	return err
}

// isCorrupt says whether an error means that the file is no sound database (SQLITE_CORRUPT 11, SQLITE_NOTADB 26).
func isCorrupt(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code()&0xff == 11 || e.Code()&0xff == 26)
}

// File is the Book of the database in the state directory.
type File struct{ db *sql.DB }

// openFile opens a database, which must be there already unless it is to be made.
func openFile(path string, create bool) (*File, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !create {
		return nil, fmt.Errorf("there is no greylist yet at %s: gatepost serve makes it", path)
	}
	db, err := openDB(path)
	if err != nil {
		return nil, fmt.Errorf("open the greylist %s: %w", path, err)
	}
	return &File{db}, nil
}

// Each gives all entries.
func (f *File) Each(ctx context.Context, yield func(Record) bool) error {
	return eachRow(ctx, f.db, func(k Key, e Entry, label string) bool {
		return yield(Record{Key: k, Entry: e, Label: unpack(label)})
	})
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// eachRow gives the rows, the oldest first.
func eachRow(ctx context.Context, q querier, yield func(Key, Entry, string) bool) error {
	rows, err := q.QueryContext(ctx, "SELECT key, first, last, passed, flags, label FROM entry ORDER BY last, key")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		k, e, label, err := scan(rows)
		if err != nil {
			return err
		}
		if !yield(k, e, label) {
			return nil
		}
	}
	return rows.Err()
}

// scan reads a row of key, first, last, passed, flags, label.
func scan(row interface{ Scan(...any) error }) (k Key, e Entry, label string, err error) {
	var raw []byte
	err = row.Scan(&raw, &e.First, &e.Last, &e.Passed, &e.Flags, &label)
	copy(k[:], raw)
	return k, e, label, err
}

// upsert writes an entry. A label that is not at hand does not wipe the one that is there.
const upsert = `INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET first = excluded.first, last = excluded.last,
	passed = excluded.passed, flags = excluded.flags, label = iif(excluded.label = '', label, excluded.label)`

// Put adds entries, all or none.
func (f *File) Put(ctx context.Context, rs []Record) error {
	return f.edit(ctx, func(tx *sql.Tx) error {
		for _, r := range rs {
			e, err := find(ctx, tx, r.Key)
			if err != nil {
				return err
			}
			e = merge(e, r.Entry)
			if _, err := tx.ExecContext(ctx, upsert, r.Key[:], e.First, e.Last, e.Passed, e.Flags, r.Label.pack()); err != nil {
				return err
			}
		}
		return note(ctx, tx, rs)
	})
}

// Delete forgets entries, all or none. Nothing of them stays in the file or its WAL, unless somebody is just reading there.
func (f *File) Delete(ctx context.Context, rs []Record) (int, error) {
	count := int64(0)
	err := f.edit(ctx, func(tx *sql.Tx) error {
		for _, r := range rs {
			res, err := tx.ExecContext(ctx, "DELETE FROM entry WHERE key = ?", r.Key[:])
			if err != nil {
				return err
			}
			n, _ := res.RowsAffected() // the driver always knows
			count += n
		}
		return note(ctx, tx, rs)
	})
	if err == nil {
		_, err = f.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	return int(count), err
}

// Close closes the file.
func (f *File) Close() error { return f.db.Close() }

// edit runs a change in a transaction.
func (f *File) edit(ctx context.Context, change func(*sql.Tx) error) error {
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("change the greylist: %w", err)
	}
	defer tx.Rollback()
	if err := change(tx); err != nil {
		return fmt.Errorf("change the greylist: %w", err)
	}
	return tx.Commit()
}

// note tells the daemon of the change, and drops what it has been told long ago.
func note(ctx context.Context, tx *sql.Tx, rs []Record) error {
	now := time.Now().UnixMilli()
	for _, r := range rs {
		if _, err := tx.ExecContext(ctx, "INSERT INTO edit (key, at) VALUES (?, ?)", r.Key[:], now); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM edit WHERE at < ?", now-grace)
	return err
}

// find is the entry under a key, zero where there is none.
func find(ctx context.Context, q querier, k Key) (Entry, error) {
	_, e, _, err := scan(q.QueryRowContext(ctx, "SELECT key, first, last, passed, flags, label FROM entry WHERE key = ?", k[:]))
	if errors.Is(err, sql.ErrNoRows) {
		return Entry{}, nil
	}
	return e, err
}
