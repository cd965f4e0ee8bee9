package proxy

import (
	"errors"
	"io"
	"os"
	"time"

	"gatepost/internal/socket"
	"gatepost/policy"
	"gatepost/proxy/backend"
	"gatepost/proxy/smtp"
)

// data answers DATA (RFC 5321 section 4.1.1.4).
func (s *session) data([]byte) {
	if !s.settled() {
		return
	}
	if r, refused := s.noContent(); refused {
		s.refuseData(r)
		return
	}
	if s.tx.params.Body == smtp.BodyBinaryMIME { // RFC 3030 section 3
		s.refuseData(replyNeedBdat)
		return
	}
	if !s.inTurn() {
		return
	}
	s.reply(replyGo)
	if s.flush() != nil {
		s.closing = true
		return
	}
	sp := s.openSpool()
	s.tx.pace = s.newPace()
	decode := s.tx.dots.Decode
	if s.receive(&s.tx.pace, -1, func(src []byte) (int, bool) { return sp.write(decode, src) }) {
		s.deliver()
	}
}

// openSpool makes the spool of the transaction, and lets the checks of the content begin when its header is there.
func (s *session) openSpool() *spool {
	t := s.tx
	t.spool = newSpool(&s.srv.memory, &s.set.Limits, s.maxSize())
	t.spool.begin = func(head []byte) io.Writer {
		t.author = author(head)
		if t.badHead = s.badHeader(head); t.badHead.Code != 0 {
			return nil
		}
		return s.run.Content(&policy.Message{Head: head, FromDomain: t.author})
	}
	t.spool.passOn = s.passOn
	return t.spool
}

// passOn brings to the backend what the spool keeps of a large message. Nothing of it counts there before its end, which is sent when the
// content has come whole and in form. It can do so where no more of the content can change the verdict.
func (s *session) passOn() error {
	t := s.tx
	if t.passing == nil && (s.back == nil || !s.run.Settled()) {
		return errNotYet
	}
	if t.badHead.Code != 0 || t.refusal.Code != 0 || s.misformed(t.faults()).Code != 0 {
		return errUnwanted
	}
	began := time.Now()
	defer func() { t.pace.until = t.pace.until.Add(time.Since(began)) }() // the sender does not wait for itself
	if t.passing == nil {
		msg, d := s.judge()
		if d.Done >= policy.Defer {
			return errUnwanted
		}
		t.passing = s.wrap(msg, d)
	}
	r, ok, err := s.back.Part(t.passing)
	t.passing.top = nil
	switch {
	case ok:
		return nil
	case err != nil:
		t.refusal = asReply(s.backendFault(err))
	default:
		t.refusal = ownable(r)
		s.answeredAll(t.refusal)
	}
	return errUnwanted
}

// faults are the faults of form in the content so far.
func (t *transaction) faults() smtp.Faults {
	if t.chunks != nil {
		return t.chunks.text.Faults
	}
	return t.dots.Faults
}

// answeredAll notes the backend's reply to the content.
func (s *session) answeredAll(r smtp.Reply) {
	for i := range s.tx.rcpts {
		if rc := &s.tx.rcpts[i]; rc.taken {
			rc.rec.BackendReply = policy.Reply(r)
		}
	}
}

// noContent says whether no content can be taken in this transaction, and the reply that says so. Recipients who were taken in vain are
// refused by it, for the record.
func (s *session) noContent() (smtp.Reply, bool) {
	switch t := s.tx; {
	case t.taken > 0 && t.refusal.Code == 0:
		return smtp.Reply{}, false
	case t.taken > 0:
		for i := range t.rcpts {
			if t.rcpts[i].taken {
				t.rcpts[i].refused(t.refusal, "backend")
			}
		}
		return t.refusal, true
	case len(t.rcpts) == 0:
		return smtp.Reply{Code: 503, Text: "5.5.1 Not now: send RCPT first"}, true
	}
	return replyNoRcpt, true // RFC 5321 section 3.3
}

