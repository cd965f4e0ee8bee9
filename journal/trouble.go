package journal

import (
	"sync"
	"time"
)

// trouble is what the log has been told of the disk.
type trouble struct {
	sick    bool
	said    losses
	trimmed bool
}

// losses are the dropped records that the log knows of.
type losses struct {
	mu sync.Mutex
	n  int64
	at time.Time // when it was last told of them
}

// news is how many of all that were dropped the log is to be told of now: 0 within a minute of the last time, unless it is the end.
func (l *losses) news(dropped int64, now time.Time, last bool) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if dropped == l.n || !last && now.Sub(l.at) < sayEvery {
		return 0
	}
	news := dropped - l.n
	l.n, l.at = dropped, now
	return news
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
	if n := s.said.news(s.dropped.Load(), s.now(), last); n > 0 {
		s.log.Error("journal records were lost", "dir", s.set.Dir, "records", n)
	}
}
