package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatepost/policy"
	"gatepost/proxy/smtp"
)

// call is a session to play.
type call struct {
	client  netip.Addr
	helo    string
	from    string // "" for the null reverse-path
	rcpts   []string
	message []byte // its lines end in CR LF; nil: none is sent
}

// playTime bounds a session. Checks end by themselves long before.
const playTime = 5 * time.Minute

// fromClient is the proxy's end of a connection without a network. It shows another client than is there, and has a pipe for each
// way, so that the sender can stop talking and still listen.
type fromClient struct {
	net.Conn // to the sender
	in       net.Conn
	client   netip.Addr
}

// RemoteAddr is the client's address.
func (c fromClient) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.client, 40000))
}

// Read reads what the sender said.
func (c fromClient) Read(b []byte) (int, error) { return c.in.Read(b) }

// SetReadDeadline is for what the sender says.
func (c fromClient) SetReadDeadline(t time.Time) error { return c.in.SetReadDeadline(t) }

// SetDeadline is for both ways.
func (c fromClient) SetDeadline(t time.Time) error {
	return errors.Join(c.in.SetDeadline(t), c.Conn.SetDeadline(t))
}

// Close closes both ways.
func (c fromClient) Close() error { return errors.Join(c.in.Close(), c.Conn.Close()) }

// wire is the sender's end.
type wire struct {
	say, hear net.Conn
	done      <-chan struct{} // closed when the session has ended and all its records are there
}

// connect starts a session with the proxy.
func (h *rehearsal) connect(client netip.Addr) wire {
	say, in := net.Pipe()
	out, hear := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.server.ServeConn(fromClient{out, in, client}, h.listener)
	}()
	return wire{say, hear, done}
}

func (w wire) close() {
	w.say.Close()
	w.hear.Close()
}

// play plays a session and gives its records. An error is one of the rehearsal, never of the mail.
func (h *rehearsal) play(ctx context.Context, c call) ([]*policy.Record, error) {
	w := h.connect(c.client)
	defer context.AfterFunc(ctx, w.close)()
	end := time.Now().Add(playTime)
	w.say.SetDeadline(end)
	w.hear.SetDeadline(end)
	t := &talker{out: w.say, in: smtp.NewReader(w.hear)}
	err := t.session(c)
	w.close()
	<-w.done
	records := h.take()
	t.complete(records)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, errRefused) {
		return nil, err
	}
	return records, nil
}

// talker is the sender's side of a session.
type talker struct {
	out   io.Writer
	in    *smtp.Reader
	offer string     // what EHLO was answered
	ended smtp.Reply // the refusal that ended the session
	rcpts []refusedRcpt
}

// refusedRcpt is a recipient that was refused.
type refusedRcpt struct {
	address string
	reply   smtp.Reply
}

// errRefused ends a session that has nothing more to say.
var errRefused = errors.New("refused")

func (t *talker) session(c call) error {
	if _, err := t.hear(2); err != nil {
		return err
	}
	if err := t.greet(c.helo); err != nil {
		return err
	}
	if _, err := t.say(2, "MAIL FROM:<%s>%s", c.from, t.params(c)); err != nil {
		return err
	}
	taken := 0
	for _, rcpt := range c.rcpts {
		to := strings.Trim(rcpt, "<>")
		r, err := t.say(0, "RCPT TO:<%s>", to)
		if err != nil {
			return err
		}
		if r.Class() == 2 {
			taken++
		} else {
			t.rcpts = append(t.rcpts, refusedRcpt{to, r})
		}
	}
	if taken > 0 && c.message != nil {
		if err := t.content(c.message); err != nil {
			return err
		}
	}
	_, err := t.say(2, "QUIT")
	return err
}

// greet says EHLO, or HELO where that is refused.
func (t *talker) greet(name string) error {
	r, err := t.say(0, "EHLO %s", name)
	if err != nil || r.Class() == 2 {
		t.offer = r.Text
		return err
	}
	_, err = t.say(2, "HELO %s", name)
	return err
}

