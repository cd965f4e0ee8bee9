package journal

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost/policy"
)

// noon is when the records of these tests are from.
func noon() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }

// at is a record that ended at a time.
func at(t time.Time, ref string, rcpts ...string) *policy.Record {
	sender := "a@shop.example"
	r := &policy.Record{Time: t, Ref: ref, Client: netip.MustParseAddr("203.0.113.9"), Sender: &sender, End: policy.EndDelivered}
	for _, a := range rcpts {
		r.Recipients = append(r.Recipients, policy.RecipientRecord{Address: a, Verdict: policy.Accepted})
	}
	return r
}

// stored makes a journal of records and returns its directory.
func stored(t testing.TB, rs ...*policy.Record) string {
	t.Helper()
	dir := t.TempDir()
	put(t, Settings{Dir: dir}, rs...)
	return dir
}

// put writes records into a journal, and closes it.
func put(t testing.TB, set Settings, rs ...*policy.Record) (log string) {
	t.Helper()
	s, said := testStore(t, set)
	go s.run()
	for _, r := range rs {
		s.queue <- r
	}
	s.Close()
	if n, lost := s.Counts(); n != int64(len(rs)) || lost != 0 {
		t.Fatalf("%d of %d records were written, %d were lost; %s", n, len(rs), lost, said)
	}
	return said.String()
}

// testStore is a store whose clock stands at noon, and what it logs.
func testStore(t testing.TB, set Settings) (*Store, *strings.Builder) {
	t.Helper()
	f, err := NewFilter(Levels{Subject: true, Transcript: TranscriptAll}, "")
	if err != nil {
		t.Fatal(err)
	}
	said := &strings.Builder{}
	s := newStore(set, f, slog.New(slog.NewTextHandler(said, nil)))
	s.now = noon
	return s, said
}

// found is what a query finds.
func found(t testing.TB, dir string, q Query) []*policy.Record {
	t.Helper()
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var rs []*policy.Record
	for e, err := range r.Search(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, e.Record)
	}
	return rs
}

// refs are the refs of records, in one line.
func refs(rs []*policy.Record) string {
	var all []string
	for _, r := range rs {
		all = append(all, r.Ref)
	}
	return strings.Join(all, " ")
}

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// TestRoundTrip stores records of any content and reads them again.
func TestRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	var want []*policy.Record
	for i := range 40 {
		r := &policy.Record{}
		fill(reflect.ValueOf(r).Elem(), random)
		r.Time, r.Took = noon().Add(time.Duration(i)*time.Second+1), time.Duration(random.IntN(1e9))
		want = append(want, r)
	}
	got := found(t, stored(t, want...), Query{OldestFirst: true})
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("-stored +read\n%s", diff)
	}
}

// fill puts something into every field that a record can have.
func fill(v reflect.Value, random *rand.Rand) {
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		return
	case *netip.Addr:
		*x = []netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}[random.IntN(3)]
		return
	case *policy.Stage, *policy.Action, *policy.Mode:
		v.SetUint(uint64(random.IntN(3)))
		return
	case *policy.Verdict:
		v.SetUint(uint64(random.IntN(5)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(oddText(random))
	case reflect.Int, reflect.Int64:
		v.SetInt(random.Int64N(1e12))
	case reflect.Uint16:
		v.SetUint(uint64(random.IntN(1000)))
	case reflect.Pointer:
		if random.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), random)
		}
	case reflect.Slice:
		if n := random.IntN(3); n > 0 { // an empty list comes back as none, or as empty: either says the same
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(v.Index(i), random)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), random)
		}
	}
}

