package journal

import (
	"database/sql"
	"errors"
	"io/fs"
)

// sweep drops what is too old or too much, and notices when the open file was taken away.
func (s *Store) sweep() {
	s.grown = 0
	s.letGo()
	files, err := listFiles(s.set.Dir)
	if err != nil {
		s.ail(err)
		return
	}
	files = s.dropOld(files)
	s.dropMuch(files)
	s.say(false)
}

// letGo closes the open file if it was taken away; then it is true.
func (s *Store) letGo() bool {
	if s.db == nil || !s.db.gone() {
		return false
	}
	s.log.Warn("the journal's file was taken away; a new one is begun", "file", s.day.path())
	s.closeDay()
	return true
}

// dropOld drops the days that are over for longer than records are kept, and returns the others.
func (s *Store) dropOld(files []dayFile) []dayFile {
	if s.set.Keep <= 0 {
		return files
	}
	oldest := s.now().Add(-s.set.Keep)
	for len(files) > 0 && !files[0].day.AddDate(0, 0, 1).After(oldest) && !s.isOpen(files[0]) {
		s.drop(files[0], "they are older than what is kept")
		files = files[1:]
	}
	return files
}

// dropMuch drops the oldest days until the rest is no more than what may be taken. If the day at hand alone is more, its oldest
// records go.
func (s *Store) dropMuch(files []dayFile) {
	if s.set.MaxSize <= 0 {
		return
	}
	var all int64
	for _, f := range files {
		all += f.size()
	}
	for ; all > s.set.MaxSize && len(files) > 0 && !s.isOpen(files[0]); files = files[1:] {
		all -= files[0].size()
		s.drop(files[0], "the journal is larger than it may be")
	}
	if all > s.set.MaxSize && s.db != nil {
		s.trim()
	}
}

func (s *Store) isOpen(d dayFile) bool { return s.db != nil && d.name == s.day.name }

func (s *Store) drop(d dayFile, why string) {
	if err := d.remove(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.ail(err)
		return
	}
	s.log.Info("records of a day were dropped: "+why, "file", d.path())
}

// trim deletes the oldest records of the open file until the rest takes no more than MaxSize. The file does not shrink, but what comes
// next uses the room.
func (s *Store) trim() {
	if !s.trimmed {
		s.log.Warn("one day's records are more than journal.max_size; the oldest go", "file", s.day.path())
		s.trimmed = true
	}
	for {
		used, err := s.db.used()
		if err == nil && used <= s.set.MaxSize-s.set.MaxSize/32 {
			return
		}
		n := int64(0)
		if err == nil {
			n, err = s.db.deleteOldest(1000)
		}
		if err != nil {
			s.ail(err)
		}
		if n == 0 {
			return
		}
	}
}

// used is how many octets of the file hold something.
func (w *writer) used() (int64, error) {
	var pages, free, size int64
	err := w.db.QueryRow("SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size").Scan(&pages, &free, &size)
	return (pages - free) * size, err
}

// deleteOldest deletes the n oldest records, and returns how many there were.
func (w *writer) deleteOldest(n int) (int64, error) {
	tx, err := w.db.Begin()
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	var last sql.NullInt64
	if err := tx.QueryRow("SELECT max(id) FROM (SELECT id FROM record ORDER BY id LIMIT ?)", n).Scan(&last); err != nil {
		return 0, err
	}
	if _, err := tx.Exec("DELETE FROM entry WHERE id <= ?", last.Int64); err != nil {
		return 0, err
	}
	res, err := tx.Exec("DELETE FROM record WHERE id <= ?", last.Int64)
	if err != nil {
		return 0, err
	}
	count, err := res.RowsAffected()
	if err != nil {
		return 0, err
	}
	return count, tx.Commit()
}
