package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gatepost/policy"
	"gatepost/proxy/backend"
	"gatepost/proxy/smtp"
)

// transaction is what happens from MAIL to the end of the content.
type transaction struct {
	began   time.Time
	from    smtp.Address
	meant   string // as from, where that is no address
	params  smtp.MailParams
	target  *backend.Backend // the one backend; chosen by the first recipient that passed
	first   policy.Mailbox   // that recipient, whose data-stage policy is the transaction's
	rcpts   []recipient      // all that were tried
	taken   int              // of these, how many the backend took
	opened  bool             // MAIL was queued at the backend
	refusal smtp.Reply       // the refusal of the whole transaction: of MAIL by the backend, or for a fault of the backend
	note    string           // for the record
	spool   *spool
	verdict *policy.Decision // of the content, once it was asked for
	passing *content         // what of it goes on to the backend before all has come; nil: nothing
	dots    smtp.Decoder     // of content that comes by DATA
	chunks  *chunking        // by BDAT
	pace    pace             // of the content
	badHead smtp.Reply       // the refusal of the header, once that is whole
	author  string           // the domain of the message's author, likewise
	unknown bool             // what the backend did with the content is not known
}

// recipient is one RCPT of a transaction.
type recipient struct {
	addr   smtp.Address
	box    policy.Mailbox
	params smtp.RcptParams
	taken  bool
	rec    policy.RecipientRecord
}

// bound says whether a recipient is taken, and not refused after all.
func (t *transaction) bound() bool {
	return slices.ContainsFunc(t.rcpts, func(r recipient) bool { return r.taken })
}

// waiting is a reply that the sender is owed once those before it have come from the backend.
type waiting struct {
	what  waitFor
	reply smtp.Reply // of waitLocal
	index int        // of waitRcpt: in transaction.rcpts
}

type waitFor uint8

const (
	waitLocal waitFor = iota // nothing: our own reply, kept in order
	waitMail                 // the backend's reply to MAIL, which the sender does not see
	waitRcpt                 // the backend's reply to RCPT
)

// mail answers MAIL (RFC 5321 section 4.1.1.2). The backend hears of it with the first recipient that passes.
func (s *session) mail(arg []byte) {
	from, params, err := smtp.ParseMail(arg, s.offer)
	now := time.Now()
	if now.After(s.end) { // a line that came with the content before was not waited for
		s.hangUp(replyIdle)
		return
	}
	s.tx = &transaction{began: now, from: from, params: params}
	if err == nil {
		err = s.unwanted(params)
	} else {
		s.tx.meant = meant(arg)
	}
	if err != nil {
		s.last = refusal{reply: asReply(err), by: "protocol"}
		s.fail(s.last.reply)
		s.endTransaction(policy.EndRefused, "")
		return
	}
	s.phase = phaseMail
	s.run.Mail(mailbox(from), from.IsNull())
	s.reply(replyMailOK)
}

// unwanted is the reply to a message that is refused for what MAIL says of it.
func (s *session) unwanted(p smtp.MailParams) error {
	switch {
	case p.Size > s.sizeMax: // RFC 1870 section 6.1
		return replyTooLarge
	case p.Body == smtp.BodyBinaryMIME && !s.offer.Binary: // RFC 3030 section 3
		return replyNoBinary
	}
	return nil
}

// meant is what stands in the place of the path in an argument that was refused, for the record.
func meant(arg []byte) string {
	if _, path, ok := bytes.Cut(arg, []byte{':'}); ok {
		arg = bytes.TrimLeft(path, " \t")
	}
	path, _, _ := bytes.Cut(arg, []byte{' '})
	return excerpt(bytes.TrimSuffix(bytes.TrimPrefix(path, []byte{'<'}), []byte{'>'}))
}

