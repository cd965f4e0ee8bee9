package greylist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"gatepost/internal/redisurl"
	"gatepost/policy"
)

// Store is what the check keeps its entries in. It is safe for concurrent use.
type Store interface {
	// Sight takes a sighting in, as one step that no other sighting comes between, and says what it comes to. An error says
	// that the store cannot tell: mail flows then.
	Sight(ctx context.Context, s Sighting) (Decision, error)
	// Stats counts the entries by state. A count may be some minutes old.
	Stats() map[State]int
	// Close writes what is not yet written. No Sight may follow.
	Close() error
}

// Book is what the commands do with a store, beside a daemon that uses it. A daemon notices within about a second.
type Book interface {
	// Each gives all entries, in no order, until yield returns false.
	Each(ctx context.Context, yield func(Record) bool) error
	// Put adds entries. What is there already is not lessened: of two the longer memory counts.
	Put(ctx context.Context, rs []Record) error
	// Delete forgets entries, and says how many there were.
	Delete(ctx context.Context, rs []Record) (int, error)
	Close() error
}

// Sighting is one recipient of one mail, as a store takes it in.
type Sighting struct {
	Client  Key
	Triplet Key
	Label   Label
	After   int   // mails that make the client known; 0: none do
	Now     int64 // milliseconds since 1970
	Excuse  bool  // not a new sighting: the one before was let through although it was to wait
}

// Decision is what a sighting comes to.
type Decision struct {
	Outcome policy.Outcome // FirstSeen, Early, policy.Pass or Known
	Wait    time.Duration  // how long still; FirstSeen and Early alone
	Waited  time.Duration  // since the first try; Early and policy.Pass alone
	Mails   uint32         // how many passed, of the triplet, or for Known of the client

	left pair // the entries as the sighting left them
}

// Record is an entry with all that is kept of it.
type Record struct {
	Key   Key
	Owner Key // the client's key; it tells where in Redis the entry is
	Entry Entry
	Label Label
}

// ErrFull says that a store has no place for a stranger, and none that it may take from another.
var ErrFull = errors.New("the greylist store is full of senders who have not had time to come back")

// kinds of stores.
const (
	inMemory = "memory"
	inSQLite = "sqlite"
	inRedis  = "redis"
)

// fileName is the database in the state directory.
const fileName = "greylist.db"

// parseStore is the kind of store that a setting names. The error never holds a password.
func parseStore(s string) (string, error) {
	if s == inMemory || s == inSQLite {
		return s, nil
	}
	if !redisurl.Is(s) {
		return "", errors.New(`is none of "memory", "sqlite", "redis://host:6379/0" and "rediss://user:password@host:6379/0"`)
	}
	_, err := redisurl.Options(s)
	return inRedis, err
}

// Open opens the store that the settings name, for a daemon; dir is the state directory. A file that cannot be written, or a server that
// does not answer, is no error: what can be had serves, it is logged, and it is tried again. An error is a setting that makes no sense.
func Open(s *Settings, dir string, log *slog.Logger) (Store, error) {
	kind, err := parseStore(s.Store)
	if err != nil {
		return nil, fmt.Errorf("check.greylist.store %w", err)
	}
	switch kind {
	case inMemory:
		return NewMemory(s), nil
	case inRedis:
		r, err := openRedis(s, log)
		if err != nil {
			return nil, err
		}
		return newFallback(r, NewMemory(s), log), nil
	}
	return openSQLite(s, filepath.Join(dir, fileName), log), nil
}

// OpenBook opens the same store for a command. create makes a file that is not there yet, as learning before the first day needs; without it that
// is an error.
func OpenBook(s *Settings, dir string, create bool) (Book, error) {
	kind, err := parseStore(s.Store)
	if err != nil {
		return nil, fmt.Errorf("check.greylist.store %w", err)
	}
	switch kind {
	case inMemory:
		return nil, errors.New(`the greylist is in the memory of the daemon (check.greylist.store = "memory"): commands cannot reach it`)
	case inRedis:
		return openRedisBook(s)
	}
	return openFile(filepath.Join(dir, fileName), create)
}

// AllowedClient is the entry by which an admin opens all recipients to a client, for good.
func AllowedClient(id Identity, now time.Time) Record {
	k := id.key()
	e := Entry{First: now.UnixMilli(), Last: now.UnixMilli(), Flags: IsClient | IsKnown | Allowed}
	return Record{Key: k, Owner: k, Entry: e, Label: newLabel(id, "", "")}
}
