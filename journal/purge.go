package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"gatepost/policy"
)

// Purged is what a purge did.
type Purged struct {
	Deleted int // entries that were about this person alone
	Reduced int // entries of mail to others as well, from which the person was taken out
}

// Purge takes an address out of all that is stored, beside a running daemon: as the reverse-path, with the whole entry; as a
// recipient, with the whole entry unless it has other recipients. An error is joined of a *FileError for each file in which something may be left, those
// set aside among them.
func (r *Reader) Purge(ctx context.Context, address string) (Purged, error) {
	var done Purged
	var faults []error
	if !strings.Contains(address, "@") {
		return done, fmt.Errorf("purge the journal: %q is no address", address)
	}
	if r.noKey != nil {
		return done, fmt.Errorf("purge the journal: %w", r.noKey)
	}
	files, err := listFiles(r.dir)
	if err != nil {
		return done, fmt.Errorf("purge the journal: %w", err)
	}
	for _, d := range files {
		err := errors.New("it was set aside as damaged, and not looked into: delete it")
		if !d.aside {
			err = d.purge(ctx, address, r.hide(address), &done)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, &FileError{d.path(), err})
		}
	}
	return done, errors.Join(faults...)
}

// purge does one file, a chunk at a time, so that the daemon can write in between.
func (d dayFile) purge(ctx context.Context, address, hidden string, done *Purged) error {
	if n, err := d.count(ctx, addressKey(address), addressKey(hidden)); err != nil || n == 0 {
		return err
	}
	db, err := d.open()
	if err != nil {
		return err
	}
	defer db.Close()
	keys := []string{addressKey(address), addressKey(hidden)}
	p := purge{ctx: ctx, db: db, keys: keys, spelled: spelled(keys), done: done, packer: newPacker()}
	for {
		if n, err := p.chunk(); err != nil || n == 0 {
			_, wal := db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)") // what is deleted is in the WAL else
			return errors.Join(err, wal)
		}
	}
}

// count is how many rows there are about any of two addresses.
func (d dayFile) count(ctx context.Context, one, two string) (n int, err error) {
	err = d.read(ctx, func(db *sql.DB) error {
		return db.QueryRowContext(ctx, "SELECT count(*) FROM entry WHERE address IN (?, ?) OR sender IN (?, ?)", one, two, one, two).Scan(&n)
	})
	return n, err
}

// purge is a Purge of one file under way.
type purge struct {
	ctx     context.Context
	db      *sql.DB
	keys    []string
	spelled *regexp.Regexp // the person in texts
	done    *Purged
	packer  *packer
	unpack  unpacker
}

// spelled is how addresses may stand in texts: in any case, the domain in A-labels or in Unicode.
func spelled(keys []string) *regexp.Regexp {
	var all []string
	for _, k := range keys {
		all = append(all, regexp.QuoteMeta(k))
		at := strings.LastIndexByte(k, '@')
		if u, err := idna.Display.ToUnicode(k[at+1:]); err == nil {
			all = append(all, regexp.QuoteMeta(k[:at+1]+u))
		}
	}
	return regexp.MustCompile("(?i)" + strings.Join(all, "|"))
}

// purgeChunk is how many entries are purged in one transaction.
const purgeChunk = 64

// chunk purges the next entries, and returns how many there were.
func (p *purge) chunk() (int, error) {
	tx, err := p.db.BeginTx(p.ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	rows, err := tx.QueryContext(p.ctx, "SELECT id, body FROM record WHERE id IN (SELECT id FROM entry WHERE address IN (?, ?) OR sender IN (?, ?) LIMIT ?)",
		p.keys[0], p.keys[1], p.keys[0], p.keys[1], purgeChunk)
	if err != nil {
		return 0, err
	}
	var found []row
	err = each(rows, func(scan func(...any) error) error {
		var r row
		err := scan(&r.id, &r.body)
		found = append(found, r)
		return err
	})
	if err != nil {
		return 0, err
	}
	var done Purged
	for _, r := range found {
		if err := p.one(tx, r, &done); err != nil {
			return 0, err
		}
	}
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	p.done.Deleted += done.Deleted
	p.done.Reduced += done.Reduced
	return len(found), nil
}

// one purges one entry. A record that cannot be read goes as a whole.
func (p *purge) one(tx *sql.Tx, found row, done *Purged) error {
	var rest *policy.Record
	if text, err := p.unpack.text(found.body); err == nil {
		if r, err := decode(text); err == nil {
			rest = p.without(r)
		}
	}
	if _, err := tx.ExecContext(p.ctx, "DELETE FROM entry WHERE id = ?", found.id); err != nil {
		return err
	}
	if rest == nil {
		done.Deleted++
		_, err := tx.ExecContext(p.ctx, "DELETE FROM record WHERE id = ?", found.id)
		return err
	}
	done.Reduced++
	body, err := p.packer.pack(rest)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(p.ctx, "UPDATE record SET body = ? WHERE id = ?", body, found.id); err != nil {
		return err
	}
	entry, err := tx.PrepareContext(p.ctx, insertEntry)
	if err != nil {
		return err
	}
	defer entry.Close()
	return insert(entry, found.id, rest)
}

// without is a record without the person; nil where nothing of it is about anybody else.
func (p *purge) without(r *policy.Record) *policy.Record {
	gone := map[string]bool{}
	if r.Sender != nil && slices.Contains(p.keys, addressKey(*r.Sender)) {
		return nil
	}
	r.Recipients = slices.DeleteFunc(r.Recipients, func(rc policy.RecipientRecord) bool {
		is := slices.Contains(p.keys, addressKey(rc.Address))
		if is {
			gone[rc.Address] = true
		}
		return is
	})
	if len(r.Recipients) == 0 {
		return nil
	}
	c := withTexts(reflect.ValueOf(r), func(s string) string {
		for a := range gone {
			s = strings.ReplaceAll(s, a, "(purged)")
		}
		return p.spelled.ReplaceAllLiteralString(s, "(purged)")
	}).Interface().(*policy.Record)
	c.Sender = r.Sender // of another person, as the recipients are, though it may end as that of this one
	for i := range c.Recipients {
		c.Recipients[i].Address = r.Recipients[i].Address
	}
	return c
}
