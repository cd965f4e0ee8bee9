package journal

import "time"

// trouble is what the log has been told of the disk.
type trouble struct {
	sick    bool
	lost    int64     // how many dropped records the log knows of
	saidAt  time.Time // when it was last told of them
	trimmed bool
}

// ail tells when the journal cannot be written, and when it can again: once each.
func (s *Store) ail(err error) {
	if err != nil && !s.sick {
		s.log.Error("the journal cannot be written; records wait, and are lost if there are too many", "dir", s.set.Dir, "error", err)
	}
	if err == nil && s.sick {
		s.log.Info("the journal can be written again", "dir", s.set.Dir)
	}
	s.sick = err != nil
}

// say tells how many records were lost since it last did, at most once a minute; at the end in any case.
func (s *Store) say(last bool) {
	n := s.dropped.Load()
	if n == s.lost || !last && s.now().Sub(s.saidAt) < sayEvery {
		return
	}
	s.log.Error("journal records were lost", "dir", s.set.Dir, "records", n-s.lost)
	s.lost, s.saidAt = n, s.now()
}
