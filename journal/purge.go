package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"gatepost/policy"
)

// Purged is what a purge did.
type Purged struct {
	Deleted int // entries that were about this person alone
	Reduced int // entries about others as well, from which the person was taken out
}

// Purge takes an address out of all that is stored, beside a running daemon: as the reverse-path, with the whole entry; as a
// recipient, with the whole entry unless it has other recipients; and wherever a text of a record names it. It reads every record. An
// error is joined of a *FileError for each file in which something may be left, those set aside among them.
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

// purge does one file: it is looked through as for a search, then purged a chunk at a time, so that the daemon can write in between.
func (d dayFile) purge(ctx context.Context, address, hidden string, done *Purged) error {
	keys := []string{addressKey(address), addressKey(hidden)}
	p := purge{ctx: ctx, keys: keys, spelled: spelled(keys), done: done, packer: newPacker()}
	if err := d.read(ctx, p.look); err != nil {
		return err
	}
	if wal, err := os.Stat(d.path() + "-wal"); len(p.found) > 0 || err == nil && wal.Size() > 0 {
		if err := p.all(d); err != nil {
			return err
		}
	}
	if p.unread > 0 {
		return fmt.Errorf("%d record(s) cannot be read, and may name the address", p.unread)
	}
	return nil
}

// purge is a Purge of one file under way.
type purge struct {
	ctx     context.Context
	db      *sql.DB
	keys    []string
	spelled *regexp.Regexp // the person in texts
	found   []int64        // the entries that name the person
	unread  int            // those of which that cannot be told
	done    *Purged
	packer  *packer
	unpack  unpacker
}

// look finds the entries that name the person.
func (p *purge) look(db *sql.DB) error {
	for last, n := int64(math.MinInt64), chunk; n == chunk; {
		rows, err := db.QueryContext(p.ctx, "SELECT id, body, EXISTS (SELECT 1 FROM entry WHERE entry.id = record.id AND (address IN (?, ?) OR sender IN (?, ?)))"+
			" FROM record WHERE id > ? ORDER BY id LIMIT ?", p.keys[0], p.keys[1], p.keys[0], p.keys[1], last, chunk)
		if err != nil {
			return err
		}
		n = 0
		err = each(rows, func(scan func(...any) error) error {
			var body []byte
			var about bool
			n++
			err := scan(&last, &body, &about)
			if about || p.names(body) {
				p.found = append(p.found, last)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// names says whether a text of a record names the person.
func (p *purge) names(body []byte) (yes bool) {
	text, err := p.unpack.text(body)
	if err == nil && !holds(text, []byte(p.keys[0])) && !holds(text, []byte(p.keys[1])) {
		return false
	}
	var r *policy.Record
	if err == nil {
		r, err = decode(text)
	}
	if err != nil {
		p.unread++
		return false
	}
	withTexts(reflect.ValueOf(r), func(s string) string {
		yes = yes || p.hide(s) != s
		return s
	})
	return yes
}

// all purges what was found, and sees to it that no trace of it is left in the file.
func (p *purge) all(d dayFile) (err error) {
	if p.db, err = d.open(); err != nil {
		return err
	}
	defer p.db.Close()
	for ids := range slices.Chunk(p.found, purgeChunk) {
		if err = p.chunk(ids); err != nil {
			break
		}
	}
	return errors.Join(err, p.emptyWAL())
}

// errBusy is what keeps what was deleted.
var errBusy = errors.New("somebody reads the file all the while, so what was deleted is still in its WAL: end that, such as a backup, and purge again")

// emptyWAL puts all into the file itself: what is deleted is in the WAL else. It waits for readers as long as any of our statements, and
// SQLite tells in a row that it waited in vain.
func (p *purge) emptyWAL() error {
	var busy, frames, moved int
	err := p.db.QueryRowContext(p.ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved)
	if err == nil && busy != 0 {
		return errBusy
	}
	return err
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

// chunk purges some entries, as they are now.
func (p *purge) chunk(ids []int64) error {
	tx, err := p.db.BeginTx(p.ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var done Purged
	for _, id := range ids {
		found := row{id: id}
		err := tx.QueryRowContext(p.ctx, "SELECT body FROM record WHERE id = ?", id).Scan(&found.body)
		if errors.Is(err, sql.ErrNoRows) { // it was dropped meanwhile
			continue
		}
		if err == nil {
			err = p.one(tx, found, &done)
		}
		if err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	p.done.Deleted += done.Deleted
	p.done.Reduced += done.Reduced
	return nil
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
			gone[rc.Address] = !p.spelled.MatchString(rc.Address)
		}
		return is
	})
	if len(gone) > 0 && len(r.Recipients) == 0 {
		return nil
	}
	c := withTexts(reflect.ValueOf(r), func(s string) string {
		for a, odd := range gone {
			if odd {
				s = strings.ReplaceAll(s, a, purged)
			}
		}
		return p.hide(s)
	}).Interface().(*policy.Record)
	c.Sender = r.Sender // of another person, as the recipients are, though it may end as that of this one
	for i := range c.Recipients {
		c.Recipients[i].Address = r.Recipients[i].Address
	}
	return c
}

// purged stands where a person was.
const purged = "(purged)"

// hide is a text without the person. Of an address that only begins or ends as the person's it leaves everything.
func (p *purge) hide(text string) string {
	var b strings.Builder
	end := 0
	for _, at := range p.spelled.FindAllStringIndex(text, -1) {
		if !goesOn(text[:at[0]], text[at[1]:]) {
			b.WriteString(text[end:at[0]] + purged)
			end = at[1]
		}
	}
	return b.String() + text[end:]
}

// goesOn says whether an address goes on before or behind, as in jo.amy@example.com or amy@example.com.au.
func goesOn(before, behind string) bool {
	isPart := func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	if n := len(before); n > 1 && strings.IndexByte(".+-", before[n-1]) >= 0 {
		before = before[:n-1]
	}
	if len(behind) > 1 && strings.IndexByte(".-", behind[0]) >= 0 {
		behind = behind[1:]
	}
	last, _ := utf8.DecodeLastRuneInString(before)
	first, _ := utf8.DecodeRuneInString(behind)
	return isPart(last) || isPart(first)
}
