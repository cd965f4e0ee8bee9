package greylist

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// someDay is when the logs of the tests are read.
var someDay = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// learn is what a log teaches, a line an entry.
func learn(t *testing.T, log string, s *Settings, now time.Time) (*Learned, []string) {
	t.Helper()
	sheet := NewSheet(s)
	l, err := sheet.Learn(context.Background(), strings.NewReader(log), now)
	if err != nil {
		t.Fatal(err)
	}
	return l, linesOf(sheet, now)
}

// linesOf is a sheet, a line an entry.
func linesOf(sheet *Sheet, now time.Time) (lines []string) {
	for _, r := range sheet.Records(now) {
		lines = append(lines, fmt.Sprintf("%s %d %s %s", r.Entry.State(), r.Entry.Passed, time.UnixMilli(r.Entry.Last).UTC().Format("01-02 15:04"), r.Label.pack()))
	}
	slices.Sort(lines)
	return lines
}

// TestLearnTogether: several logs count together, whichever comes first, and a mail for many recipients is one mail in each.
func TestLearnTogether(t *testing.T) {
	sheet := NewSheet(Defaults())
	for _, log := range []string{
		mailLines(1, "Nov 20 10:00:00", "192.0.2.1", "", "a@r.example") + mailLines(2, "Nov 20 12:00:00", "192.0.2.1", "", "a@r.example") +
			mailLines(3, "Nov 20 12:00:00", "192.0.3.1", "", "a@r.example"),
		mailLines(1, "Nov 18 10:00:00", "192.0.2.1", "", "a@r.example") + mailLines(2, "Nov 18 12:00:00", "192.0.2.1", "", "a@r.example") +
			mailLines(3, "Nov 18 12:00:00", "192.0.3.1", "", "a@r.example") + mailLines(4, "Nov 18 12:00:01", "192.0.3.1", "", "a@r.example"),
	} {
		if _, err := sheet.Learn(t.Context(), strings.NewReader(log), someDay); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"known 4 11-20 12:00 192.0.2.0/24", "passed 3 11-20 12:00 192.0.3.0/24 <> a@r.example", "seen 2 11-20 12:00 192.0.3.0/24"}
	if diff := cmp.Diff(want, linesOf(sheet, someDay)); diff != "" {
		t.Error(diff)
	}
}

// TestLearnFiles: what real lines teach.
func TestLearnFiles(t *testing.T) {
	for _, c := range []struct {
		file, format string
		mails        int
		want         []string
	}{
		{"testdata/postfix.log", "Postfix", 3, []string{
			"known 1 11-20 10:02 shop.example",
			"passed 1 11-20 10:02 203.0.113.0/24 a@shop.example bob@example.com",
			"passed 1 11-20 10:02 203.0.113.0/24 a@shop.example info@example.com",
			"passed 1 11-20 11:00 2001:db8::/64 <> amy@example.com",
			"seen 1 11-20 10:02 203.0.113.0/24",
			"seen 1 11-20 11:00 2001:db8::/64",
		}},
		{"testdata/exim.log", "Exim", 3, []string{
			"known 1 11-20 10:02 shop.example",
			"passed 1 11-20 09:04 2001:db8::/64 <> amy@example.com",
			"passed 1 11-20 10:02 203.0.113.0/24 a@shop.example amy@example.com",
			"passed 1 11-20 10:02 203.0.113.0/24 a@shop.example bob@example.com",
			"seen 1 11-20 09:04 2001:db8::/64",
			"seen 1 11-20 10:02 203.0.113.0/24",
		}},
	} {
		log, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		l, got := learn(t, string(log), Defaults(), someDay)
		if diff := cmp.Diff(c.want, got); diff != "" || l.Mails != c.mails || l.Format != c.format {
			t.Errorf("%s: %d mails of %s\n%s", c.file, l.Mails, l.Format, diff)
		}
	}
}

// mailLine is a mail in the log of Postfix.
func mailLines(id int, stamp, client, from, to string) string {
	return fmt.Sprintf("%[2]s mx postfix/smtpd[1]: A%[1]d00000: client=x[%[3]s]\n%[2]s mx postfix/qmgr[1]: A%[1]d00000: from=<%[4]s>, size=1\n"+
		"%[2]s mx postfix/lmtp[1]: A%[1]d00000: to=<%[5]s>, relay=x, status=sent (ok)\n%[2]s mx postfix/qmgr[1]: A%[1]d00000: removed\n", id, stamp, client, from, to)
}