// refuseData refuses DATA. A sender that sends the content all the same must not have it run as commands: what came in
// the same packet ends the session, and so does the first line that is no command.
func (s *session) refuseData(r smtp.Reply) {
	if s.r.Buffered() > 0 {
		s.outOfTurn(s.verb, s.r.Peek(outOfTurnShown))
		s.refuse(r)
		s.closing, s.linger = true, true
		return
	}
	s.fail(r)
	s.refusedDT = true
}

// maxSize is the largest content that is taken: ours, or what was offered by the backend.
func (s *session) maxSize() int64 {
	limit := s.set.Limits.MessageSize
	if s.back != nil {
		if c := s.back.Caps(); c.Size > 0 {
			limit = min(limit, c.Size)
		}
	}
	return limit
}

// pace is how one content comes in. By BDAT it is that of all the chunks together: none of them gets time anew.
type pace struct {
	until  time.Time     // when the content must be whole
	waited time.Duration // for its octets, not for the command of the next chunk
	got    int64         // octets
	kept   time.Time     // when the backend heard from us last
}

// newPace is that of content that begins now. It may end after the session should: what comes in well is not cut.
func (s *session) newPace() pace {
	now := time.Now()
	return pace{until: now.Add(s.set.Limits.DataTimeout), kept: now}
}

// receive reads content and hands it to take until take is done, or n octets have come (n < 0: no count). It says whether the
// content came whole; else the session is over.
func (s *session) receive(p *pace, n int64, take func(src []byte) (used int, done bool)) bool {
	defer s.r.Shrink()
	var got int64
	for n < 0 || got < n {
		s.keepBackend(p, time.Now())
		now := time.Now()
		deadline := s.dataDeadline(p, now)
		s.conn.SetReadDeadline(deadline)
		src, err := s.fill()
		p.waited += time.Since(now)
		if errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(deadline) {
			continue // a nudge that was meant for the command before
		}
		if err != nil {
			s.lostContent(err)
			return false
		}
		if n >= 0 {
			src = src[:min(int64(len(src)), n-got)]
		}
		used, done := take(src)
		s.r.Consume(used)
		got += int64(used)
		p.got += int64(used)
		if done {
			break
		}
	}
	return true
}

// fill gives what came in, after it has written what the sender is owed, if it must wait.
func (s *session) fill() ([]byte, error) {
	if s.r.Buffered() == 0 {
		if err := s.flush(); err != nil {
			return nil, err
		}
	}
	return s.r.Fill()
}

// keepAlive is how long a backend that has recipients is left without a sign while the content comes in; servers give up after five
// minutes (RFC 5321 section 4.5.3.2.7).
const keepAlive = time.Minute

// keepBackend gives a sign where the last one is that long ago. Behind DATA nothing but content can be one.
func (s *session) keepBackend(p *pace, now time.Time) {
	if now.Sub(p.kept) < keepAlive {
		return
	}
	p.kept = now
	if s.back == nil || s.tx == nil || !s.tx.opened {
		return
	}
	if s.tx.passing != nil {
		s.tx.spool.pass()
		return
	}
	if err := s.back.KeepAlive(); err != nil {
		s.tx.refusal = asReply(s.backendFault(err))
	}
}

// dataDeadline is when the next octets must have come: a block in time, the average rate kept, the whole in time.
func (s *session) dataDeadline(p *pace, now time.Time) time.Time {
	l := &s.set.Limits
	behind := p.waited - time.Duration(p.got/l.DataRate)*time.Second
	return earlier(now.Add(l.BlockTimeout-max(behind, 0)), p.until)
}

// earlier is the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// lostContent ends a session whose content did not come whole. The rest of it, should it come, is never read.
func (s *session) lostContent(err error) {
	s.closing = true
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.fault("too-slow")
		s.hangUp(replySlow)
	}
	if s.tx != nil {
		s.abortBackend() // hazard 80
		s.tx.opened = false
	}
	s.endTransaction(policy.EndLost, "the content did not come whole: "+err.Error())
}