// rcpt answers RCPT (RFC 5321 section 4.1.1.3): relay control, the policy, then the backend.
func (s *session) rcpt(arg []byte) {
	to, params, err := smtp.ParseRcpt(arg, s.offer, s.tx.params.UTF8)
	t := s.tx
	switch full := len(t.rcpts) >= s.set.Limits.Recipients; {
	case err != nil:
		s.refusedRcpt(meant(arg), asReply(err))
		s.fail(asReply(err))
		return
	case full:
		s.refusedRcpt(to.String(), replyRcptMax)
		s.refuse(replyRcptMax)
		return
	}
	t.rcpts = append(t.rcpts, recipient{addr: to, params: params, rec: policy.RecipientRecord{Address: to.String()}})
	i := len(t.rcpts) - 1
	target, box, err := s.set.Routes.route(to)
	if err != nil {
		s.refuseRcpt(i, asReply(err), "relay")
		return
	}
	if !s.fits(i, target, box) || !s.passes(i, box) {
		return
	}
	if err := s.openBackend(target, box); err != nil {
		s.refuseRcpt(i, asReply(err), "backend")
		return
	}
	t.rcpts[i].box = box
	s.back.Rcpt(to, params)
	s.wait = append(s.wait, waiting{what: waitRcpt, index: i})
}

// refusedRcpt notes a recipient that was refused for its form or its number. Of those over the limit the first one is noted.
func (s *session) refusedRcpt(address string, r smtp.Reply) {
	t := s.tx
	if len(t.rcpts) <= s.set.Limits.Recipients {
		t.rcpts = append(t.rcpts, recipient{rec: policy.RecipientRecord{Address: address}})
		t.rcpts[len(t.rcpts)-1].refused(r, "protocol")
	}
}

// fits says whether a recipient can share the transaction with those before it: one backend, one data-stage policy.
func (s *session) fits(i int, target *backend.Backend, box policy.Mailbox) bool {
	t := s.tx
	if t.target == nil || t.target == target && s.set.Policy.SameData(t.first, box) {
		return true
	}
	if !s.settled() {
		return false
	}
	switch {
	case t.taken == 0: // nobody is bound yet: begin anew for this one
		s.voidBackend()
		t.target, t.refusal = nil, smtp.Reply{}
		return true
	case t.target != target:
		s.refuseRcpt(i, replyOtherMTA, "proxy")
	default:
		s.refuseRcpt(i, replyOtherPolicy, "proxy")
	}
	return false
}

// passes asks the policy about a recipient.
func (s *session) passes(i int, box policy.Mailbox) bool {
	d := s.run.Rcpt(box)
	s.tx.rcpts[i].decided(d)
	for _, st := range d.Steps {
		if st.Finding.Stage == policy.StageRcpt {
			s.tx.rcpts[i].rec.Findings = append(s.tx.rcpts[i].rec.Findings, st.Finding)
		}
	}
	if d.Done < policy.Defer {
		return true
	}
	s.refuseRcpt(i, smtp.Reply(d.Reply), d.By)
	s.run.Answered(box, d.Reply)
	return false
}

// decided notes a decision of the policy in the record.
func (r *recipient) decided(d policy.Decision) {
	if d.Would > r.rec.Would { // what RCPT brought stands, unless the content brings worse
		r.rec.Would, r.rec.WouldBy, r.rec.Intended = d.Would, d.ByWho, policy.Reply{}
		if d.Would != d.Done {
			r.rec.Intended = d.Intent
		}
	}
	if d.Done > policy.None {
		r.rec.By, r.rec.Where = d.By, d.Where
	}
	if d.By != "" || r.rec.By == "" {
		r.rec.Mode = d.Mode()
	}
	if d.Rule != "" {
		r.rec.Rule = d.Rule
	}
	if d.Done == policy.Tag {
		r.rec.Verdict = policy.Tagged
	}
}

// refuseRcpt refuses one recipient and notes it.
func (s *session) refuseRcpt(i int, r smtp.Reply, by string) {
	s.tx.rcpts[i].refused(r, by)
	s.refuse(r)
	if r.Class() == 5 {
		s.countError()
	}
}

