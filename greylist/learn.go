package greylist

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"time"

	"gatepost/policy"
)

// Learned is what there was in a mail log.
type Learned struct {
	Lines  int // read
	Mails  int // delivered to a recipient, with client and sender known
	Format string
}

// Learn reads the log of a mail server that served before, and adds to the sheet who brought mail that was delivered. It knows Postfix and Exim
// by their lines. Lines that it does not understand are passed over; the error is one of reading. now is for lines that name no year.
func (t *Sheet) Learn(ctx context.Context, r io.Reader, now time.Time) (*Learned, error) {
	l := &Learned{}
	logs := []mailLog{newPostfixLog(now), newEximLog(now)}
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil || ctx.Err() != nil {
			return l, errors.Join(err, ctx.Err())
		}
		l.Lines++
		for _, m := range logs {
			if d, ok := m.line(line); ok {
				l.Mails++
				l.Format = m.name()
				t.add(d)
			}
		}
	}
}

// mailLog follows the log of one kind of server.
type mailLog interface {
	name() string
	// line takes in a line, and gives the delivery that it completes.
	line(s string) (delivery, bool)
}

// delivery is one recipient of a mail that was delivered.
type delivery struct {
	at     time.Time
	client netip.Addr
	sender policy.Mailbox // zero for the null sender
	rcpt   policy.Mailbox
}

// longestLine is the octets of a line that are looked at. What a log has beyond is no address.
const longestLine = 8 << 10

// readLine is the next line without its end, cut if it is long. Memory stays bounded whatever the file is.
func readLine(in *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part[:min(len(part), longestLine-min(len(line), longestLine))]...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == nil, errors.Is(err, io.EOF) && len(line) > 0:
			return strings.TrimRight(string(line), "\r\n"), nil
		default:
			return "", err
		}
	}
}

// mailbox reads an address out of a log. A domain counts in lower case.
func mailbox(s string) (policy.Mailbox, bool) {
	i := strings.LastIndexByte(s, '@')
	if i < 1 || i == len(s)-1 || len(s) > 320 {
		return policy.Mailbox{}, false
	}
	return policy.Mailbox{Local: strings.Trim(s[:i], `"`), Domain: strings.ToLower(s[i+1:])}, true
}

// pending holds what a log has told of mails whose delivery has not come yet. It is bounded: the oldest are forgotten.
type pending[T any] struct {
	byID map[string]*T
	ids  []string // as they came, the oldest overwritten
	next int
}

// maxPending is how many mails may be under way in a log at once.
const maxPending = 100_000

func newPending[T any]() *pending[T] {
	return &pending[T]{byID: map[string]*T{}}
}

// begin makes a place for a mail; what was under the same name is forgotten.
func (p *pending[T]) begin(id string) *T {
	if len(id) > 64 {
		id = id[:64]
	}
	if len(p.ids) < maxPending {
		p.ids = append(p.ids, "")
	}
	delete(p.byID, p.ids[p.next])
	p.ids[p.next] = id
	p.next = (p.next + 1) % maxPending
	v := new(T)
	p.byID[id] = v
	return v
}

// Sheet gathers deliveries as entries. A sender counts twice over: by its network, and by its domain, which holds only for mail whose
// SPF passes, so a domain that was forged in the log gains nothing by it.
type Sheet struct {
	settings *Settings
	records  map[Key]*row
}

// row is an entry on a sheet.
type row struct {
	Record
	counted time.Time // at which mail last; of several logs the newest may come first
}

// NewSheet makes an empty one.
func NewSheet(s *Settings) *Sheet { return &Sheet{s, map[Key]*row{}} }

// add counts a delivery. What the client itself may skip is counted too: settings change.
func (t *Sheet) add(d delivery) {
	if len(t.records) >= t.settings.MaxEntries {
		return
	}
	network := t.settings.networkOf(d.client)
	sender := "<>"
	if d.sender.Domain != "" {
		sender = normal(d.sender)
		t.client(Identity{Name: d.sender.Domain, Proved: true}, d.at)
	}
	t.client(network, d.at)
	s := t.settings.triplet(network, sender, d.rcpt, d.at.UnixMilli())
	t.count(Record{Key: s.Triplet, Owner: s.Client, Label: s.Label}, d.at, 0)
}

// client counts a mail of a client, at most one in each delay, as the check does.
func (t *Sheet) client(id Identity, at time.Time) {
	k := id.key()
	if r := t.records[k]; r != nil && at.Sub(r.counted).Abs() < t.settings.Delay {
		return
	}
	r := t.count(Record{Key: k, Owner: k, Label: newLabel(id, "", "")}, at, IsClient)
	if after := t.settings.knownAfter(id); after > 0 && int64(r.Entry.Passed) >= int64(after) {
		r.Entry.Flags |= IsKnown
	}
}

func (t *Sheet) count(r Record, at time.Time, flags Flags) *row {
	ms := at.UnixMilli()
	got := t.records[r.Key]
	if got == nil {
		r.Entry = Entry{First: ms, Last: ms, Flags: flags}
		got = &row{Record: r}
		t.records[r.Key] = got
	}
	got.counted = at
	got.Entry.First, got.Entry.Last = min(got.Entry.First, ms), max(got.Entry.Last, ms)
	got.Entry.Passed++
	return got
}

// Records are the entries that still count. Of a network that is known its triplets are left out: all recipients are open to it.
func (t *Sheet) Records(now time.Time) []Record {
	rules := t.settings.rules()
	var rs []Record
	for _, r := range t.records {
		owner := t.records[r.Owner]
		covered := r.Key != r.Owner && owner != nil && owner.Entry.Flags&IsKnown != 0
		if !covered && !rules.over(r.Entry, now.UnixMilli()) {
			rs = append(rs, r.Record)
		}
	}
	return rs
}
