package greylist

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// SQLite is a Store on disk. All entries are in memory too, so a sighting waits for no disk; what has changed is written each
// second, in one transaction. A process that is killed loses that second. While the disk cannot be written, memory serves.
type SQLite struct {
	table *table
	path  string
	log   *slog.Logger
	db    *sql.DB     // nil until it could be opened; of the writer alone
	inode fs.FileInfo // of the file when it was opened
	seen  int64       // the last edit that was taken over
	sick  bool        // the last save failed
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once
	err   error
}

// saveEvery is how often changes are written, and those of commands are read.
const saveEvery = time.Second

// openSQLite opens the store and reads it. What is wrong with the file is logged: one that is no sound database is set aside, any
// other is tried again.
func openSQLite(s *Settings, path string, log *slog.Logger) *SQLite {
	q := newSQLite(s, path, log)
	if err := q.open(); err != nil {
		q.ail(err)
	}
	go q.run(time.NewTicker(saveEvery))
	return q
}

func newSQLite(s *Settings, path string, log *slog.Logger) *SQLite {
	q := &SQLite{table: newTable(s.rules(), s.MaxEntries), path: path, log: log, stop: make(chan struct{}), done: make(chan struct{})}
	q.table.changed = map[Key]struct{}{}
	return q
}

// Sight takes a sighting in. The error is ErrFull or nil.
func (q *SQLite) Sight(_ context.Context, s Sighting) (Decision, error) { return q.table.sight(s) }

// Stats counts the entries by state.
func (q *SQLite) Stats() map[State]int { return q.table.stats() }

// Close writes what has changed. The error says that it could not be written.
func (q *SQLite) Close() error {
	q.once.Do(func() { close(q.stop) })
	<-q.done
	return q.err
}

// run is the one writer.
func (q *SQLite) run(tick *time.Ticker) {
	defer close(q.done)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			q.save()
		case <-q.stop:
			q.err = q.save()
			if q.db != nil {
				q.err = errors.Join(q.err, q.db.Close())
			}
			return
		}
	}
}

// open opens the file, in a directory that is made if need be, and takes what it holds into the table.
func (q *SQLite) open() error {
	if err := os.MkdirAll(filepath.Dir(q.path), 0o750); err != nil {
		return err
	}
	db, err := openDB(q.path)
	if err == nil {
		if err = q.load(db); err == nil {
			return q.use(db)
		}
		db.Close()
	}
	if isCorrupt(err) {
		return q.setAside(err)
	}
	return err
}

// use takes a database into use.
func (q *SQLite) use(db *sql.DB) (err error) {
	if q.inode, err = os.Stat(q.path); err != nil {
		db.Close()
		return err
	}
	q.db = db
	return nil
}

// setAside moves a file that is no sound database out of the way, for whoever wants to look at it, and begins a new one.
func (q *SQLite) setAside(why error) error {
	aside := q.path + ".corrupt-" + time.Now().UTC().Format("20060102T150405")
	if err := os.Rename(q.path, aside); err != nil {
		return errors.Join(why, err)
	}
	os.Remove(q.path + "-wal") // they belong to the old file, and a new one must not find them
	os.Remove(q.path + "-shm")
	q.log.Error("the greylist was no sound database; it was set aside, and a new one is begun", "file", aside, "error", why)
	db, err := openDB(q.path)
	if err != nil {
		return err
	}
	q.seen = 0
	return q.use(db)
}

// load reads the file. Sightings go on meanwhile: what the table holds already is newer, or as good. What goes beyond the limit is dropped
// as ever.
func (q *SQLite) load(db *sql.DB) error {
	ctx := context.Background()
	if err := db.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM edit").Scan(&q.seen); err != nil {
		return err
	}
	return eachRow(ctx, db, func(k Key, e Entry, _ string) bool {
		q.table.recall(k, e)
		return true
	})
}

// recall takes in an entry as it is on disk. It is a change only where the table knows better, or knew already that it is to be written.
func (t *table) recall(k Key, e Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	is := t.entry(k)
	if is.First != 0 && t.rules.over(e, is.First) {
		return // it began anew
	}
	_, unsaved := t.changed[k]
	t.set(k, merge(is, e), "")
	if !unsaved && t.entry(k) == e {
		delete(t.changed, k)
	}
}

// ail tells when the disk cannot be written, so that memory alone serves, and when it can again.
func (q *SQLite) ail(err error) {
	if err != nil && !q.sick {
		q.log.Error("the greylist cannot be written; it is kept in memory meanwhile", "file", q.path, "error", err)
	}
	if err == nil && q.sick {
		q.log.Info("the greylist can be written again", "file", q.path)
	}
	q.sick = err != nil
}
