package mailsink

import (
	"errors"
	"io"
	"net"
	"time"
)

// Stage is a moment in a session at which a fault can be put in.
type Stage string

// The stages. Those named for a command come when its line was read and before it is answered.
const (
	StageBanner   Stage = "banner" // before the greeting, behind the PROXY header
	StageEhlo     Stage = "ehlo"   // HELO too
	StageStartTLS Stage = "starttls"
	StageXClient  Stage = "xclient"
	StageMail     Stage = "mail"
	StageRcpt     Stage = "rcpt"
	StageData     Stage = "data" // the command
	StageBdat     Stage = "bdat" // before the answer to a chunk that is not the last
	StageBody     Stage = "body" // at each piece of content, be it of DATA or BDAT
	StageEnd      Stage = "end"  // before the final answer, be it to DATA or to BDAT LAST
	StageRset     Stage = "rset"
	StageNoop     Stage = "noop"
	StageQuit     Stage = "quit"
	StageOther    Stage = "other" // VRFY, unknown commands, broken lines
)

// Event tells Fault where a session is.
type Event struct {
	Session    int // 1 for the first connection
	Stage      Stage
	Line       string // the command line, without its end; "" where the stage has none
	Recipients int    // accepted so far in this transaction
	Octets     int64  // content read so far in this transaction
}

// Action says how to misbehave; the zero value is to behave. Delay comes first; then one of Hang, Stall, Close and Reset
// takes the place of the answer, or the answer is sent.
type Action struct {
	// Reply is sent in place of the sink's own answer, as it is; CR LF is added where it does not end in LF. Its code
	// decides as the own one would: a MAIL answered 450 did not happen, a DATA answered 250 reads no content, an end
	// answered 250 commits. At StageBody it is sent at once, and reading goes on.
	Reply string
	Raw   bool          // nothing is added to Reply
	Delay time.Duration // before anything else
	Drip  time.Duration // between the octets of the answer

	Hang    bool // no answer, ever; what comes in is read and dropped until the peer closes
	Stall   bool // no answer, ever, and nothing more is read: until Server.Close
	Close   bool // the connection is closed
	Reset   bool // it is closed by a TCP reset
	Endless bool // the first line of the answer is repeated as a continuation line (250-) until the peer closes

	CloseAfter bool // closed behind the answer
	ResetAfter bool // reset behind the answer

	Commit bool // at StageEnd: the message counts, whatever is answered or not
}

// silent reports whether the action leaves the peer without a complete answer.
func (a Action) silent() bool { return a.Hang || a.Stall || a.Close || a.Reset || a.Endless }

// errOver ends a session that is over on our part.
var errOver = errors.New("session over")

// Next puts a in line for the next event of that stage, ahead of Fault. Several for one stage are taken in turn.
func (s *Server) Next(stage Stage, a Action) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = make(map[Stage][]Action)
	}
	s.next[stage] = append(s.next[stage], a)
}

func (s *Server) action(e Event) Action {
	s.mu.Lock()
	queue := s.next[e.Stage]
	if len(queue) > 0 {
		s.next[e.Stage] = queue[1:]
		s.mu.Unlock()
		return queue[0]
	}
	s.mu.Unlock()
	if s.Fault == nil {
		return Action{}
	}
	return s.Fault(e)
}

// ask finds the action for this moment and waits its delay.
func (c *session) ask(stage Stage, line string) (Action, error) {
	a := c.sink.action(Event{
		Session: c.id, Stage: stage, Line: line,
		Recipients: len(c.tx.Recipients), Octets: c.octets,
	})
	if a.Delay <= 0 {
		return a, nil
	}
	// Answers already given must not wait along.
	c.out.flush()
	select {
	case <-time.After(a.Delay):
		return a, nil
	case <-c.ctx.Done():
		return a, errOver
	}
}

// answer sends own, or what the fault of the stage puts in its place, and gives back what was sent. An error ends the
// session.
func (c *session) answer(stage Stage, line, own string) (string, error) {
	a, err := c.ask(stage, line)
	if err != nil {
		return "", err
	}
	if a.Reply != "" {
		own = a.Reply
	}
	return own, c.perform(a, own)
}

// perform carries out a, with reply as the answer where one is to be sent; "" sends none.
func (c *session) perform(a Action, reply string) error {
	switch {
	case a.Hang:
		return c.hang()
	case a.Stall:
		return c.stall()
	case a.Close:
		return errOver
	case a.Reset:
		return c.reset()
	case a.Endless:
		return c.endless(reply)
	}
	if reply != "" {
		c.send(reply, a.Raw, a.Drip)
	}
	switch {
	case a.ResetAfter:
		return c.reset()
	case a.CloseAfter:
		return errOver
	}
	return nil
}

func (c *session) hang() error {
	c.sink.note(c.id, 'E', "hang")
	_, _ = io.Copy(io.Discard, c.in)
	return errOver
}

func (c *session) stall() error {
	c.sink.note(c.id, 'E', "stall")
	c.out.flush()
	<-c.ctx.Done()
	return errOver
}

// reset makes the coming close a TCP reset; on another kind of connection it stays a plain close.
func (c *session) reset() error {
	c.sink.note(c.id, 'E', "reset")
	c.out.drain()
	if t, ok := c.socket.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.socket.Close()
	return errOver
}

func (c *session) endless(reply string) error {
	c.sink.note(c.id, 'E', "endless")
	line := []byte("250-and so on\r\n")
	if len(reply) >= 3 {
		line = []byte(reply[:3] + "-and so on\r\n")
	}
	c.out.flush()
	for c.out.put(parcel{text: line}) {
	}
	return errOver
}

// class gives the first digit of a reply: '2', '3', '4' or '5', and 0 for what is no reply.
func class(reply string) byte {
	if len(reply) < 3 || reply[0] < '2' || reply[0] > '5' {
		return 0
	}
	for _, d := range []byte(reply[1:3]) {
		if d < '0' || d > '9' {
			return 0
		}
	}
	if len(reply) > 3 && reply[3] != ' ' && reply[3] != '-' && reply[3] != '\r' && reply[3] != '\n' {
		return 0
	}
	return reply[0]
}
