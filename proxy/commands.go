package proxy

import (
	"bytes"
	"strconv"

	"gatepost/policy"
	"gatepost/proxy/smtp"
)

// command is a row of the table of verbs.
type command struct {
	phases phase // where it is legal; elsewhere it is answered 503
	arg    argRule
	idle   phase // where it brings no mail on
	run    func(s *session, arg []byte)
}

type argRule uint8

const (
	argAny argRule = iota
	argNone
	argNeeded
)

// commands is indexed by verb.
var commands = [...]command{
	smtp.Unknown:  {phaseAny, argAny, 0, func(s *session, _ []byte) { s.fail(replyUnknown) }},
	smtp.Helo:     {phaseAny, argNeeded, phaseAny &^ phaseStart, func(s *session, arg []byte) { s.hello(arg, false) }},
	smtp.Ehlo:     {phaseAny, argNeeded, phaseAny &^ phaseStart, func(s *session, arg []byte) { s.hello(arg, true) }},
	smtp.Mail:     {phaseReady, argNeeded, 0, (*session).mail},
	smtp.Rcpt:     {phaseMail, argNeeded, 0, (*session).rcpt},
	smtp.Data:     {phaseMail, argNone, 0, (*session).data},
	smtp.Bdat:     {phaseReady | phaseMail | phaseChunk, argNeeded, 0, (*session).bdat},
	smtp.Rset:     {phaseAny, argNone, phaseAny, (*session).rset},
	smtp.Noop:     {phaseAny, argAny, phaseAny, func(s *session, _ []byte) { s.reply(replyOK) }},
	smtp.Vrfy:     {phaseAny, argNeeded, phaseAny, func(s *session, _ []byte) { s.reply(replyVrfy) }},
	smtp.Help:     {phaseAny, argAny, phaseAny, func(s *session, _ []byte) { s.reply(replyHelp) }},
	smtp.Quit:     {phaseAny, argNone, 0, (*session).quit},
	smtp.StartTLS: {phaseReady, argNone, 0, (*session).startTLS},
	smtp.Expn:     {phaseAny, argAny, phaseAny, (*session).notHere},
	smtp.Etrn:     {phaseAny, argAny, phaseAny, (*session).notHere},
	smtp.Turn:     {phaseAny, argAny, phaseAny, (*session).notHere},
	smtp.Atrn:     {phaseAny, argAny, phaseAny, (*session).notHere},
	smtp.Send:     {phaseAny, argAny, phaseAny, (*session).notHere},
	smtp.Soml:     {phaseAny, argAny, phaseAny, (*session).notHere},
	smtp.Saml:     {phaseAny, argAny, phaseAny, (*session).notHere},
	smtp.Auth:     {phaseAny, argAny, phaseAny, (*session).notHere},
	smtp.Xclient:  {phaseStart | phaseReady, argNeeded, 0, (*session).xclient},
}

// command answers one command line.
func (s *session) command(line []byte) {
	if s.set.Transcript {
		s.note("C: ", line)
	}
	verb, arg, err := smtp.ParseCommand(line)
	s.verb = verb
	if s.refusedDT {
		if verb == smtp.Unknown || err != nil { // content that was sent although DATA was refused
			s.outOfTurn(smtp.Data, line)
			s.hangUp(replyTurn)
			return
		}
		s.refusedDT = false
	}
	c := &commands[verb]
	if s.phase&c.idle != 0 {
		if s.idleCmds++; s.idleCmds > s.set.Limits.IdleCommands {
			s.hangUp(replyIdleCmds)
			return
		}
	}
	switch {
	case err != nil:
		s.misspelt(asReply(err))
	case verb == smtp.Unknown && s.phase == phaseStart && foreign(line):
		s.fault("not-smtp")
		s.hangUp(replyNoMail)
	case s.phase&c.phases == 0:
		s.outOfSequence(verb, arg)
	case c.arg == argNone && len(arg) > 0:
		s.misspelt(replyNoArg)
	case c.arg == argNeeded && len(arg) == 0:
		s.misspelt(replyNeedArg)
	default:
		c.run(s, arg)
	}
}

// misspelt refuses a command for its form. Behind what was meant as DATA or BDAT there may be content, which never runs as commands.
func (s *session) misspelt(r smtp.Reply) {
	switch s.verb {
	case smtp.Data:
		s.refuseData(r)
	case smtp.Bdat: // how much follows is not known
		s.hangUp(r)
	default:
		s.fail(r)
	}
}

// asReply is the reply in an error of package smtp.
func asReply(err error) smtp.Reply {
	if r, ok := err.(smtp.Reply); ok {
		return r
	}
	return replyProxyFault
}

