package journal

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Reader reads the stored records of a directory, beside a running daemon. It is safe for concurrent use.
type Reader struct {
	dir   string
	hide  func(string) string
	noKey error // hide does not know how addresses may be stored
}

// Open opens the stored records of a directory for reading. The error says that it is no directory that can be read.
func Open(dir string) (*Reader, error) {
	if _, err := listDays(dir); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	hide, err := hider(dir)
	return &Reader{dir, hide, err}, nil
}

// FileError is a fault of one file of the journal; the others are read all the same.
type FileError struct {
	File string // its path
	Err  error
}

// Error names the file and says what is wrong with it.
func (e *FileError) Error() string { return fmt.Sprintf("%s: %v", e.File, e.Err) }

// Unwrap is the fault itself.
func (e *FileError) Unwrap() error { return e.Err }

// Forbidden says whether the file may not be read by this user: of that SQLite says only that it cannot be opened.
func (e *FileError) Forbidden() bool {
	if code(e.Err) != cannotOpen {
		return errors.Is(e.Err, fs.ErrPermission)
	}
	for _, part := range parts() {
		f, err := os.OpenFile(e.File+part, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			f.Close()
		}
		if errors.Is(err, fs.ErrPermission) {
			return true
		}
	}
	return false
}

// Search gives the entries that a query wants. An error comes without an entry, and more entries may follow it: a *FileError is a
// file or a record in it that cannot be read. Any other, such as that of ctx, is the last. Memory does not grow with what is
// found, and no read lasts long enough to hold up the writer.
func (r *Reader) Search(ctx context.Context, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		w, err := r.where(q)
		if err == errNothing {
			return
		}
		var days []dayFile
		if err == nil {
			days, err = r.days(q)
		}
		if err != nil {
			yield(Entry{}, err)
			return
		}
		s := search{q: q, where: w, text: lower(q.Text), left: cmp.Or(q.Limit, math.MaxInt), yield: yield}
		for _, d := range days {
			if !s.day(ctx, d) {
				return
			}
		}
	}
}

// where is a query as a condition. The error is errNothing, or says that an address cannot be looked for.
func (r *Reader) where(q Query) (*where, error) {
	if r.noKey != nil && (q.About != "" || strings.Contains(q.Rcpt+q.From, "@")) {
		return nil, r.noKey
	}
	return q.where(r.hide)
}

// Find gives the entries whose ref begins so, the newest first.
func (r *Reader) Find(ctx context.Context, ref string) iter.Seq2[Entry, error] {
	return r.Search(ctx, Query{Ref: ref})
}

// Days are the first and the last day of which there are records, in UTC; ok is false where there are none.
func (r *Reader) Days() (first, last time.Time, ok bool) {
	days, err := listDays(r.dir)
	if err != nil || len(days) == 0 {
		return first, last, false
	}
	return days[0].day, days[len(days)-1].day, true
}

// days are the files that a query has to look at, in its order.
func (r *Reader) days(q Query) ([]dayFile, error) {
	days, err := listDays(r.dir)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	days = slices.DeleteFunc(days, func(d dayFile) bool {
		return !q.Until.IsZero() && !d.day.Before(q.Until) || !d.day.AddDate(0, 0, 1).After(q.Since)
	})
	if !q.OldestFirst {
		slices.Reverse(days)
	}
	return days, nil
}

// span is the query's time, as ids.
func (q *Query) span() (lo, hi int64) {
	hi = math.MaxInt64
	if !q.Since.IsZero() {
		lo = asID(q.Since)
	}
	if !q.Until.IsZero() {
		hi = asID(q.Until)
	}
	return lo, hi
}

// asID is a time as an id; the nearest where there is none, as before 1677 and after 2262.
func asID(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// chunk is how many entries are read at once.
const chunk = 256

// search is a Search under way.
type search struct {
	q     Query
	where *where
	text  []byte // in lower case
	left  int
	yield func(Entry, error) bool
}

// day gives the entries of one file; false when all is said.
func (s *search) day(ctx context.Context, d dayFile) bool {
	more := true
	err := d.read(ctx, func(db *sql.DB) error {
		lo, hi := s.q.span()
		for more {
			found, err := s.chunk(ctx, db, lo, hi)
			if err != nil {
				return err
			}
			more = s.give(d, found)
			if len(found) < chunk {
				return nil
			}
			if last := found[len(found)-1].id; s.q.OldestFirst {
				lo = last + 1
			} else {
				hi = last
			}
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
		s.yield(Entry{}, ctx.Err())
		return false
	case errors.Is(err, fs.ErrNotExist): // it was dropped for its age meanwhile
		return more
	case err != nil:
		return s.yield(Entry{}, &FileError{d.path(), err})
	}
	return more
}

// row is an entry as it is stored.
type row struct {
	id     int64
	body   []byte
	wanted string // the recipients, "0,2"; "" for all
}

// chunk reads the next entries between two ids.
func (s *search) chunk(ctx context.Context, db *sql.DB, lo, hi int64) (found []row, err error) {
	order := " DESC"
	if s.q.OldestFirst {
		order = ""
	}
	query := "SELECT id, body, '' FROM record WHERE id >= ? AND id < ? ORDER BY id" + order + " LIMIT ?"
	args := []any{lo, hi}
	if s.where.narrow() {
		where, all, err := s.where.bounded(ctx, db, lo, hi)
		if err != nil {
			return nil, err
		}
		args = all
		query = "SELECT record.id, body, wanted FROM (SELECT id, group_concat(n) AS wanted FROM entry WHERE " + where +
			" GROUP BY id ORDER BY id" + order + " LIMIT ?) AS found JOIN record ON record.id = found.id ORDER BY found.id" + order
	}
	rows, err := db.QueryContext(ctx, query, append(args, chunk)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.id, &r.body, &r.wanted); err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

// give yields what was read; false when no more is wanted.
func (s *search) give(d dayFile, found []row) bool {
	var u unpacker
	for _, row := range found {
		text, err := u.text(row.body)
		if err == nil && !holds(text, s.text) {
			continue
		}
		e := Entry{At: time.Unix(0, row.id).UTC()}
		if err == nil {
			e.Record, err = decode(text)
		}
		if err == nil {
			e.Wanted = recipients(row.wanted, len(e.Record.Recipients))
		}
		switch {
		case err != nil:
			err = &FileError{d.path(), fmt.Errorf("the record of %s: %w", e.At.Format(time.RFC3339Nano), err)}
			e = Entry{}
		case len(s.text) > 0 && !mentions(e.Record, s.text):
			continue
		default:
			s.left--
		}
		if !s.yield(e, err) || s.left == 0 {
			return false
		}
	}
	return true
}

// recipients are the places that a list names, in order; all of n where there is no list.
func recipients(list string, n int) (all []int) {
	if list == "" {
		for i := range n {
			all = append(all, i)
		}
		return all
	}
	for place := range strings.SplitSeq(list, ",") {
		if i, err := strconv.Atoi(place); err == nil && i < n { // a record without recipients has the place 0 too
			all = append(all, i)
		}
	}
	slices.Sort(all)
	return all
}
