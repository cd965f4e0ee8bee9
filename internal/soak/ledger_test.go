//go:build soak

package soak

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"gatepost/internal/mailsink"
	"gatepost/policy"
)

// entry is what each side knows of one mail.
type entry struct {
	told      int // the code of the reply that decided, to the sender; 0 where none reached it
	good      bool
	committed int
	records   int
	end       policy.End
}

// ledger has every mail that was tried, by the local part of its reverse-path, which no other mail has.
type ledger struct {
	mu     sync.Mutex
	serial int
	mails  map[string]*entry
	wrong  []string // what was seen at once
}

// open enters a mail, before anything of it is sent.
func (l *ledger) open(good bool) (id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serial++
	id = fmt.Sprintf("id%07d", l.serial)
	l.mails[id] = &entry{good: good}
	return id
}

// tell notes the sender's side. A good mail is refused for good in the words of the backend alone (promise 5).
func (l *ledger) tell(id string, code int, text string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.mails[id]
	if err == nil {
		e.told = code
	}
	if e.good && err == nil && code/100 == 5 && !strings.Contains(text, backendWords) {
		l.wrong = append(l.wrong, fmt.Sprintf("%s is good mail, and was refused: %d %s", id, code, text))
	}
}

// commit notes the backend's side.
func (l *ledger) commit(m mailsink.Message) {
	id, _, _ := strings.Cut(m.From, "@")
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.mails[id]
	if e == nil {
		l.wrong = append(l.wrong, fmt.Sprintf("the backend has a mail from %q, which nobody sent", m.From))
		return
	}
	e.committed++
}

// read takes the records of a journal, and removes it.
func (l *ledger) read(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file)
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var r policy.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Errorf("%v in %s", err, lines.Text())
			continue
		}
		l.record(&r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

func (l *ledger) record(r *policy.Record) {
	if r.Sender == nil {
		return
	}
	id, _, _ := strings.Cut(*r.Sender, "@")
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.mails[id]; e != nil {
		e.records++
		e.end = r.End
	}
}

// fault says what does not fit together of one mail; "" where all does.
func (e *entry) fault() string {
	has := e.end == policy.EndDelivered || e.end == policy.EndDuplicate
	switch {
	case e.committed > 1:
		return "is at the backend more than once"
	case e.told/100 == 2 && e.committed != 1:
		return "was accepted and is not at the backend"
	case e.told/100 == 2 && e.end != policy.EndDelivered:
		return "was accepted, which the record does not say"
	case e.told >= 400 && e.committed > 0 && e.end != policy.EndUnknown:
		return "was refused and is at the backend, and not recorded as a possible duplicate"
	case has && e.committed != 1:
		return "is recorded as delivered and is not at the backend"
	case e.committed == 1 && !has && e.end != policy.EndUnknown:
		return "is at the backend, which the record does not say"
	case e.records > 1:
		return "has more than one record"
	case e.records == 0 && e.told != 0 && e.told != 421: // a 421 may have come in place of a transaction
		return "has no record"
	}
	return ""
}

// tally is what came of all mails.
type tally struct {
	tried, accepted, deferred, refused, silent int // as senders know; silent: no reply came
	unknown, duplicates                        int // records of possible duplicates, and how many of them are at the backend
	committed                                  int
}

// audit compares the sides of every mail.
func (l *ledger) audit(t *testing.T) (sum tally) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	wrong := l.wrong
	for id, e := range l.mails {
		if why := e.fault(); why != "" {
			wrong = append(wrong, fmt.Sprintf("%s %s: %+v", id, why, *e))
		}
		sum.add(e)
	}
	for i, w := range wrong {
		if i == 20 {
			t.Errorf("and %d more", len(wrong)-i)
			break
		}
		t.Error(w)
	}
	return sum
}

func (s *tally) add(e *entry) {
	s.tried++
	s.committed += e.committed
	switch e.told / 100 {
	case 2:
		s.accepted++
	case 4:
		s.deferred++
	case 5:
		s.refused++
	default:
		s.silent++
	}
	if e.end == policy.EndUnknown || e.end == policy.EndDuplicate {
		s.unknown++
		s.duplicates += e.committed
	}
}