// deliver judges content that has come whole, brings it to the backend, and answers the sender.
func (s *session) deliver() {
	dot := time.Now()
	t := s.tx
	f := t.faults()
	t.spool.end()
	s.noteFaults(f)
	if r := s.misformed(f); r.Code != 0 {
		s.refuseContent(r, "protocol")
		return
	}
	if t.badHead.Code != 0 {
		s.refuseContent(t.badHead, "protocol")
		return
	}
	msg, d := s.judge()
	if d.Done >= policy.Defer {
		s.refuseContent(smtp.Reply(d.Reply), d.By)
		return
	}
	if t.refusal.Code != 0 {
		s.refuseContent(t.refusal, "backend")
		return
	}
	if t.passing == nil {
		t.passing = s.wrap(msg, d)
	}
	s.relay(t.passing, dot)
}

// judge asks the policy about the content, once.
func (s *session) judge() (*policy.Message, policy.Decision) {
	t := s.tx
	msg := &policy.Message{Head: t.spool.head(), Size: t.spool.size, FromDomain: t.author}
	if t.verdict != nil {
		return msg, *t.verdict
	}
	d := s.run.Data(msg, t.first)
	t.verdict = &d
	for i := range t.rcpts {
		switch r := &t.rcpts[i]; {
		case !r.taken:
		case r.box == t.first:
			r.decided(d)
		default:
			r.decided(s.run.For(r.box))
		}
	}
	return msg, d
}

// noteFaults puts faults of form into the record.
func (s *session) noteFaults(f smtp.Faults) {
	for _, x := range []struct {
		on   bool
		word string
	}{{f.Near, "smuggling"}, {f.BareCR > 0, "bare-cr"}, {f.BareLF > 0, "bare-lf"}, {f.NUL > 0, "nul"}} {
		if x.on {
			s.fault(x.word)
		}
	}
}

// misformed is the reply to content that is refused for its form, or that could not be kept.
func (s *session) misformed(f smtp.Faults) smtp.Reply {
	switch sp := s.tx.spool; {
	case f.Near, f.BareCR > 0:
		return replyBareCR
	case f.BareLF > 0 && s.set.RejectBareLF:
		return replyBareLF
	case f.NUL > 0:
		return replyNUL
	case sp.full == errTooLarge:
		return replyTooLarge
	case sp.full == errHeadTooLarge:
		return replyHeadLarge
	case sp.full != nil && sp.full != errUnwanted:
		s.srv.log.Error("no room for content", "ref", s.ref(), "error", sp.full)
		return replyNoRoom
	}
	return smtp.Reply{}
}

// refuseContent refuses the message for all its recipients.
func (s *session) refuseContent(r smtp.Reply, by string) {
	t := s.tx
	for i := range t.rcpts {
		if t.rcpts[i].taken {
			t.rcpts[i].refused(r, by)
		}
	}
	s.refuse(r)
	end := policy.EndRefused
	if t.unknown {
		end = policy.EndUnknown
	}
	s.endTransaction(end, "")
}

// relay brings the content to the backend; its final reply is the sender's (promise 1).
func (s *session) relay(c *content, dot time.Time) {
	t := s.tx
	s.back.FinalBy(dot.Add(finalWithin))
	r, err := s.back.Send(c)
	t.opened = false
	if err != nil {
		if f, ok := errors.AsType[*backend.Fault](err); ok {
			t.unknown = f.Unknown
		}
		s.refuseContent(asReply(s.backendFault(err)), "backend")
		return
	}
	r = ownable(r)
	s.answeredAll(r)
	if r.Class() != 2 {
		s.refuseContent(r, "backend")
		return
	}
	s.delivered(r)
}

// finalWithin is when the sender hears at the latest, from its end of data on: before it gives up (RFC 5321 section 4.5.3.2.6: 10 minutes).
const finalWithin = 590 * time.Second

