package headers

import (
	"bytes"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"

	"gatepost/policy"
)

// fault is one thing that is wrong with a header.
type fault struct {
	outcome policy.Outcome
	what    string // a clause of our own words: nothing of the header is in it
}

// header is what faults are told by.
type header struct {
	authors  []policy.Mailbox
	fromErr  error // of policy.Authors
	dates    []string
	ids      []string
	senders  int
	received int
	noFields int // lines
	isUTF8   bool
}

// read passes once over the header.
func read(m *policy.Message) *header {
	h := &header{isUTF8: utf8.Valid(m.Head)}
	h.authors, h.fromErr = policy.Authors(m)
	top := true
	for f := range policy.Fields(m.Head) {
		h.count(f, top)
		top = false
	}
	return h
}

// count takes one field in; top says that it is the first.
func (h *header) count(f policy.Field, top bool) {
	switch {
	case f.Name == nil && top && bytes.HasPrefix(f.Raw, []byte("From ")): // RFC 4155, the separator of a mailbox file
	case f.Name == nil:
		h.noFields++
	case f.Is("date"):
		h.dates = append(h.dates, text(f))
	case f.Is("message-id"):
		h.ids = append(h.ids, text(f))
	case f.Is("sender"):
		h.senders++
	case f.Is("received"):
		h.received++
	}
}

// text is a field's body without folding.
func text(f policy.Field) string {
	return strings.TrimSpace(strings.ReplaceAll(string(f.Body()), "\r\n", ""))
}

// faults are all that there are, the gravest first.
func (h *header) faults(maxReceived int) []fault {
	var all []fault
	add := func(is bool, outcome policy.Outcome, what string) {
		if is {
			all = append(all, fault{outcome, what})
		}
	}
	reason, _ := errors.AsType[policy.AuthorError](h.fromErr)
	// RFC 5322 section 3.6: one From field; RFC 6854 section 3: a group in it is for rare use only
	add(reason != "" && reason != policy.MalformedFrom, from, string(reason))
	add(domains(h.authors) > maxDomains, from, "the From field names authors of more than 5 domains")
	add(h.received > maxReceived, loop, fmt.Sprintf("it has %d Received fields", h.received))
	add(reason == policy.MalformedFrom, author, string(reason))
	add(len(h.authors) > 1 && h.senders != 1, author, "there are several authors and not one Sender field") // RFC 5322 section 3.6.2
	add(h.noFields > 0, malformed, "there are lines that are no field")                                     // RFC 5322 section 2.2
	what := one("Date", h.dates, isDate)
	add(what != "", date, what)
	what = one("Message-ID", h.ids, isMessageID)
	add(what != "", messageID, what)
	add(!h.isUTF8, charset, "there are octets that are no UTF-8") // RFC 6532 section 3.1
	return all
}

// maxDomains is how many domains the authors of a message may have: as many as DMARC can be asked about.
const maxDomains = 5

// domains is how many different ones there are.
func domains(authors []policy.Mailbox) int {
	seen := map[string]bool{}
	for _, a := range authors {
		seen[a.Domain] = true
	}
	return len(seen)
}

// one says what is wrong where not exactly one field of a name is there, or its form is not right (RFC 5322 section 3.6); else "".
func one(name string, bodies []string, isRight func(string) bool) string {
	switch {
	case len(bodies) == 0:
		return "there is no " + name + " field"
	case len(bodies) > 1:
		return "there is more than one " + name + " field"
	case !isRight(bodies[0]):
		return "the " + name + " field is malformed"
	}
	return ""
}

// maxBody is the longest body looked at, in octets: RFC 5322 section 2.1.1 allows lines of 998.
const maxBody = 998

func isDate(s string) bool {
	if len(s) > maxBody {
		return false
	}
	if _, err := time.Parse("Mon, 2 Jan 2006 15:04:05 -0700", s); err == nil { // that of nearly all, which ParseDate comes to late
		return true
	}
	_, err := mail.ParseDate(s) // RFC 5322 section 3.3, and the obsolete forms of it
	return err == nil
}

// isMessageID says whether s looks like <left@right>; what stands between the brackets is taken loosely.
func isMessageID(s string) bool {
	if len(s) > maxBody || len(s) < len("<a@b>") || s[0] != '<' || s[len(s)-1] != '>' {
		return false
	}
	left, right, ok := strings.Cut(s[1:len(s)-1], "@")
	return ok && left != "" && right != "" && !strings.ContainsAny(left+right, " \t<>")
}