// TestLearnDayOne: who has written before is not held up; others are.
func TestLearnDayOne(t *testing.T) {
	log := ""
	for i := range 3 {
		log += mailLines(i, fmt.Sprintf("Nov 1%d 10:00:00", i), "192.0.2.1", fmt.Sprintf("s%d@pool.example", i), fmt.Sprintf("r%d@r.example", i))
	}
	log += mailLines(9, "Nov 19 10:00:00", "192.0.7.1", "once@once.example", "b@r.example")
	log += mailLines(8, "Nov 19 10:00:00", "192.0.8.1", "a@s.example", "b@r.example") + mailLines(7, "Nov 19 10:01:00", "192.0.8.1", "a@s.example", "c@r.example")
	sheet := NewSheet(Defaults())
	if _, err := sheet.Learn(t.Context(), strings.NewReader(log), someDay); err != nil {
		t.Fatal(err)
	}
	for _, line := range linesOf(sheet, someDay) {
		if strings.Contains(line, " 192.0.2.0/24 ") {
			t.Errorf("a triplet of a network that is known: %s", line)
		}
	}
	m := NewMemory(Defaults())
	if err := m.Put(t.Context(), sheet.Records(someDay)); err != nil {
		t.Fatal(err)
	}
	now := someDay.UnixMilli()
	for _, c := range []struct {
		client, sender, rcpt string
		proved               bool
		want                 string
	}{
		{"192.0.2.200", "new@elsewhere.example", "new@r.example", false, "known"}, // the network brought three mails
		{"203.0.113.1", "new@pool.example", "new@r.example", true, "known"},       // the domain, proved, from anywhere
		{"203.0.113.1", "new@pool.example", "new@r.example", false, "new"},        // the domain, only claimed
		{"192.0.7.99", "once@once.example", "b@r.example", false, "pass"},
		{"192.0.7.99", "once@once.example", "other@r.example", false, "new"},
		{"192.0.8.1", "x@s.example", "x@r.example", false, "new"}, // two mails a minute apart count once
	} {
		v := view(c.client, c.sender, c.rcpt)
		if c.proved {
			v = view(c.client, c.sender, c.rcpt, found("spf", "pass"))
		}
		x := Defaults().sighting(v, now)
		if d, err := m.Sight(t.Context(), x); err != nil || string(d.Outcome) != c.want {
			t.Errorf("%s %s %s: %s, want %s", c.client, c.sender, c.rcpt, d.Outcome, c.want)
		}
	}
}

// TestLearnYear: a time without a year is the last such time; what is too old is left out.
func TestLearnYear(t *testing.T) {
	leap := time.Date(2028, 3, 5, 0, 0, 0, 0, time.UTC)
	january := time.Date(2027, 1, 3, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		stamp string
		now   time.Time
		want  int // entries
	}{
		{"Dec 31 23:59:59", january, 3}, {"Jan  2 10:00:00", january, 3}, {"Jan 30 10:00:00", january, 0}, {"Feb 29 10:00:00", leap, 3},
		{"Oct  1 10:00:00", someDay, 0}, {"Nov 21 23:00:00", someDay, 3}, {"Xyz 01 10:00:00", someDay, 0},
		{"2027-01-01T10:00:00Z", january, 3},
	} {
		if _, got := learn(t, mailLines(1, c.stamp, "192.0.2.1", "a@s.example", "b@r.example"), Defaults(), c.now); len(got) != c.want {
			t.Errorf("%s in %s: %q", c.stamp, c.now.Format(time.DateOnly), got)
		}
	}
}

// TestLearnStops where it is told to.
func TestLearnStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewSheet(Defaults()).Learn(ctx, strings.NewReader("x\ny\n"), someDay); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestLearnBounded: mails without an end, and more senders than there is room for.
func TestLearnBounded(t *testing.T) {
	p := newPostfixLog(someDay)
	for i := range 3 * maxPending {
		p.line(fmt.Sprintf("Nov 20 10:00:00 mx postfix/smtpd[1]: A%d0000: client=x[192.0.2.1]", i))
	}
	if n := len(p.mails.byID); n != maxPending {
		t.Errorf("%d mails under way", n)
	}
	s := Defaults()
	s.MaxEntries = 1000
	sheet := NewSheet(s)
	for i := range 5000 {
		sheet.add(delivery{at: someDay, client: view("192.0.2.1", "a@b", "c@d").Client, rcpt: address(fmt.Sprint(i, "@r.example"))})
	}
	if n := len(sheet.records); n > 1002 {
		t.Errorf("%d entries", n)
	}
}

// FuzzLearn: no line of a log does harm.
func FuzzLearn(f *testing.F) {
	for _, name := range []string{"testdata/postfix.log", "testdata/exim.log"} {
		log, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(log))
	}
	f.Add("2026-11-20 10:02:11 [")
	f.Add(" postfix]: : ")
	f.Fuzz(func(t *testing.T, log string) {
		sheet := NewSheet(Defaults())
		if _, err := sheet.Learn(context.Background(), strings.NewReader(log), someDay); err != nil {
			t.Fatal(err)
		}
		for _, r := range sheet.Records(someDay) {
			if r.Entry.First > r.Entry.Last || r.Entry.Last > someDay.UnixMilli() || r.Entry.Passed == 0 || r.Entry.State() == StateWaiting {
				t.Errorf("%+v", r)
			}
		}
	})
}
