package greylist

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
)

// batch is what a save writes.
type batch struct {
	changes []change
	all     bool // it is everything there is: whatever else is on disk goes
}

// change is an entry as it is to be on disk; a zero entry is to be gone.
type change struct {
	key   Key
	entry Entry
	label string
}

// save takes over what commands changed and writes what sightings changed, in one transaction: so neither undoes the other.
func (q *SQLite) save() error {
	if q.gone() {
		q.leave()
	}
	if q.db == nil {
		if err := q.open(); q.db == nil {
			q.ail(err)
			return err
		}
	}
	if !q.due() {
		q.ail(nil)
		return nil
	}
	b, err := q.commit()
	switch {
	case err == nil:
		q.table.settle(b)
	case isCorrupt(err):
		q.db.Close()
		q.db = nil
		err = q.setAside(err)
		b.all = true // into the new one
		fallthrough
	default:
		q.table.undo(b)
	}
	q.ail(err)
	return err
}

// gone says whether the file is no longer what was opened: removed, or another.
func (q *SQLite) gone() bool {
	if q.db == nil {
		return false
	}
	now, err := os.Stat(q.path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, q.inode)
}

// leave lets go of a file that is gone, so that all is written to the one in its place. It still tells the labels, which memory has not kept.
func (q *SQLite) leave() {
	q.log.Warn("the greylist was removed or replaced; all that is in memory is written anew", "file", q.path)
	err := eachRow(context.Background(), q.db, func(k Key, _ Entry, label string) bool {
		q.table.relabel(k, label)
		return true
	})
	if err != nil {
		q.log.Warn("the greylist does not know any more whom its entries are about", "error", err)
	}
	q.db.Close()
	q.db = nil
	q.table.undo(batch{all: true})
}

// relabel gives an entry its label back.
func (t *table) relabel(k Key, label string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.nodes[k]; n != nil && n.label == "" {
		n.label = label
	}
}

// due says whether there is anything to do, without taking the lock of the writer.
func (q *SQLite) due() bool {
	q.table.mu.Lock()
	n := len(q.table.changed)
	all := q.table.tooMany
	q.table.mu.Unlock()
	var edits bool
	err := q.db.QueryRow("SELECT EXISTS (SELECT 1 FROM edit WHERE id > ?)", q.seen).Scan(&edits)
	return n > 0 || all || edits || err != nil
}

// commit does the work of save, and returns what was to be written.
func (q *SQLite) commit() (b batch, err error) {
	ctx := context.Background()
	tx, err := q.db.BeginTx(ctx, nil)
	if err != nil {
		return b, err
	}
	defer tx.Rollback()
	seen, err := q.takeOver(ctx, tx)
	if err != nil {
		return b, err
	}
	b = q.table.drain()
	if b.all {
		if b.changes, err = withStrays(ctx, tx, b.changes); err != nil {
			return b, err
		}
	}
	if err := write(ctx, tx, b.changes); err != nil {
		return b, err
	}
	if err := tx.Commit(); err != nil {
		return b, err
	}
	q.seen = seen
	return b, nil
}

// withStrays adds the removal of what is on disk and in no change.
func withStrays(ctx context.Context, tx *sql.Tx, changes []change) ([]change, error) {
	there := map[Key]bool{}
	for _, c := range changes {
		there[c.key] = true
	}
	err := eachRow(ctx, tx, func(k Key, _ Entry, _ string) bool {
		if !there[k] {
			changes = append(changes, change{key: k})
		}
		return true
	})
	return changes, err
}

// takeOver brings the table up to what commands changed.
func (q *SQLite) takeOver(ctx context.Context, tx *sql.Tx) (seen int64, err error) {
	keys, seen, err := editsSince(ctx, tx, q.seen)
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		e, err := find(ctx, tx, k)
		if err != nil {
			return 0, err
		}
		q.table.replace(k, e)
	}
	return seen, nil
}

func editsSince(ctx context.Context, tx *sql.Tx, after int64) (keys []Key, last int64, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT id, key FROM edit WHERE id > ? ORDER BY id", after)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	last = after
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&last, &raw); err != nil {
			return nil, 0, err
		}
		var k Key
		copy(k[:], raw)
		keys = append(keys, k)
	}
	return keys, last, rows.Err()
}

// replace takes over an entry as it is on disk. One that a command deleted is gone; one that it added to keeps what was seen since.
func (t *table) replace(k Key, e Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.First != 0 {
		e = merge(e, t.entry(k))
	}
	t.set(k, e, "")
}

// drain is what has changed, and clears it.
func (t *table) drain() batch {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := batch{all: t.tooMany}
	if b.all {
		for k := range t.nodes {
			t.changed[k] = struct{}{}
		}
	}
	for k := range t.changed {
		c := change{key: k}
		if n := t.nodes[k]; n != nil {
			c.entry, c.label = n.entry, n.label
		}
		b.changes = append(b.changes, c)
	}
	t.changed, t.tooMany = map[Key]struct{}{}, false
	return b
}

// undo marks a batch that was not written as changed again.
func (t *table) undo(b batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range b.changes {
		t.note(c.key)
	}
	t.tooMany = t.tooMany || b.all
}

// settle drops the labels that are on disk now: memory has no use for them.
func (t *table) settle(b batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range b.changes {
		if n := t.nodes[c.key]; n != nil {
			n.label = ""
		}
	}
}

// write writes a batch.
func write(ctx context.Context, tx *sql.Tx, batch []change) error {
	put, err := tx.PrepareContext(ctx, upsert)
	if err != nil {
		return err
	}
	defer put.Close()
	drop, err := tx.PrepareContext(ctx, "DELETE FROM entry WHERE key = ?")
	if err != nil {
		return err
	}
	defer drop.Close()
	for _, c := range batch {
		if c.entry.First == 0 {
			_, err = drop.ExecContext(ctx, c.key[:])
		} else {
			_, err = put.ExecContext(ctx, c.key[:], c.entry.First, c.entry.Last, c.entry.Passed, c.entry.Flags, c.label)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