// foreign says whether a line is the start of another protocol: HTTP, which browsers can be made to speak to us, or a PROXY
// header from a peer that is not trusted with it.
func foreign(line []byte) bool {
	if n := len(line); n > 9 && string(line[n-9:n-3]) == " HTTP/" {
		return true
	}
	return bytes.HasPrefix(line, []byte("PROXY "))
}

// outOfSequence answers a command in a phase where it is not legal. Chunks promised by BDAT never run as commands.
func (s *session) outOfSequence(verb smtp.Verb, arg []byte) {
	text := "5.5.1 Not now: "
	switch {
	case s.phase == phaseStart:
		text += "send EHLO first"
	case s.phase == phaseReady:
		text += "send MAIL first"
	case s.phase == phaseChunk:
		text += "send the rest with BDAT, or RSET"
	default:
		text += "a transaction is open; send RSET to give it up"
	}
	if verb == smtp.Bdat {
		s.skipChunk(arg, smtp.Reply{Code: 503, Text: text})
		return
	}
	if verb == smtp.Data {
		s.refuseData(smtp.Reply{Code: 503, Text: text})
		return
	}
	s.fail(smtp.Reply{Code: 503, Text: text})
}

// inTurn says whether the sender waited for this reply, as it must with commands that change how the rest is read
// (RFC 2920 section 3.1). Where it did not, the session ends.
func (s *session) inTurn() bool {
	if s.r.Buffered() == 0 {
		return true
	}
	s.outOfTurn(s.verb, s.r.Peek(outOfTurnShown))
	s.hangUp(replyTurn)
	return false
}

// outOfTurnShown is how many octets are logged of what came out of turn.
const outOfTurnShown = 64

// outOfTurn notes that the sender did not wait for the reply to a command, and what it sent instead.
func (s *session) outOfTurn(behind smtp.Verb, sent []byte) {
	s.fault("pipelining")
	quoted := strconv.QuoteToASCII(string(sent[:min(len(sent), outOfTurnShown)]))
	s.srv.log.Info("the sender talks out of turn", "ref", s.ref(), "client", s.client.Addr(), "behind", behind, "sent", quoted[1:len(quoted)-1])
}

// hello answers HELO and EHLO (RFC 5321 section 4.1.1.1), which also reset.
func (s *session) hello(arg []byte, extended bool) {
	if !s.settled() {
		return
	}
	name, err := smtp.ParseHelo(arg)
	if err != nil {
		s.last = refusal{reply: asReply(err), by: "protocol", sent: excerpt(arg)}
		s.fail(s.last.reply)
		return
	}
	if !s.inTurn() {
		return
	}
	s.endTransaction(policy.EndAborted, "")
	if s.back != nil && (name != s.helo || extended != s.esmtp) { // it was told another name
		s.dropBackend()
	}
	s.helo, s.esmtp, s.phase, s.last = name, extended, phaseReady, refusal{}
	s.run.Helo(name, s.tls != "")
	if !extended {
		s.offer, s.sizeMax = smtp.Offer{}, s.set.Limits.MessageSize
		s.reply(smtp.Reply{Code: 250, Text: s.set.Hostname})
		return
	}
	s.ehloReply()
}

// ehloReply offers the extensions.
func (s *session) ehloReply() {
	offer, size := s.set.offer(s.tls != "")
	s.offer, s.sizeMax = offer, size
	b := make([]byte, 0, 256)
	b = append(b, s.set.Hostname...)
	b = append(b, "\nPIPELINING\nSIZE "...)
	b = strconv.AppendInt(b, size, 10)
	b = append(b, "\nENHANCEDSTATUSCODES\nCHUNKING"...)
	for _, x := range []struct {
		on   bool
		word string
	}{
		{offer.EightBit, "8BITMIME"}, {offer.UTF8, "SMTPUTF8"}, {offer.Binary, "BINARYMIME"}, {offer.DSN, "DSN"},
		{s.canTLS(), "STARTTLS"}, {offer.RequireTLS, "REQUIRETLS"}, {s.mayXClient(), "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"},
	} {
		if x.on {
			b = append(append(b, '\n'), x.word...)
		}
	}
	b = append(b, "\nLIMITS RCPTMAX="...) // RFC 9422 section 4
	b = strconv.AppendInt(b, int64(s.set.Limits.Recipients), 10)
	s.reply(smtp.Reply{Code: 250, Text: string(b)})
}

// rset answers RSET (RFC 5321 section 4.1.1.5).
func (s *session) rset([]byte) {
	if !s.settled() {
		return
	}
	s.endTransaction(policy.EndAborted, "")
	s.reply(replyOK)
}

// quit answers QUIT (RFC 5321 section 4.1.1.10).
func (s *session) quit([]byte) {
	if !s.settled() {
		return
	}
	s.endTransaction(policy.EndAborted, "")
	s.reply(replyBye)
	s.closing = true
}

// notHere answers what is known and not done here.
func (s *session) notHere([]byte) { s.fail(replyNotHere) }
