package journal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"gatepost/policy"
)

// Personal is how much of an address is kept.
type Personal string

// The levels.
const (
	PersonalFull   Personal = "full"
	PersonalDomain Personal = "domain" // amy@example.com becomes @example.com
	PersonalHash   Personal = "hash"   // amy@example.com becomes #5f2c09d1a4be@example.com, always the same
)

// Transcript is which dialogues are kept.
type Transcript string

// The choices.
const (
	TranscriptNone    Transcript = "none"
	TranscriptRefused Transcript = "refused" // of transactions and sessions in which anything was refused
	TranscriptAll     Transcript = "all"
)

// Levels say what is kept of people. The zero Levels keep addresses in full, no subject and no transcript.
type Levels struct {
	Personal   Personal // "" is PersonalFull
	Subject    bool
	Transcript Transcript // "" is TranscriptNone
}

// Filter brings records down to what is to be kept. It is safe for concurrent use. A nil Filter is that of the zero Levels.
type Filter struct {
	levels Levels
	key    []byte // of the hashes
}

// NewFilter makes a filter. Where addresses are hashed it reads the key in dir, or makes one there; dir may be "" else. The error
// says that the key can be neither read nor made.
func NewFilter(l Levels, dir string) (*Filter, error) {
	f := &Filter{levels: l}
	if l.Personal != PersonalHash {
		return f, nil
	}
	if dir == "" {
		return nil, errors.New("hashed addresses want a journal.dir, for their key")
	}
	var err error
	f.key, err = makeKey(dir)
	return f, err
}

// keyFile is where the key of the hashes is. Without it nobody can tell whom a hash means.
const keyFile = "journal.key"

func readKey(dir string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) < 16 {
		return nil, fmt.Errorf("%s holds no key", filepath.Join(dir, keyFile))
	}
	return key, nil
}

// makeKey reads the key, which is made where there is none yet.
func makeKey(dir string) ([]byte, error) {
	if key, err := readKey(dir); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	rand.Read(key) // it never fails
	path := filepath.Join(dir, keyFile)
	if err := os.WriteFile(path, []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
		return nil, err
	}
	return key, giveToOwner(path)
}

// hider is how a Reader looks for an address that may have been hashed.
func hider(dir string) func(string) string {
	key, err := readKey(dir)
	if err != nil {
		return func(s string) string { return s }
	}
	f := &Filter{levels: Levels{Personal: PersonalHash}, key: key}
	return f.address
}

// Apply is a record with no more than is to be kept; it may be the record itself, which is never changed.
func (f *Filter) Apply(r *policy.Record) *policy.Record {
	if f == nil {
		f = &Filter{}
	}
	if r.Subject != "" && !f.levels.Subject || r.Transcript != nil && !f.wantsTranscript(r) {
		c := *r
		if !f.levels.Subject {
			c.Subject = ""
		}
		if !f.wantsTranscript(r) {
			c.Transcript = nil
		}
		r = &c
	}
	if f.levels.Personal == "" || f.levels.Personal == PersonalFull {
		return r
	}
	return f.hidePeople(r)
}

func (f *Filter) wantsTranscript(r *policy.Record) bool {
	switch f.levels.Transcript {
	case TranscriptAll:
		return true
	case TranscriptRefused:
		return r.Reply.Code >= 400 || slices.ContainsFunc(r.Recipients, func(rc policy.RecipientRecord) bool { return rc.Verdict >= policy.Deferred })
	}
	return false
}

// anAddress is what looks like an address in any text: too much rather than too little.
var anAddress = regexp.MustCompile(`("[^"]*"|[^\s<>()\[\],;"]+)@(\[[^\]]*\]|[^\s<>()\[\],;:"'@]+)`)

// hidePeople is a copy of a record in which every address is hidden, wherever it stands. Mail servers also name a user
// without the domain in their replies: so what they said is searched for that as well.
func (f *Filter) hidePeople(r *policy.Record) *policy.Record {
	hide := func(s string) string {
		if !strings.Contains(s, "@") {
			return s
		}
		return anAddress.ReplaceAllStringFunc(s, f.address)
	}
	c := withTexts(reflect.ValueOf(r), hide).Interface().(*policy.Record)
	for i := range c.Recipients {
		rc, was := &c.Recipients[i], r.Recipients[i].Address
		rc.Address = f.address(was)
		for _, text := range []*string{&rc.Reply.Text, &rc.BackendReply.Text, &rc.Intended.Text} {
			*text = f.hideUser(*text, was)
		}
		c.Note = f.hideUser(c.Note, was)
		for j := range c.Transcript {
			c.Transcript[j] = f.hideUser(c.Transcript[j], was)
		}
	}
	if r.Sender != nil {
		s := f.address(*r.Sender)
		c.Sender = &s
	}
	return c
}

// hideUser hides an address that does not look like one, as with half a quoted string, and the local part of it where a text has that as a word.
func (f *Filter) hideUser(text, address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 1 || text == "" {
		return text
	}
	text = strings.ReplaceAll(text, address, f.address(address))
	local := address[:at]
	var b strings.Builder
	for rest := text; ; {
		i := indexFold(rest, local)
		if i < 0 {
			return b.String() + rest
		}
		end := i + len(local)
		b.WriteString(rest[:i])
		if i > 0 && isWord(rest[i-1]) || end < len(rest) && (isWord(rest[end]) || rest[end] == '@') {
			b.WriteString(rest[i:end])
		} else {
			hidden, _, _ := strings.Cut(f.address(address), "@")
			b.WriteString(hidden)
		}
		rest = rest[end:]
	}
}

// indexFold is where s holds a word, in any case of ASCII letters; -1 where it does not.
func indexFold(s, word string) int {
	want := lower(word)
	for i := 0; i+len(want) <= len(s); i++ {
		if equalFold([]byte(s[i:i+len(want)]), want) {
			return i
		}
	}
	return -1
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c >= 0x80 || c == '_' || c == '#'
}

// address is an address as it is kept: its domain, behind nothing or behind a hash of the whole. The null reverse-path has nobody
// to hide.
func (f *Filter) address(address string) string {
	at := strings.LastIndexByte(address, '@')
	switch {
	case address == "", strings.EqualFold(address, "postmaster"): // RFC 5321 section 4.5.1: it is of no person
		return address
	case f.levels.Personal != PersonalHash && at < 0:
		return ""
	case f.levels.Personal != PersonalHash:
		return address[at:]
	}
	sum := hmac.New(sha256.New, f.key)
	sum.Write([]byte(addressKey(address)))
	hash := "#" + hex.EncodeToString(sum.Sum(nil))[:12]
	if at < 0 {
		return hash
	}
	return hash + address[at:]
}
