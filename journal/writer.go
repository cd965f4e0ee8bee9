package journal

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"gatepost/policy"
)

// writer writes into one day file.
type writer struct {
	file   dayFile
	inode  fs.FileInfo // of the file when it was opened
	db     *sql.DB
	record *sql.Stmt
	entry  *sql.Stmt
	packer *packer
}

const insertEntry = "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

// errUnfit marks a record that can never be written.
var errUnfit = errors.New("the record cannot be packed")

func openWriter(d dayFile) (*writer, error) {
	db, err := d.open()
	if err != nil {
		return nil, err
	}
	w := &writer{file: d, db: db, packer: newPacker()}
	w.inode, err = os.Stat(d.path())
	if err == nil {
		w.record, err = db.Prepare("INSERT INTO record VALUES (?, ?)")
	}
	if err == nil {
		w.entry, err = db.Prepare(insertEntry)
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return w, nil
}

// close closes the file. Without a WAL it can be read from anywhere, such as a backup; where it is just being read, it keeps its WAL.
func (w *writer) close() {
	w.db.Exec("PRAGMA busy_timeout = 100")
	w.db.Exec("PRAGMA journal_mode = DELETE")
	w.db.Close()
}

// gone says whether the file is no longer what was opened: deleted, or another.
func (w *writer) gone() bool {
	now, err := os.Stat(w.file.path())
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, w.inode)
}

// write writes records, all or none, and returns about how many octets they take.
func (w *writer) write(batch []*policy.Record, f *Filter) (size int64, err error) {
	tx, err := w.db.Begin()
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	var last int64 // asked each time: while one daemon makes way for the next, both write
	if err := tx.QueryRow("SELECT coalesce(max(id), ?) FROM record", w.file.day.UnixNano()-1).Scan(&last); err != nil {
		return 0, err
	}
	record, entry := tx.Stmt(w.record), tx.Stmt(w.entry)
	for _, r := range batch {
		r = f.Apply(r)
		body, err := w.packer.pack(r)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", errUnfit, err)
		}
		last = max(last+1, ended(r).UnixNano())
		if _, err := record.Exec(last, body); err != nil {
			return 0, err
		}
		if err := insert(entry, last, r); err != nil {
			return 0, err
		}
		size += int64(len(body)) + 300
	}
	return size, tx.Commit()
}

// insert writes the rows by which a record is found.
func insert(entry *sql.Stmt, id int64, r *policy.Record) error {
	var sender any // NULL before MAIL
	domain := ""
	if r.Sender != nil {
		key := addressKey(*r.Sender)
		sender, domain = key, domainKey(domainOf(key))
	}
	client, author := clientKey(r.Client), domainKey(r.FromDomain)
	for n, rc := range outcomes(r) {
		if _, err := entry.Exec(id, n, r.Ref, client, sender, domain, author, addressKey(rc.Address),
			int(rc.Verdict), int(rc.Would), rc.By, rc.WouldBy); err != nil {
			return err
		}
	}
	return nil
}

// outcomes are the recipients of a record. One without any stands for itself, with the verdict that its refusal comes to.
func outcomes(r *policy.Record) []policy.RecipientRecord {
	if len(r.Recipients) > 0 {
		return r.Recipients
	}
	rc := policy.RecipientRecord{By: r.By}
	switch r.Reply.Code / 100 {
	case 4:
		rc.Verdict = policy.Deferred
	case 5:
		rc.Verdict = policy.Rejected
	}
	return []policy.RecipientRecord{rc}
}