// refused notes the verdict that a reply comes to.
func (r *recipient) refused(reply smtp.Reply, by string) {
	r.taken = false
	if r.rec.By != by { // what a policy did before does not matter any more
		r.rec.By, r.rec.Where = by, ""
	}
	r.rec.Reply = policy.Reply(reply)
	r.rec.Verdict = policy.Deferred
	if reply.Class() == 5 {
		r.rec.Verdict = policy.Rejected
	}
}

// openBackend sees to it that MAIL of this transaction is queued at the target.
func (s *session) openBackend(target *backend.Backend, box policy.Mailbox) error {
	t := s.tx
	if t.refusal.Code != 0 {
		return t.refusal
	}
	if t.opened {
		return nil
	}
	t.target, t.first = target, box
	err := s.dial(target)
	if err == nil {
		err = s.keepable(t.params)
	}
	if err != nil {
		t.refusal = asReply(err)
		return t.refusal
	}
	t.opened = true
	s.back.Mail(t.from, t.params, max(t.params.Size, 0))
	s.wait = append(s.wait, waiting{what: waitMail})
	return nil
}

// dial makes s.back a live connection to the target.
func (s *session) dial(target *backend.Backend) error {
	if s.back != nil && s.back.Stale() {
		s.abortBackend()
	}
	if s.target != target {
		s.dropBackend()
	}
	if s.back != nil {
		s.told = true
		return nil
	}
	s.learnName()
	return s.connected(target, target.Open)
}

// connected takes the connection that open gives.
func (s *session) connected(target *backend.Backend, open func(context.Context, backend.Client) (*backend.Conn, error)) error {
	c, err := open(context.Background(), s.backendClient())
	if err != nil {
		return s.backendFault(err)
	}
	s.back, s.target, s.told = c, target, c.Reused()
	return nil
}

// learnName takes the client's host name from the check that confirms it.
func (s *session) learnName() {
	if s.name != "" {
		return
	}
	for _, f := range s.run.Findings() {
		if f.Check == "rdns" && f.Outcome == policy.Pass {
			s.name = f.Fact("name")
		}
	}
}

// keepable says whether the backend can keep what the sender asked for; what was offered may have changed since.
func (s *session) keepable(p smtp.MailParams) error {
	c := s.back.Caps()
	switch {
	case p.UTF8 && !c.UTF8:
		return replyNoUTF8
	case p.Body == smtp.BodyBinaryMIME && !(c.Binary && c.Chunking):
		return replyNoBinary
	case p.RequireTLS:
		if on, verified := s.back.TLS(); !on || !verified || !c.RequireTLS {
			return smtp.Reply{Code: 550, Text: "5.7.30 The server behind does not keep REQUIRETLS"} // RFC 8689 section 4.2.1
		}
	}
	return nil
}

// backendFault logs a fault of the backend, notes it for the record, and gives the reply for the sender. The connection is void.
func (s *session) backendFault(err error) error {
	reply := replyProxyFault
	if f, ok := errors.AsType[*backend.Fault](err); ok {
		reply = f.Reply
	}
	if s.tx != nil {
		s.tx.note = err.Error()
	}
	s.srv.log.Warn("the backend failed", "session", s.id, "ref", s.ref(), "error", err)
	s.abortBackend()
	return reply
}

// settle reads the replies that are awaited from the backend, and queues all that the sender is owed, in order.
func (s *session) settle() {
	if len(s.wait) == 0 {
		return
	}
	wait, closing := s.wait, s.closing
	s.wait = s.spare[:0]
	for i := range wait {
		if s.closing && !closing { // one of these replies was the last word
			s.abortBackend()
			break
		}
		switch w := &wait[i]; {
		case w.what == waitLocal:
			s.say(w.reply)
		case w.what == waitMail:
			s.mailReply(wait[i+1:])
		default:
			s.rcptReply(w.index)
		}
	}
	s.spare = wait[:0]
}

// settled is settle; false where one of the replies ended the session.
func (s *session) settled() bool {
	over := s.closing
	s.settle()
	return over || !s.closing
}

