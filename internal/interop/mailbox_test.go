//go:build interop

package interop

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// server is a mail server behind gatepost, with Maildirs.
type server struct {
	addr      string      // takes plain SMTP; XCLIENT too where it can
	proxyAddr string      // wants a PROXY header first; Postfix only
	mailDir   string      // holds a Maildir for each user
	queues    []string    // hold no file of an accepted message when all is delivered
	accepted  os.FileMode // a file there with one of these bits is of such a message
	log       string      // path of the log
	config    string      // directory; Postfix only

	expected map[letter]int
	read     map[string]letter // letters by file
}

// letter is one message in one Maildir.
type letter struct{ user, id string }

// expect says that a message is to arrive for these users, n times each (with n above 1 several bear the same id).
func (s *server) expect(id string, n int, users ...string) {
	for _, u := range users {
		s.expected[letter{u, id}] += n
	}
}

// scan reads what is new in the Maildirs and counts the letters.
func (s *server) scan(t *testing.T) map[letter]int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.mailDir, "*", "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, known := s.read[f]; !known {
			s.read[f] = letter{filepath.Base(filepath.Dir(filepath.Dir(f))), subject(readFile(t, f))}
		}
	}
	got := map[letter]int{}
	for _, l := range s.read {
		got[l]++
	}
	return got
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// settled waits until all that is expected has arrived and the queue is empty, then demands that nothing came twice and
// nothing came that was not sent.
func (s *server) settled(t *testing.T) {
	t.Helper()
	eventually(t, "all mail has arrived", func() bool {
		got := s.scan(t)
		for l, n := range s.expected {
			if got[l] < n {
				return false
			}
		}
		return s.idle(t)
	})
	if got := s.scan(t); !maps.Equal(got, s.expected) {
		t.Errorf("what arrived is not what was sent:\n%v\nwant\n%v", got, s.expected)
	}
}

// idle says whether the queue is empty.
func (s *server) idle(t *testing.T) bool {
	for _, q := range s.queues {
		empty := true
		filepath.WalkDir(q, func(_ string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return nil
			}
			info, err := e.Info()
			empty = empty && (err != nil || info.Mode()&s.accepted == 0)
			return nil
		})
		if !empty {
			return false
		}
	}
	return true
}

// letterOf waits for a user's letter and gives its text.
func (s *server) letterOf(t *testing.T, user, id string) string {
	t.Helper()
	eventually(t, user+" has "+id, func() bool { return s.scan(t)[letter{user, id}] > 0 })
	for _, f := range slices.Sorted(maps.Keys(s.read)) {
		if s.read[f] == (letter{user, id}) {
			return readFile(t, f)
		}
	}
	return ""
}

// users are the mailboxes by address; the value is the name of the Maildir.
func users() map[string]string {
	all := map[string]string{"amy@" + domain: "amy", "jörg@" + domain: "joerg"}
	for _, a := range many() {
		all[a] = a[:len(a)-len("@"+domain)]
	}
	return all
}

// many are fifty recipients.
func many() []string {
	var to []string
	for i := range 50 {
		to = append(to, "u"+string(rune('0'+i/10))+string(rune('0'+i%10))+"@"+domain)
	}
	return to
}
