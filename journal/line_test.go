package journal

import (
	"bufio"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"gatepost/policy"
)

// TestLine: a line is JSON that says what the record says, in printable text alone.
func TestLine(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	for range 50 {
		want := &policy.Record{}
		fill(reflect.ValueOf(want).Elem(), random)
		want.Time = noon()
		text, err := Line(want)
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.IndexFunc(strings.TrimSuffix(string(text), "\n"), func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Fatalf("not printable: %q", text[i:])
		}
		got := &policy.Record{}
		if err := json.Unmarshal(text, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
	}
}

// TestLineShippers is what a log shipper reads. A change of it wants another LineSchema.
func TestLineShippers(t *testing.T) {
	r := at(noon(), "R", "amy@example.com")
	r.Took, r.MessageID = 1500, "<m@x>"
	text, err := Line(r)
	want := `{"schema":1,"@timestamp":"2026-11-20T12:00:00.0000015Z","ecs.version":"8.17","event.dataset":"gatepost.journal","event.outcome":"success",` +
		`"event.duration":1500,"source.ip":"203.0.113.9","email.message_id":"<m@x>","time":"2026-11-20T12:00:00Z","ref":"R","session":"","listener":"",` +
		`"client":"203.0.113.9","sender":"a@shop.example","message_id":"<m@x>","recipients":[{"address":"amy@example.com","verdict":"accepted",` +
		`"reply":{"code":0,"text":""},"would":"none"}],"end":"delivered","took_ns":1500}` + "\n"
	if string(text) != want || err != nil {
		t.Errorf("%s, %v\nwant %s", text, err, want)
	}
	for end, want := range map[policy.End]string{policy.EndRefused: "failure", policy.EndUnknown: "unknown", policy.EndLost: "unknown", policy.EndDuplicate: "success"} {
		if got := ecsOutcome(&policy.Record{End: end}); got != want {
			t.Errorf("%s is %s", end, got)
		}
	}
}

// TestLines writes a file, which is moved away in between.
func TestLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.json")
	l, err := OpenLines(path, nil, discard())
	if err != nil {
		t.Fatal(err)
	}
	l.Append(at(noon(), "ONE"))
	until(t, "the first line", func() bool { n, _ := l.Counts(); return n == 1 })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	until(t, "the new file", func() bool { _, err := os.Stat(path); return err == nil })
	l.Append(at(noon(), "TWO"))
	l.Close()
	for name, want := range map[string]string{path + ".1": "ONE", path: "TWO"} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		n := 0
		for lines := bufio.NewScanner(f); lines.Scan(); n++ {
			var r policy.Record
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Ref != want {
				t.Errorf("%s: %s, %v", name, r.Ref, err)
			}
		}
		if n != 1 {
			t.Errorf("%s has %d lines", name, n)
		}
	}
}

// FuzzBody reads what may stand in a damaged file.
func FuzzBody(f *testing.F) {
	p := newPacker()
	for _, r := range sample(20) {
		body, err := p.pack(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append([]byte(nil), body...))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var u unpacker
		text, err := u.text(body)
		if err != nil {
			return
		}
		if r, err := decode(text); err == nil {
			if _, err := newPacker().pack(r); err != nil {
				t.Errorf("it can be read and not written: %v", err)
			}
		}
	})
}

// FuzzPersonal hides people in any text: an address of the envelope is nowhere afterwards.
func FuzzPersonal(f *testing.F) {
	f.Add("amy", "550 5.1.1 <amy@example.com>: amy unknown")
	f.Add(`"a b"`, `"a b"@example.com`)
	f.Fuzz(func(t *testing.T, local, text string) {
		address := local + "@example.com"
		r := at(noon(), "P", address, "bob@example.com")
		r.Recipients[0].Reply.Text, r.Recipients[1].Reply.Text, r.Reply.Text = text, text, text
		got := (&Filter{levels: Levels{Personal: PersonalDomain}}).Apply(r)
		if got.Recipients[0].Address != "@example.com" {
			t.Errorf("%q became %q", address, got.Recipients[0].Address)
		}
		if all := got.Recipients[0].Reply.Text + "\n" + got.Recipients[1].Reply.Text + "\n" + got.Reply.Text; local != "" && strings.Contains(all, address) && !strings.HasSuffix(local, "@") {
			t.Errorf("%q is still in %q", address, all)
		}
	})
}
