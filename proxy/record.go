package proxy

import (
	"bytes"
	"cmp"
	"strings"
	"time"

	"gatepost/policy"
)

// endTransaction closes the transaction that is open, if one is, and writes its record. end says why; it is
// refined by what is known.
func (s *session) endTransaction(end policy.End, note string) {
	s.settle()
	t := s.tx
	if t == nil {
		return
	}
	if t.opened {
		s.voidBackend()
	}
	if note != "" {
		t.note = note
	}
	if (end == policy.EndAborted || end == policy.EndLost) && !t.bound() && (len(t.rcpts) > 0 || s.last.reply.Code != 0) {
		end = policy.EndRefused
	}
	rec := s.newRecord(t.began)
	sender := cmp.Or(t.meant, t.from.String())
	rec.Sender, rec.End, rec.Note = &sender, end, t.note
	rec.Recipients = make([]policy.RecipientRecord, len(t.rcpts))
	for i := range t.rcpts {
		if r := &t.rcpts[i].rec; r.Verdict == policy.Tagged && (end == policy.EndAborted || end == policy.EndLost) {
			r.Verdict = policy.Undecided // a tag is of mail that goes on
		}
		rec.Recipients[i] = t.rcpts[i].rec
	}
	if sp := t.spool; sp != nil {
		rec.Size = sp.size
		m := &policy.Message{Head: sp.head()}
		rec.MessageID, rec.FromDomain, rec.ListID = identify(m)
		rec.Author = t.author
		if f, ok := m.Field("subject"); ok && s.set.Subject {
			rec.Subject = excerpt(f.Body())
		}
		sp.close()
	}
	s.write(rec)
	s.tx, s.refID, s.faults, s.last, s.script = nil, "", nil, refusal{}, nil
	s.run.Reset()
	if s.phase != phaseStart {
		s.phase = phaseReady
	}
}

// recordSession writes the record of a session, or of the rest of one, in which no transaction says what happened.
func (s *session) recordSession() {
	rec := s.newRecord(s.began)
	rec.End, rec.Note = policy.EndNone, s.last.sent
	rec.Recipients = []policy.RecipientRecord{}
	s.write(rec)
	s.last, s.faults, s.script = refusal{}, nil, nil
}

func (s *session) newRecord(began time.Time) *policy.Record {
	rec := &policy.Record{Time: began, Ref: s.ref(), Session: s.id, Listener: s.lis.Name, Client: s.client.Addr(),
		ClientName: s.name, Helo: s.helo, Proto: s.proto(), TLS: s.tls, Faults: s.faults, Policy: s.set.Policy.Hash, Reply: policy.Reply(s.last.reply), By: s.last.by, Where: s.last.where, Transcript: s.script, Took: time.Since(began)}
	if s.run != nil {
		rec.Findings = s.run.Findings()
	}
	return rec
}

func (s *session) write(rec *policy.Record) {
	s.recorded = true
	s.srv.record(rec)
}

// proto is the word for the protocol in Received (RFC 3848; RFC 6531 section 3.7.3).
func (s *session) proto() string {
	word := "ESMTP"
	switch {
	case s.helo == "":
		return ""
	case !s.esmtp:
		return "SMTP"
	case s.tx != nil && s.tx.params.UTF8:
		word = "UTF8SMTP"
	}
	if s.tls != "" {
		word += "S"
	}
	return word
}

// author is the domain of the message's author, for rules; "" where there is not exactly one.
func author(head []byte) string {
	boxes, err := policy.Authors(&policy.Message{Head: head})
	if err != nil || len(boxes) != 1 {
		return ""
	}
	d, _ := canonicalDomain(boxes[0].Domain)
	return d
}

// identify reads from the header what finds a message again: its Message-ID, the domain of its author, its list. It is no
// judgement: a strict look at From is the business of a check.
func identify(m *policy.Message) (id, fromDomain, list string) {
	for f := range policy.Fields(m.Head) {
		switch {
		case id == "" && f.Is("message-id"):
			id = excerpt(f.Body())
		case fromDomain == "" && f.Is("from"):
			fromDomain = lastDomain(f.Body())
		case list == "" && f.Is("list-id"):
			list = excerpt(f.Body())
		}
	}
	return id, fromDomain, list
}

// excerpt is a text on one line, such as the body of a field, at most 200 octets.
func excerpt(text []byte) string {
	b := bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\r\n"), nil))
	return string(b[:min(len(b), 200)])
}

// lastDomain is the domain behind the last @ of a From field.
func lastDomain(b []byte) string {
	i := bytes.LastIndexByte(b, '@')
	if i < 0 {
		return ""
	}
	b = b[i+1:]
	if n := bytes.IndexAny(b, "> \t\r\n,;()\""); n >= 0 {
		b = b[:n]
	}
	return strings.ToLower(string(b[:min(len(b), 255)]))
}