// delivered tells the sender that the backend has the message. Where that fails, or the sender has gone, it may send it again.
func (s *session) delivered(r smtp.Reply) {
	t := s.tx
	for i := range t.rcpts {
		if rc := &t.rcpts[i].rec; t.rcpts[i].taken {
			rc.Reply = policy.Reply(r)
			if rc.Verdict != policy.Tagged {
				rc.Verdict = policy.Accepted
			}
		}
	}
	s.idleCmds = 0
	s.refuse(r) // with the ref, which finds an accepted message too
	end := policy.EndDelivered
	if s.r.Buffered() == 0 && socket.Look(s.raw) == socket.Ended { // it gave up waiting; a reply can be written all the same
		end = policy.EndDuplicate
	}
	if s.flush() != nil {
		end, s.closing = policy.EndDuplicate, true
	}
	s.endTransaction(end, "")
}

// chunking is a transaction's content as it comes by BDAT (RFC 3030).
type chunking struct {
	text   smtp.Chunks
	binary bool
	failed smtp.Reply // the refusal of an earlier chunk
}

// bdat answers BDAT: the chunk is read whatever the answer is, so that it never runs as commands.
func (s *session) bdat(arg []byte) {
	if s.tx == nil {
		s.skipChunk(arg, smtp.Reply{Code: 503, Text: "5.5.1 Not now: send MAIL first"})
		return
	}
	if !s.settled() {
		return
	}
	if r, refused := s.noContent(); refused && s.tx.chunks == nil {
		s.skipChunk(arg, r)
		return
	}
	n, last, err := smtp.ParseBdat(arg)
	if err != nil { // how much follows is not known
		s.hangUp(asReply(err))
		return
	}
	if n == 0 && !last {
		if s.idleCmds++; s.idleCmds > s.set.Limits.IdleCommands {
			s.hangUp(replyIdleCmds)
			return
		}
	}
	s.phase = phaseChunk
	if s.takeChunk(n) {
		s.chunkDone(last)
	}
}

// takeChunk reads the n octets of a chunk into the spool.
func (s *session) takeChunk(n int64) bool {
	t := s.tx
	if t.chunks == nil {
		t.chunks = &chunking{binary: t.params.Body == smtp.BodyBinaryMIME}
		s.openSpool()
		t.pace = s.newPace()
	}
	decode := t.chunks.decode
	return s.receive(&t.pace, n, func(src []byte) (int, bool) { return t.spool.write(decode, src) })
}

// decode is the decoder of chunks.
func (c *chunking) decode(dst, src []byte) ([]byte, int, bool) {
	if c.binary {
		return append(dst, src...), len(src), false
	}
	return c.text.Decode(dst, src), len(src), false
}

// end decodes what the last chunk held back.
func (c *chunking) end(dst, _ []byte) ([]byte, int, bool) {
	if c.binary {
		return dst, 1, true
	}
	return c.text.End(dst), 1, true
}

// chunkDone answers a chunk, or the message with the last one.
func (s *session) chunkDone(last bool) {
	t := s.tx
	if last {
		t.spool.write(t.chunks.end, []byte{0})
		s.deliver()
		return
	}
	if t.spool.full != nil && t.chunks.failed.Code == 0 { // told at once, so that the sender may stop
		t.chunks.failed = s.misformed(smtp.Faults{})
	}
	if t.chunks.failed.Code != 0 {
		s.refuse(t.chunks.failed)
		return
	}
	s.reply(replyOK)
}

// skipChunk reads and drops the octets of a BDAT that is refused. All that is dropped in a session has one pace, and ends with it.
func (s *session) skipChunk(arg []byte, r smtp.Reply) {
	n, _, err := smtp.ParseBdat(arg)
	if err != nil {
		s.hangUp(asReply(err))
		return
	}
	if s.receive(&s.dropped, n, func(src []byte) (int, bool) { return len(src), false }) {
		s.fail(r)
	}
}
