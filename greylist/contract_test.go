package greylist

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"gatepost/policy"
)

// nowhere is a log that nobody reads.
func nowhere() *slog.Logger { return slog.New(slog.DiscardHandler) }

// opened is a store under test, with a command's view of it.
type opened struct {
	store Store
	book  Book
	sync  func() // what was done at one end is seen at the other when it returns
}

// sight is a sighting by 192.0.2.N.
func sight(n byte, sender, rcpt string, at int64) Sighting {
	return Defaults().sighting(view(fmt.Sprintf("192.0.%d.1", n), sender, rcpt), start+at)
}

// contract is what each store keeps. open gives an empty one.
func contract(t *testing.T, open func(t *testing.T) opened) {
	for name, test := range map[string]func(*testing.T, opened){
		"a stranger comes back": contractReturn, "known": contractKnown, "let through": contractExcuse, "too late": contractLate,
		"at once": contractTogether, "deleted": contractDelete, "allowed": contractAllow, "learned": contractPut, "labels": contractLabels,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// expect takes in a sighting that must come to an outcome.
func expect(t *testing.T, s Store, x Sighting, want policy.Outcome) Decision {
	t.Helper()
	d, err := s.Sight(context.Background(), x)
	if err != nil || d.Outcome != want {
		t.Fatalf("%s -> %s: %s (%v), want %s", x.Label.Sender, x.Label.Recipient, d.Outcome, err, want)
	}
	return d
}

func contractReturn(t *testing.T, o opened) {
	if d := expect(t, o.store, sight(2, "a@s.example", "b@r.example", 0), FirstSeen); d.Wait != 5*time.Minute {
		t.Errorf("wait %s", d.Wait)
	}
	if d := expect(t, o.store, sight(2, "a@s.example", "b@r.example", second), Early); d.Wait != 299*time.Second || d.Waited != time.Second {
		t.Errorf("wait %s, waited %s", d.Wait, d.Waited)
	}
	expect(t, o.store, sight(2, "a@s.example", "other@r.example", second), FirstSeen)
	if d := expect(t, o.store, sight(2, "a@s.example", "b@r.example", 5*minute), policy.Pass); d.Mails != 1 || d.Waited != 5*time.Minute {
		t.Errorf("%+v", d)
	}
	if d := expect(t, o.store, sight(2, "a@s.example", "b@r.example", 6*minute), policy.Pass); d.Mails != 2 {
		t.Errorf("%+v", d)
	}
}

func contractKnown(t *testing.T, o opened) {
	expect(t, o.store, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
	for i := range int64(3) {
		expect(t, o.store, sight(2, "a@s.example", "b@r.example", (i+1)*hour), policy.Pass)
	}
	if d := expect(t, o.store, sight(2, "new@s.example", "new@r.example", 4*hour), Known); d.Mails != 3 {
		t.Errorf("%+v", d)
	}
	expect(t, o.store, sight(3, "a@s.example", "b@r.example", 4*hour), FirstSeen)
}

func contractExcuse(t *testing.T, o opened) {
	x := sight(2, "a@s.example", "b@r.example", 0)
	expect(t, o.store, x, FirstSeen)
	x.Excuse = true
	expect(t, o.store, x, Early)
	expect(t, o.store, sight(2, "a@s.example", "b@r.example", 20*aDay), policy.Pass)
}

func contractLate(t *testing.T, o opened) {
	expect(t, o.store, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
	expect(t, o.store, sight(2, "a@s.example", "b@r.example", 49*hour), FirstSeen)
	expect(t, o.store, sight(2, "a@s.example", "b@r.example", 50*hour), policy.Pass)
}

// contractTogether: of many sightings at once one is the first, and each mail is counted once.
func contractTogether(t *testing.T, o opened) {
	var wg sync.WaitGroup
	outcomes := make(chan policy.Outcome, 64)
	for range 16 {
		wg.Go(func() {
			d, err := o.store.Sight(context.Background(), sight(2, "a@s.example", "b@r.example", 0))
			if err != nil {
				t.Error(err)
			}
			outcomes <- d.Outcome
		})
	}
	wg.Wait()
	close(outcomes)
	count := map[policy.Outcome]int{}
	for x := range outcomes {
		count[x]++
	}
	if count[FirstSeen] != 1 || count[Early] != 15 {
		t.Errorf("%v", count)
	}
}

// records are what a book holds, by state.
func records(t *testing.T, b Book) map[State][]Record {
	t.Helper()
	m := map[State][]Record{}
	err := b.Each(context.Background(), func(r Record) bool {
		m[r.Entry.State()] = append(m[r.Entry.State()], r)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func contractDelete(t *testing.T, o opened) {
	expect(t, o.store, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
	expect(t, o.store, sight(2, "a@s.example", "b@r.example", hour), policy.Pass)
	expect(t, o.store, sight(3, "c@s.example", "d@r.example", 0), FirstSeen)
	o.sync()
	all := records(t, o.book)
	if len(all[StatePassed]) != 1 || len(all[StateSeen]) != 1 || len(all[StateWaiting]) != 1 {
		t.Fatalf("%v", all)
	}
	n, err := o.book.Delete(context.Background(), append(all[StatePassed], all[StatePassed]...))
	if err != nil || n != 1 {
		t.Fatalf("deleted %d: %v", n, err)
	}
	o.sync()
	expect(t, o.store, sight(2, "a@s.example", "b@r.example", 2*hour), FirstSeen)
	expect(t, o.store, sight(3, "c@s.example", "d@r.example", 2*hour), policy.Pass)
}

func contractAllow(t *testing.T, o opened) {
	expect(t, o.store, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
	r := AllowedClient(Defaults().networkOf(view("192.0.2.77", "a@s.example", "b@r.example").Client), time.UnixMilli(start))
	if err := o.book.Put(context.Background(), []Record{r}); err != nil {
		t.Fatal(err)
	}
	o.sync()
	expect(t, o.store, sight(2, "a@s.example", "b@r.example", second), Known)
	expect(t, o.store, sight(2, "a@s.example", "b@r.example", 3000*aDay), Known)
	o.sync()
	if all := records(t, o.book); len(all[StateAllowed]) != 1 || all[StateAllowed][0].Label.Client != "192.0.2.0/24" {
		t.Errorf("%v", all)
	}
}

// contractPut: what is added never lessens what is there.
func contractPut(t *testing.T, o opened) {
	expect(t, o.store, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
	for i := range int64(3) {
		expect(t, o.store, sight(2, "a@s.example", "b@r.example", (i+1)*hour), policy.Pass)
	}
	o.sync()
	x, y := sight(2, "a@s.example", "b@r.example", 0), sight(3, "c@s.example", "d@r.example", 0)
	err := o.book.Put(context.Background(), []Record{
		{Key: x.Client, Owner: x.Client, Entry: Entry{start - aDay, start - aDay, 1, IsClient}, Label: Label{Client: x.Label.Client}},
		{Key: y.Triplet, Owner: y.Client, Entry: Entry{start, start, 4, 0}, Label: y.Label},
	})
	if err != nil {
		t.Fatal(err)
	}
	if known := records(t, o.book)[StateKnown]; len(known) != 1 || known[0].Entry.Passed != 3 || known[0].Entry.First != start-aDay {
		t.Errorf("%+v", known)
	}
	o.sync()
	if d := expect(t, o.store, sight(2, "new@s.example", "b@r.example", 4*hour), Known); d.Mails != 3 {
		t.Errorf("%+v", d)
	}
	if d := expect(t, o.store, sight(3, "c@s.example", "d@r.example", hour), policy.Pass); d.Mails != 5 {
		t.Errorf("%+v", d)
	}
}

func contractLabels(t *testing.T, o opened) {
	expect(t, o.store, sight(2, "SRS0=x=y=z.example=Amy\x1b@s.example", "b\r\n@r.example", 0), FirstSeen)
	expect(t, o.store, sight(2, "<>", "b@r.example", 0), FirstSeen)
	o.sync()
	got := map[Label]bool{}
	for _, r := range records(t, o.book)[StateWaiting] {
		got[r.Label] = true
	}
	if !got[Label{"192.0.2.0/24", "srs=z.example=amy?@s.example", "b??@r.example"}] || !got[Label{"192.0.2.0/24", "<>", "b@r.example"}] {
		t.Errorf("%v", got)
	}
}

func TestMemoryContract(t *testing.T) {
	contract(t, func(*testing.T) opened {
		m := NewMemory(Defaults())
		return opened{m, book{m}, func() {}}
	})
}

func TestFallbackContract(t *testing.T) {
	contract(t, func(*testing.T) opened {
		m := NewMemory(Defaults())
		return opened{newFallback(m, NewMemory(Defaults()), nowhere()), book{m}, func() {}}
	})
}

// TestSQLiteContract has a command's File open beside the daemon's store.
func TestSQLiteContract(t *testing.T) {
	contract(t, func(t *testing.T) opened {
		q, f := openBoth(t)
		return opened{q, f, func() {
			if err := q.save(); err != nil {
				t.Fatal(err)
			}
		}}
	})
}

// openBoth opens a store that saves when told, and a command's view of its file.
func openBoth(t *testing.T) (*SQLite, *File) {
	t.Helper()
	path := t.TempDir() + "/a dir?%41/greylist.db"
	q := newSQLite(Defaults(), path, nowhere())
	if err := q.open(); err != nil {
		t.Fatal(err)
	}
	f, err := openFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(); q.db.Close() })
	return q, f
}
