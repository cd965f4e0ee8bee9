package journal

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gatepost/policy"
)

// Settings are those of a Store.
type Settings struct {
	Dir     string        // where the day files are; made if it is not there
	Keep    time.Duration // a day file goes when all of it is older; 0: never
	MaxSize int64         // octets that all files may take; the oldest go first; 0: no bound
}

// Store keeps records in one SQLite file a UTC day. A record is queued and never waited for. What cannot be written waits a while,
// is then dropped and counted, and the log says so; mail flows meanwhile.
type Store struct {
	set     Settings
	filter  *Filter
	log     *slog.Logger
	now     func() time.Time
	queue   chan *policy.Record
	stop    chan struct{}
	done    chan struct{}
	once    sync.Once
	ended   atomic.Bool // nobody reads the queue any more
	written atomic.Int64
	dropped atomic.Int64

	// Of the writer alone:
	day   dayFile
	db    *writer // nil while no file is open
	grown int64   // octets written since the last sweep, about
	trouble
}

const (
	batchSize  = 512                    // records in one transaction, at most
	linger     = 100 * time.Millisecond // how long a record waits for others to share its transaction
	retryEvery = time.Second
	sweepEvery = time.Minute
	sayEvery   = time.Minute // one line in the log for all that was lost since the last
)

// OpenStore starts the writer. What is wrong with the directory is logged, and tried again.
func OpenStore(set Settings, filter *Filter, log *slog.Logger) *Store {
	s := newStore(set, filter, log)
	go s.run()
	return s
}

func newStore(set Settings, filter *Filter, log *slog.Logger) *Store {
	return &Store{set: set, filter: filter, log: log, now: time.Now, queue: make(chan *policy.Record, queueSize),
		stop: make(chan struct{}), done: make(chan struct{})}
}

// Append queues a record, which must not be changed any more. It never blocks; a record that finds the queue full, or
// comes after Close, is dropped and counted.
func (s *Store) Append(r *policy.Record) {
	select {
	case s.queue <- r:
		if s.ended.Load() {
			s.dropped.Add(drain(s.queue))
		}
	default:
		s.dropped.Add(1)
	}
}

// Counts are the records written and dropped so far.
func (s *Store) Counts() (written, dropped int64) { return s.written.Load(), s.dropped.Load() }

// Close writes what is queued, if the disk takes it.
func (s *Store) Close() {
	s.once.Do(func() { close(s.stop) })
	<-s.done
}

// run is the one writer.
func (s *Store) run() {
	defer close(s.done)
	defer s.closeDay()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	s.open(s.now()) // so that what is wrong is said at the start, and not at the first mail
	s.sweep()
	for {
		batch, more := s.gather(tick.C)
		if !s.save(batch, more) || !more {
			s.ended.Store(true)
			s.dropped.Add(drain(s.queue)) // left over only where the disk is at fault, or come since
			s.say(true)
			return
		}
	}
}

// gather waits for records. more is false when the store is being closed and these are the last.
func (s *Store) gather(tick <-chan time.Time) (batch []*policy.Record, more bool) {
	for len(batch) == 0 {
		select {
		case r := <-s.queue:
			batch = append(batch, r)
		case <-tick:
			s.sweep()
		case <-s.stop:
			return s.queued(nil), len(s.queue) > 0
		}
	}
	if len(s.queue) < batchSize { // those to come wake nobody
		select {
		case <-time.After(linger):
		case <-s.stop:
		}
	}
	return s.queued(batch), true
}

// queued is the batch with what waits in the queue, as far as there is room.
func (s *Store) queued(batch []*policy.Record) []*policy.Record {
	for len(batch) < batchSize {
		select {
		case r := <-s.queue:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// save writes a batch, again and again while the disk does not take it. It gives up when the store is being closed: then it is false.
func (s *Store) save(batch []*policy.Record, more bool) bool {
	for len(batch) > 0 {
		n, err := s.write(batch)
		s.written.Add(int64(n))
		batch = batch[n:]
		if !isCorrupt(err) { // of that, setAside has told
			s.ail(err)
		}
		s.say(false)
		if err == nil {
			continue
		}
		if !worthAgain(err) { // there is something about the records
			s.dropped.Add(int64(len(batch)))
			return true
		}
		if !more || !s.pause() {
			s.dropped.Add(int64(len(batch)))
			return false
		}
	}
	if s.set.MaxSize > 0 && s.grown > s.set.MaxSize/64 {
		s.sweep()
	}
	return true
}

// worthAgain says whether an error may be gone the next time.
func worthAgain(err error) bool {
	c := code(err)
	return !errors.Is(err, errUnfit) && !errors.Is(err, errTaken) && c != tooBig && c != constraint && c != mismatch
}

// pause waits before the next try; false when the store is being closed.
func (s *Store) pause() bool {
	select {
	case <-time.After(retryEvery):
		return true
	case <-s.stop:
		return false
	}
}

// errTaken is a file that was taken away while it was written.
var errTaken = errors.New("the journal's file was taken away, and the next one too")

// write writes those records at the front of a batch that belong into one file, and returns how many that were. Where the file was taken
// away it writes them into a new one.
func (s *Store) write(batch []*policy.Record) (int, error) {
	n, err := s.writeOnce(batch)
	if errors.Is(err, errTaken) {
		n, err = s.writeOnce(batch)
	}
	return n, err
}

func (s *Store) writeOnce(batch []*policy.Record) (int, error) {
	if err := s.open(ended(batch[0])); err != nil {
		return 0, err
	}
	n := 1
	for n < len(batch) && !s.isOtherDay(ended(batch[n])) {
		n++
	}
	size, err := s.db.write(batch[:n], s.filter)
	if isCorrupt(err) {
		s.setAside(err)
		return 0, err
	}
	if err != nil {
		return 0, err
	}
	if s.letGo() {
		return 0, errTaken
	}
	s.grown += size
	return n, nil
}

// ended is when a record was complete, which is when it is taken to be recorded.
func ended(r *policy.Record) time.Time { return r.Time.Add(r.Took) }

// isOtherDay says whether a time wants another file than the one that is open. Where the clock is set back over midnight, the file goes on.
func (s *Store) isOtherDay(t time.Time) bool {
	const day = 24 * time.Hour
	return t.Before(s.day.day.Add(-day)) || !t.Before(s.day.day.Add(day))
}

// open sees to it that the file for a time is open.
func (s *Store) open(t time.Time) error {
	if s.db != nil && !s.isOtherDay(t) {
		return nil
	}
	if s.db != nil {
		s.closeDay()
		defer s.sweep()
	}
	if err := os.MkdirAll(s.set.Dir, 0o750); err != nil {
		return err
	}
	d := dayOf(s.set.Dir, t)
	db, err := openWriter(d)
	if isCorrupt(err) {
		s.day = d
		s.setAside(err)
		db, err = openWriter(d)
	}
	if err != nil {
		s.ail(err)
		return err
	}
	s.day, s.db = d, db
	return nil
}

// closeDay closes the open file.
func (s *Store) closeDay() {
	if s.db != nil {
		s.db.close()
		s.db = nil
	}
}

// setAside moves the file of the day out of the way; the next open makes a new one.
func (s *Store) setAside(why error) {
	s.closeDay()
	aside, err := s.day.setAside()
	if err != nil {
		s.ail(err)
		return
	}
	s.log.Error("a file of the journal was no sound database; it was set aside, and a new one is begun", "file", aside, "error", why)
}