// oddText is text as a stranger may send it. Broken UTF-8 is not in it: of that, JSON keeps that it was there.
func oddText(random *rand.Rand) string {
	pieces := []string{"", "amy@example.com", "\x00", "\x1b[31m", "\u202e", "\u2028", "<script>", `"`, `\`, "\r\n", "ü", "😀", "\ufffd", "a b"}
	var b strings.Builder
	for range random.IntN(4) {
		b.WriteString(pieces[random.IntN(len(pieces))])
	}
	return b.String()
}

// TestBrokenText is what becomes of octets that are no UTF-8.
func TestBrokenText(t *testing.T) {
	r := at(noon(), "A")
	r.Helo = "mx\xff\x80.example"
	got := found(t, stored(t, r), Query{})
	if len(got) != 1 || got[0].Helo != "mx\ufffd\ufffd.example" {
		t.Errorf("came back as %+v", got)
	}
}

// TestOrder: entries are in the order in which they ended, whatever that of their begin, each at a time of its own.
func TestOrder(t *testing.T) {
	long := at(noon(), "LONG")
	long.Took = time.Minute
	short := at(noon().Add(time.Second), "SHORT")
	twin := at(noon().Add(time.Second), "TWIN")
	dir := stored(t, short, twin, long)
	if got := refs(found(t, dir, Query{})); got != "LONG TWIN SHORT" {
		t.Error(got)
	}
	r, _ := Open(dir)
	var seen []string
	q := Query{Limit: 1}
	for range 4 { // a page of one each
		for e := range r.Search(t.Context(), q) {
			seen = append(seen, e.Record.Ref)
			q.Until = e.At
		}
	}
	if got := strings.Join(seen, " "); got != "LONG TWIN SHORT" {
		t.Errorf("page by page: %s", got)
	}
}

// TestDays: each record is in the file of the day when it ended.
func TestDays(t *testing.T) {
	midnight := noon().Add(12 * time.Hour)
	over := at(midnight.Add(-time.Second), "OVER")
	over.Took = 2 * time.Second
	back := at(noon(), "BACK") // the clock was set back: the file goes on
	dir := stored(t, at(midnight.Add(-time.Minute), "BEFORE"), over, at(midnight.Add(time.Minute), "AFTER"), back)
	days, err := listDays(dir)
	if err != nil || len(days) != 2 || days[0].name != "journal-2026-11-20.db" || days[1].name != "journal-2026-11-21.db" {
		t.Errorf("%v %v", days, err)
	}
	if got := refs(found(t, dir, Query{})); got != "BACK AFTER OVER BEFORE" {
		t.Error(got)
	}
	if got := refs(found(t, dir, Query{Until: midnight})); got != "BEFORE" {
		t.Errorf("before midnight: %s", got)
	}
	if got := refs(found(t, dir, Query{Since: midnight, OldestFirst: true})); got != "OVER AFTER BACK" {
		t.Errorf("from midnight on: %s", got)
	}
}

// TestFarDays: records of long ago, as an import has them, are in the files of their days, whatever day it is; one of an evening that
// comes when the next day has begun is at its begin.
func TestFarDays(t *testing.T) {
	late := at(noon().Add(-13*time.Hour), "LATE")
	dir := stored(t, at(noon().AddDate(0, -2, 0), "SEPTEMBER"), at(noon(), "NOVEMBER"), at(noon().AddDate(0, -1, 0), "OCTOBER"))
	put(t, Settings{Dir: dir}, late)
	if got := refs(found(t, dir, Query{})); got != "LATE NOVEMBER OCTOBER SEPTEMBER" {
		t.Error(got)
	}
	october := noon().AddDate(0, -1, 0)
	if got := refs(found(t, dir, Query{Since: october, Until: october.Add(1)})); got != "OCTOBER" {
		t.Errorf("in October: %s", got)
	}
}

// TestManyChunks reads more than fits into one read, both ways, all and some.
func TestManyChunks(t *testing.T) {
	var rs []*policy.Record
	for i := range 3*chunk + 7 {
		rcpt := "even@example.com"
		if i%2 == 1 {
			rcpt = "odd@example.com"
		}
		rs = append(rs, at(noon().Add(time.Duration(i)), fmt.Sprint(i), rcpt, "all@example.com"))
	}
	dir := stored(t, rs...)
	for _, q := range []Query{{}, {Rcpt: "all@example.com"}, {Text: "all@example"}} {
		for _, q.OldestFirst = range []bool{true, false} {
			if n := len(found(t, dir, q)); n != len(rs) {
				t.Errorf("%+v: %d of %d", q, n, len(rs))
			}
		}
	}
	if n := len(found(t, dir, Query{Rcpt: "odd@example.com"})); n != len(rs)/2 {
		t.Errorf("%d odd ones", n)
	}
}

// TestReadBeside reads while the store is open, and sees what came in since.
func TestReadBeside(t *testing.T) {
	dir := t.TempDir()
	s, _ := testStore(t, Settings{Dir: dir})
	s.now = time.Now
	go s.run()
	defer s.Close()
	for i := range 3 {
		s.Append(at(noon(), fmt.Sprint(i)))
		for {
			if n, _ := s.Counts(); n == int64(i+1) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if got := found(t, dir, Query{}); len(got) != i+1 || got[0].Ref != fmt.Sprint(i) {
			t.Fatalf("after %d: %s", i+1, refs(got))
		}
	}
}

// TestTwoWriters is a daemon that makes way for the next: both write for a while.
func TestTwoWriters(t *testing.T) {
	dir := t.TempDir()
	one, _ := testStore(t, Settings{Dir: dir})
	two, _ := testStore(t, Settings{Dir: dir})
	go one.run()
	go two.run()
	for i := range 200 {
		one.queue <- at(noon(), fmt.Sprint("A", i))
		two.queue <- at(noon(), fmt.Sprint("B", i))
	}
	one.Close()
	two.Close()
	if n := len(found(t, dir, Query{})); n != 400 {
		t.Errorf("%d of 400 records", n)
	}
}

// TestFullQueue never blocks, and counts.
func TestFullQueue(t *testing.T) {
	s, said := testStore(t, Settings{Dir: t.TempDir()})
	for range queueSize + 10 {
		s.Append(at(noon(), "X")) // nobody writes yet
	}
	if _, lost := s.Counts(); lost != 10 {
		t.Errorf("%d lost, want 10", lost)
	}
	go s.run()
	s.Close()
	if n, lost := s.Counts(); n != queueSize || lost != 10 || !strings.Contains(said.String(), "journal records were lost") {
		t.Errorf("%d written, %d lost; %s", n, lost, said)
	}
}

// TestStopsSearching when its context ends.
func TestStopsSearching(t *testing.T) {
	r, err := Open(stored(t, at(noon(), "A")))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	for _, err := range r.Search(ctx, Query{}) {
		if n++; err != context.Canceled {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("%d answers", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	s := newStore(Settings{}, nil, discard())
	r := at(noon(), "A")
	b.ReportAllocs()
	for b.Loop() {
		s.Append(r)
		<-s.queue
	}
}

// BenchmarkWrite is what a record costs the writer.
func BenchmarkWrite(b *testing.B) {
	f, _ := NewFilter(Levels{}, "")
	w, err := openWriter(dayOf(b.TempDir(), noon()))
	if err != nil {
		b.Fatal(err)
	}
	defer w.close()
	rs := sample(batchSize)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n++; n%batchSize == 0 {
			if _, err := w.write(rs, f); err != nil {
				b.Fatal(err)
			}
		}
	}
}