// params are the parameters of MAIL that the session needs.
func (t *talker) params(c call) string {
	params := ""
	add := func(want bool, word, param string) {
		if want && strings.Contains("\n"+t.offer+"\n", "\n"+word+"\n") {
			params += " " + param
		}
	}
	add(!isASCII(strings.Join(append(c.rcpts, c.from), "")), "SMTPUTF8", "SMTPUTF8")
	add(!isASCII(string(c.message)), "8BITMIME", "BODY=8BITMIME")
	return params
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// content sends the message by DATA.
func (t *talker) content(text []byte) error {
	if _, err := t.say(3, "DATA"); err != nil {
		return err
	}
	var dots smtp.Stuffer
	for _, piece := range append(dots.Split(nil, text), dots.End()) {
		if _, err := t.out.Write(piece); err != nil {
			return err
		}
	}
	_, err := t.hear(0)
	return err
}

// say sends a command and hears the reply, which has to be of a class; 0: of any.
func (t *talker) say(class int, format string, args ...any) (smtp.Reply, error) {
	if _, err := fmt.Fprintf(t.out, format+"\r\n", args...); err != nil {
		return smtp.Reply{}, err
	}
	return t.hear(class)
}

func (t *talker) hear(class int) (smtp.Reply, error) {
	r, err := smtp.ReadReply(t.in)
	if err == nil && (class > 0 && r.Class() != class || r.Code == 421) {
		t.ended, err = r, errRefused
	}
	return r, err
}

// complete adds to the records of the session the refusals that they do not tell of: of a command that is not well-formed nothing is
// recorded.
func (t *talker) complete(records []*policy.Record) {
	if len(records) == 0 {
		return
	}
	r := records[len(records)-1]
	for _, x := range records {
		if x.Sender != nil {
			r = x
		}
	}
	for _, x := range t.rcpts {
		reply := asSent(x.reply)
		if !slices.ContainsFunc(r.Recipients, func(rc policy.RecipientRecord) bool {
			return strings.EqualFold(rc.Address, x.address) || rc.Reply == reply
		}) {
			r.Recipients = append(r.Recipients, policy.RecipientRecord{Address: x.address, Verdict: replyVerdict(reply), By: "protocol", Reply: reply})
		}
	}
	told := slices.ContainsFunc(records, func(r *policy.Record) bool { return r.Reply.Code > 0 || len(r.Recipients) > 0 })
	if t.ended.Code > 0 && !told {
		r.By, r.Reply = "protocol", asSent(t.ended)
	}
}

// asSent is a reply as records have it, without the ref.
func asSent(r smtp.Reply) policy.Reply {
	if i := strings.LastIndex(r.Text, " ["); i >= 0 && isRef(r.Text[i+1:]) {
		r.Text = r.Text[:i]
	}
	return policy.Reply{Code: r.Code, Text: r.Text}
}

// interact lets a person speak SMTP. What is decided is told apart, as it comes.
func (h *rehearsal) interact(ctx context.Context, client netip.Addr, in io.Reader, out, talk io.Writer) error {
	x := explainer{rehearsal: h, paint: newPaint(talk)}
	h.told = func(r *policy.Record) { x.writeRecord(talk, r) }
	w := h.connect(client)
	defer context.AfterFunc(ctx, w.close)()
	x.writeDelays(talk)
	go speak(in, w.say)
	replies := bufio.NewScanner(w.hear)
	for replies.Scan() {
		fmt.Fprintln(out, printable(replies.Text()))
	}
	w.close()
	<-w.done
	return ctx.Err()
}

// speak brings what a person types, one write a line, so that nobody talks out of turn by hand; then it falls silent.
func speak(in io.Reader, say net.Conn) {
	defer say.Close()
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := io.WriteString(say, strings.TrimRight(line, "\r\n")+"\r\n"); err != nil {
			return
		}
	}
}
