package journal

import (
	"bytes"
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

// errNoKey is a key that was cut short or written over.
var errNoKey = errors.New("it holds no key: put it back from a backup, or delete it, and who is hashed so far is found no more")

func readKey(dir string) ([]byte, error) {
	path := filepath.Join(dir, keyFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) < 16 {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errNoKey}
	}
	return key, nil
}

// makeKey reads the key, which is made where there is none yet. An empty file is none: a full disk leaves it so.
func makeKey(dir string) ([]byte, error) {
	path := filepath.Join(dir, keyFile)
	info, err := os.Stat(path)
	empty := err == nil && info.Size() == 0
	if !empty && !errors.Is(err, fs.ErrNotExist) {
		return readKey(dir)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	made, err := writeKey(dir)
	if err != nil {
		return nil, err
	}
	defer os.Remove(made)
	put := os.Link // never over a key that another has just put there
	if empty {
		put = os.Rename
	}
	if err := put(made, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return readKey(dir)
}

// writeKey writes a new key into a file of its own, whole and on the disk, and returns its path.
func writeKey(dir string) (path string, err error) {
	f, err := os.CreateTemp(dir, keyFile+".*")
	if err != nil {
		return "", err
	}
	key := make([]byte, 32)
	rand.Read(key) // it never fails
	_, err = f.WriteString(hex.EncodeToString(key) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = giveToOwner(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// hider is how a Reader looks for an address that may have been hashed. Without a key none has been. The error says that there is one
// which cannot be read.
func hider(dir string) (func(string) string, error) {
	key, err := readKey(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return plain, nil
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w: run it as root, or as the user that gatepost runs as", err)
	}
	if err != nil {
		return plain, fmt.Errorf("addresses may be stored as hashes, whose key cannot be read: %w", err)
	}
	f := &Filter{levels: Levels{Personal: PersonalHash}, key: key}
	return f.address, nil
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
// without the domain in their replies: so what was said is searched for that as well, of everybody in the record.
func (f *Filter) hidePeople(r *policy.Record) *policy.Record {
	hide := func(s string) string {
		if !strings.Contains(s, "@") {
			return s
		}
		return anAddress.ReplaceAllStringFunc(s, f.address)
	}
	c := withTexts(reflect.ValueOf(r), hide).Interface().(*policy.Record)
	p := f.people(r)
	for i := range c.Recipients {
		rc, was := &c.Recipients[i], r.Recipients[i].Address
		rc.Address = f.address(was)
		for _, text := range []*string{&rc.Reply.Text, &rc.BackendReply.Text, &rc.Intended.Text} {
			*text = p.hide(*text, was)
		}
	}
	c.Reply.Text, c.Note = p.hide(c.Reply.Text, ""), p.hide(c.Note, "")
	for i := range c.Transcript {
		c.Transcript[i] = p.hide(c.Transcript[i], "")
	}
	if r.Sender != nil {
		s := f.address(*r.Sender)
		c.Sender = &s
	}
	return c
}

// people are those of a record, as they are to be hidden.
type people struct {
	whole *strings.Replacer   // addresses that do not look like one, as with half a quoted string
	users map[string][]person // by the word that the local part begins with, "" for none
}

// person is one of them.
type person struct {
	address string
	local   []byte // in lower case
	hidden  string // what stands for the local part
}

// people are the sender and the recipients of a record.
func (f *Filter) people(r *policy.Record) people {
	var whole []string
	p := people{users: map[string][]person{}}
	add := func(address string) {
		hidden, local := f.address(address), lower(address)
		if at := strings.LastIndexByte(address, '@'); at >= 0 {
			local = local[:at]
		}
		if len(local) == 0 || hidden == address {
			return
		}
		if strings.Contains(address, "@") && anAddress.FindString(address) != address {
			whole = append(whole, address, hidden)
		}
		hidden, _, _ = strings.Cut(hidden, "@")
		first := string(local[:wordEnd(local)])
		p.users[first] = append(p.users[first], person{address, local, hidden})
	}
	for _, rc := range r.Recipients {
		add(rc.Address)
	}
	if r.Sender != nil {
		add(*r.Sender)
	}
	p.whole = strings.NewReplacer(whole...)
	return p
}

// hide hides everybody's address that does not look like one, and the local part of any where a text has that as a word. If two have the same, own is meant.
func (p people) hide(text, own string) string {
	if len(p.users) == 0 || text == "" {
		return text
	}
	text = p.whole.Replace(text)
	low := lower(text)
	var b strings.Builder
	for i := 0; i < len(text); {
		n := wordEnd(low[i:])
		if i == 0 || !isWord(text[i-1]) && text[i-1] != '@' { // behind it is a domain
			if who, ok := p.at(low[i:], low[i:i+n], own); ok {
				b.WriteString(who.hidden)
				i += len(who.local)
				continue
			}
		}
		n = max(n, 1)
		b.WriteString(text[i : i+n])
		i += n
	}
	return b.String()
}

// at is whose local part a text in lower case begins with, as a word; first is its first word. The longest is meant.
func (p people) at(text, first []byte, own string) (who person, ok bool) {
	for _, c := range p.users[string(first)] {
		rest, is := bytes.CutPrefix(text, c.local)
		if !is || len(rest) > 0 && isWord(rest[0]) || len(c.local) < len(who.local) || len(c.local) == len(who.local) && c.address != own {
			continue
		}
		who, ok = c, true
	}
	return who, ok
}

// wordEnd is how long the word is that a text begins with.
func wordEnd(text []byte) int {
	n := 0
	for n < len(text) && isWord(text[n]) {
		n++
	}
	return n
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