// mailReply takes the backend's reply to MAIL. A connection kept from an earlier transaction may have died since: then all is asked
// once more on a fresh one, for nothing has been answered yet (hazard 82).
func (s *session) mailReply(rest []waiting) {
	t := s.tx
	r, err := s.back.Reply()
	if s.told && (err != nil || r.Code == 421) {
		s.abortBackend()
		if err = s.again(rest); err == nil {
			r, err = s.back.Reply()
		}
	}
	switch {
	case err != nil:
		t.refusal = asReply(s.faultOnce(err))
	case r.Class() != 2:
		t.refusal = ownable(r)
	}
}

// again queues MAIL and the recipients that are awaited on a fresh connection.
func (s *session) again(rest []waiting) error {
	if err := s.connected(s.tx.target, s.tx.target.Dial); err != nil {
		return err
	}
	if err := s.keepable(s.tx.params); err != nil { // it may lead to another address
		s.dropBackend()
		return err
	}
	s.back.Mail(s.tx.from, s.tx.params, max(s.tx.params.Size, 0))
	for _, w := range rest {
		if w.what == waitRcpt {
			s.back.Rcpt(s.tx.rcpts[w.index].addr, s.tx.rcpts[w.index].params)
		}
	}
	return nil
}

// faultOnce is backendFault for an error that may have been turned into a reply already.
func (s *session) faultOnce(err error) error {
	if _, done := err.(smtp.Reply); done {
		return err
	}
	return s.backendFault(err)
}

// rcptReply takes the backend's reply to RCPT, which goes back to the sender word for word.
func (s *session) rcptReply(i int) {
	t := s.tx
	var r smtp.Reply
	lost := false
	if s.back != nil {
		got, err := s.back.Reply()
		if err != nil {
			if fault := asReply(s.backendFault(err)); t.refusal.Code == 0 { // a refusal of MAIL said why already
				t.refusal = fault
			}
		}
		r, lost = ownable(got), got.Code == 421 && t.refusal.Code == 0
	}
	if t.refusal.Code != 0 { // of MAIL, or a fault: what the backend says to RCPT then says nothing
		r = t.refusal
	}
	rc := &t.rcpts[i]
	if lost { // a 421: for this recipient its own words, for the transaction the end
		t.refusal = replyLost
	}
	rc.rec.Backend, rc.rec.BackendReply = t.target.Name(), policy.Reply(r)
	s.run.Answered(rc.box, policy.Reply(r))
	if r.Class() == 2 {
		rc.taken = true
		rc.rec.Reply = policy.Reply(r)
		t.taken++
		s.say(r)
		return
	}
	rc.refused(r, "backend")
	s.say(r.WithRef(s.ref()))
	if r.Class() == 5 {
		s.countError()
	}
}

// ownable is a backend's reply in a form that we can give as ours. A 2xx is a yes, told as 250 where it is not 251: another would mean
// something else to the sender. 421 would say that we close (RFC 5321 section 3.8), and 3xx says what does not fit.
func ownable(r smtp.Reply) smtp.Reply {
	switch {
	case r.Class() == 2 && r.Code != 251:
		r.Code = 250
	case r.Code == 421:
		r.Code = 451
	case r.Class() == 3 || r.Class() < 2:
		return smtp.Reply{Code: 451, Text: fmt.Sprintf("4.3.0 The server behind answered %d, which makes no sense here", r.Code)}
	}
	return r
}

// voidBackend ends the transaction at the backend, if one is open there; the connection is kept, unless the backend has content.
func (s *session) voidBackend() {
	switch {
	case s.back == nil || s.tx == nil || !s.tx.opened:
	case s.tx.passing != nil:
		s.abortBackend()
	default:
		s.back.Reset()
	}
	if s.tx != nil {
		s.tx.opened = false
	}
}

// abortBackend closes the backend connection; what is open there is void, for no end mark was sent.
func (s *session) abortBackend() {
	if s.back != nil {
		s.back.Abort()
		s.back = nil
	}
}

// dropBackend lets go of the backend connection; another session may use it.
func (s *session) dropBackend() {
	if s.back != nil {
		s.back.Release()
		s.back = nil
	}
}
