package journal

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"gatepost/policy"
)

// days stores a record of each of some days before noon, the oldest first, and returns the journal.
func daysOf(t *testing.T, ages ...int) string {
	t.Helper()
	dir := t.TempDir()
	for _, age := range ages {
		s, _ := testStore(t, Settings{Dir: dir})
		s.write([]*policy.Record{at(noon().AddDate(0, 0, -age), fmt.Sprint("AGE", age))})
		s.closeDay()
	}
	return dir
}

func TestKeep(t *testing.T) {
	dir := daysOf(t, 40, 32, 31, 30, 1)
	old := dayOf(dir, noon().AddDate(0, 0, -35)).path() + asideMark + "1"
	os.WriteFile(old, []byte("x"), 0o600)
	os.WriteFile(old+"-wal", []byte("x"), 0o600)
	other := dir + "/journal-of-mine.db"
	os.WriteFile(other, nil, 0o600)
	said := put(t, Settings{Dir: dir, Keep: 30 * 24 * time.Hour}, at(noon(), "NOW"))
	if got := refs(found(t, dir, Query{})); got != "NOW AGE1 AGE30" { // the 31st day before noon ended at midnight, 30.5 days ago
		t.Error(got)
	}
	if n := strings.Count(said, "were dropped"); n != 4 {
		t.Errorf("%d files were said to be dropped; %s", n, said)
	}
	names, _ := os.ReadDir(dir)
	if len(names) != 4 {
		t.Errorf("left are %v", names)
	}
}

func TestMaxSize(t *testing.T) {
	dir := daysOf(t, 5, 4, 3, 2, 1)
	one := dayOf(dir, noon().AddDate(0, 0, -1)).size()
	put(t, Settings{Dir: dir, MaxSize: 4*one + one/2}, at(noon(), "NOW")) // the file of today is one as well, and has a WAL while it is open
	got := refs(found(t, dir, Query{}))
	if !strings.HasPrefix(got, "NOW AGE1") || strings.Contains(got, "AGE5") || strings.Contains(got, "AGE4") {
		t.Error(got)
	}
}

// TestOneDayTooLarge: the oldest records of the day go, the newest stay, and the file stops growing.
func TestOneDayTooLarge(t *testing.T) {
	dir := t.TempDir()
	const most = 1 << 20
	s, said := testStore(t, Settings{Dir: dir, MaxSize: most})
	n := 0
	for range 12 {
		var batch []*policy.Record
		for range batchSize {
			batch = append(batch, at(noon().Add(time.Duration(n)), fmt.Sprint(n), "amy@example.com"))
			n++
		}
		s.save(batch, true)
	}
	s.closeDay()
	got := found(t, dir, Query{})
	if got[0].Ref != fmt.Sprint(n-1) || len(got) == n || len(got) < 1000 {
		t.Errorf("%d of %d are left, from %s", len(got), n, got[0].Ref)
	}
	if size := dayOf(dir, noon()).size(); size > most*5/4 {
		t.Errorf("the file has %d octets", size)
	}
	if strings.Count(said.String(), "the oldest go") != 1 {
		t.Error(said)
	}
}

// TestDropWhileRead: who reads a day when it is dropped reads it to its end, or finds it gone; neither is a fault.
func TestDropWhileRead(t *testing.T) {
	dir := daysOf(t, 2, 1)
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range r.Search(t.Context(), Query{}) {
		if n++; err != nil {
			t.Error(err)
		}
		days, _ := listFiles(dir)
		for _, d := range days {
			d.remove()
		}
	}
	if n != 1 {
		t.Errorf("%d entries", n)
	}
}
