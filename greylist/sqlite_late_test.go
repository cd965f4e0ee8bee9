package greylist

import (
	"context"
	"database/sql/driver"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"modernc.org/sqlite"

	"gatepost/policy"
)

// TestSQLiteLate: the file comes when the store is long at work, and the disk hangs while it is read. No sighting waits for it, and what
// they have seen by then stands.
func TestSQLiteLate(t *testing.T) {
	path := t.TempDir() + "/" + fileName
	q := reopen(t, Defaults(), path)
	expect(t, q, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
	expect(t, q, sight(3, "a@s.example", "b@r.example", 0), FirstSeen)
	expect(t, q, sight(3, "a@s.example", "b@r.example", hour), policy.Pass)
	if err := q.save(); err != nil {
		t.Fatal(err)
	}
	q.db.Close()
	late := newSQLite(Defaults(), path, nowhere())
	hung, goOn := hang()
	db, err := openDB(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TEMP VIEW entry AS SELECT key, first, last, passed, flags, hold(label) AS label FROM main.entry"); err != nil {
		t.Fatal(err)
	}
	loaded := make(chan error, 1)
	go func() { loaded <- late.load(db) }()
	<-hung
	seen := make(chan struct{})
	go func() {
		late.Sight(context.Background(), sight(3, "a@s.example", "b@r.example", 2*hour))
		late.Sight(context.Background(), sight(4, "a@s.example", "b@r.example", 2*hour))
		close(seen)
	}()
	select {
	case <-seen:
	case <-time.After(20 * time.Second):
		t.Error("a sighting waits for the disk")
	}
	close(goOn)
	<-seen
	if err := <-loaded; err != nil {
		t.Fatal(err)
	}
	if n := len(late.table.changed); n != 2 {
		t.Errorf("%d entries are to be written, want the two that were seen", n)
	}
	expect(t, late, sight(2, "a@s.example", "b@r.example", 2*hour), policy.Pass)
	expect(t, late, sight(3, "a@s.example", "b@r.example", 2*hour+minute), policy.Pass)
	expect(t, late, sight(4, "a@s.example", "b@r.example", 2*hour+minute), Early)
}

// TestRecall is what an entry on disk and one in memory come to, and whether that is to be written.
func TestRecall(t *testing.T) {
	rules, k := Defaults().rules(), Key{1}
	old := Entry{First: start, Last: start, Passed: 1}
	end := rules.End(old)
	for name, tt := range map[string]struct {
		memory, disk, want Entry
		write              bool
	}{
		"on disk alone":                {Entry{}, old, old, false},
		"seen since":                   {Entry{start + hour, start + 2*hour, 3, 0}, old, Entry{start, start + 2*hour, 3, 0}, true},
		"the same":                     {old, old, old, true}, // it was to be written anyway
		"over before it began anew":    {Entry{First: end + 1, Last: end + 1}, old, Entry{First: end + 1, Last: end + 1}, true},
		"allowed, which is never over": {Entry{end + 1, end + 1, 1, IsClient}, Entry{start, 0, 0, IsClient | Allowed}, Entry{start, end + 1, 1, IsClient | Allowed}, true},
	} {
		table := newTable(rules, 10)
		table.changed = map[Key]struct{}{}
		table.set(k, tt.memory, "")
		table.recall(k, tt.disk)
		if _, write := table.changed[k]; table.entry(k) != tt.want || write != tt.write {
			t.Errorf("%s: %+v, to be written: %v; want %+v, %v", name, table.entry(k), write, tt.want, tt.write)
		}
	}
}

// TestRecallBounded: a file that holds more than the table may leaves it bounded, and what is given up goes from the disk too.
func TestRecallBounded(t *testing.T) {
	table := newTable(Defaults().rules(), 10)
	table.changed = map[Key]struct{}{}
	for i := range byte(15) {
		table.recall(Key{i}, Entry{First: start + int64(i), Last: start + int64(i)})
	}
	b := table.drain()
	if len(table.nodes) != 10 || len(b.changes) != 5 || b.all {
		t.Errorf("%d entries, %d changes", len(table.nodes), len(b.changes))
	}
	for _, c := range b.changes {
		if c.entry.First != 0 || c.key[0] >= 5 {
			t.Errorf("given up: %v %+v", c.key, c.entry)
		}
	}
}

// hang makes a read of the entries hang until goOn is closed; hung tells when it does. It is to be called before the file is opened.
func hang() (hung, goOn chan struct{}) {
	hung, goOn = make(chan struct{}), make(chan struct{})
	hold.Store(func() {
		select {
		case hung <- struct{}{}:
			<-goOn
		case <-goOn:
		}
	})
	registerHold()
	return hung, goOn
}

// hold is what the SQL function hold does. It tells its argument.
var hold atomic.Value

// registerHold makes the function known to all files that are opened from then on.
var registerHold = sync.OnceFunc(func() {
	sqlite.MustRegisterScalarFunction("hold", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		hold.Load().(func())()
		return args[0], nil
	})
})
