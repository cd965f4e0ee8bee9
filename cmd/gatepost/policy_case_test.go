package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// caseFile is one file of testdata/policy: sections that each case after them has, until another of the kind comes.
type caseFile struct {
	archive *txtar.Archive
	cases   []*policyCase
}

// policyCase is one case: what is in force, what a sender does, and what is to be decided.
type policyCase struct {
	title              string
	line               int // of its decision
	zone, config, mail string
	envelope           string
	want               string
	section            int // its decision in the archive
}

// parseCases reads a file. A case is an envelope with the decision behind it.
func parseCases(text []byte) (*caseFile, error) {
	f := &caseFile{archive: txtar.Parse(text)}
	var now policyCase
	line := 1 + strings.Count(string(f.archive.Comment), "\n")
	for i, s := range f.archive.Files {
		kind, title, _ := strings.Cut(s.Name, " ")
		switch data := string(s.Data); kind {
		case "zone":
			now.zone = data
		case "config":
			now.config = data
		case "mail":
			now.mail = data
		case "envelope":
			now.envelope, now.title = data, title
		case "decision":
			c := now
			c.want, c.section, c.line = data, i, line
			f.cases = append(f.cases, &c)
		default:
			return nil, fmt.Errorf("line %d: unknown section %q", line, s.Name)
		}
		line += 1 + strings.Count(string(s.Data), "\n")
	}
	return f, nil
}

// decide puts a decision in place of the one that was there.
func (f *caseFile) decide(c *policyCase, got string) { f.archive.Files[c.section].Data = []byte(got) }

func (f *caseFile) text() []byte { return txtar.Format(f.archive) }

// modeWord stands in a config for the mode of the check at hand: such a case is played in all three.
const modeWord = "MODE"

// modes are those that the case is played in; one, without a name, where the config itself says so.
func (c *policyCase) modes() []string {
	if strings.Contains(c.config, modeWord) {
		return []string{"enforce", "monitor", "off"}
	}
	return []string{""}
}

// session is what one client does.
type senderSession struct {
	wait         time.Duration
	client       string
	early        bool   // it talks before the banner
	helo         string // the last one
	transactions []transactionOf
}

// transactionOf is one mail of a session.
type transactionOf struct {
	helo  string
	from  string // what follows MAIL FROM:
	rcpts []string
	mail  dressing
}

// dressing is what is done to the mail before it is sent.
type dressing struct {
	signs  []string // options of a DKIM signature, the last one on top
	tamper bool     // the body is changed behind that
}

// sessions reads an envelope. Each line is a word and what belongs to it; "client" begins a session, "from" a transaction, and "wait" tells
// how long the next session is waited with.
func (c *policyCase) sessions() ([]senderSession, error) {
	var all []senderSession
	var wait time.Duration
	for line := range strings.Lines(c.envelope) {
		word, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		arg = expand(strings.TrimSpace(arg))
		switch word {
		case "client":
			all = append(all, senderSession{wait: wait, client: arg, helo: "mail.shop.example"})
			wait = 0
			continue
		case "wait":
			wait, _ = time.ParseDuration(arg)
			continue
		}
		if word != "" && (len(all) == 0 || !all[len(all)-1].take(word, arg)) {
			return nil, fmt.Errorf("envelope: %q cannot stand here", strings.TrimSpace(line))
		}
	}
	return all, nil
}

// take takes one line of an envelope in; false where it makes no sense.
func (s *senderSession) take(word, arg string) bool {
	switch word {
	case "early":
		s.early = true
		return true
	case "helo":
		s.helo = arg
		return true
	case "from":
		s.transactions = append(s.transactions, transactionOf{helo: s.helo, from: arg})
		return true
	}
	if len(s.transactions) == 0 {
		return false
	}
	t := &s.transactions[len(s.transactions)-1]
	switch word {
	case "rcpt":
		t.rcpts = append(t.rcpts, arg)
	case "sign":
		t.mail.signs = append(t.mail.signs, arg)
	case "tamper":
		t.mail.tamper = true
	default:
		return false
	}
	return true
}

// repeated is {{"text"}} or {{"text" x 100}}, with the escapes of a Go string: what a case cannot well write out.
var repeated = regexp.MustCompile(`\{\{("(?:[^"\\]|\\.)*")(?: x (\d+))?\}\}`)

// expand writes out what stands in double braces.
func expand(text string) string {
	return repeated.ReplaceAllStringFunc(text, func(s string) string {
		m := repeated.FindStringSubmatch(s)
		what, err := strconv.Unquote(m[1])
		if err != nil {
			return s
		}
		n := 1
		if m[2] != "" {
			n, _ = strconv.Atoi(m[2])
		}
		return strings.Repeat(what, n)
	})
}
