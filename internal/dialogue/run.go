package dialogue

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatepost/internal/mailsink"
)

// patience is how long a step that fails waits for what does not come; a step that holds never waits it out.
const patience = 5 * time.Second

// Run plays the dialogue against a connection of dial, and fails t at the first step that does not hold. record gives the
// last record as JSON, waiting for it where it must; nil where there is none.
func (s *Script) Run(t testing.TB, dial func() net.Conn, sink *mailsink.Server, record func() []byte) {
	t.Helper()
	if err := s.Play(dial, sink, record); err != nil {
		t.Fatal(err)
	}
}

// Play is Run without a test around it; the error names the line of the step that did not hold.
func (s *Script) Play(dial func() net.Conn, sink *mailsink.Server, record func() []byte) error {
	// What the file asks of the backend first must be in place before a connection is there.
	first := slices.IndexFunc(s.steps, func(st step) bool { return st.kind != '<' })
	if first < 0 {
		first = len(s.steps)
	}
	p := &player{sink: sink, record: record, sent: make(chan struct{})}
	if err := p.play(s.steps[:first]); err != nil {
		return err
	}
	p.conn = dial()
	p.in = bufio.NewReader(p.conn)
	close(p.sent) // nothing is on its way yet
	defer func() { _ = p.conn.Close(); <-p.sent }()
	return p.play(s.steps[first:])
}

func (p *player) play(steps []step) error {
	for _, st := range steps {
		if err := p.do(st); err != nil {
			return fmt.Errorf("line %d: %c: %w", st.line, st.kind, err)
		}
	}
	return nil
}

// player is a dialogue under way.
type player struct {
	conn   net.Conn
	in     *bufio.Reader
	sink   *mailsink.Server
	record func() []byte
	sent   chan struct{} // closed when the last group is written, or lost
	seen   int           // lines of the sink's log that B: steps went past
	gap    bool          // a "B: ..." came before
}

func (p *player) do(st step) error {
	text := st.texts[0]
	switch st.kind {
	case 'C':
		p.send(strings.Join(st.texts, ""))
		return nil
	case 'S':
		return p.reply(text)
	case '<':
		stage, action, err := fault(text)
		p.sink.Next(stage, action)
		return err
	case 'B':
		return p.backend(text)
	case 'N':
		return p.committed(text)
	case 'M':
		return p.content(st.texts)
	}
	return p.field(text)
}

// send writes in the background, since a proxy may answer and close before it has read everything. That a write failed
// shows in what comes back.
func (p *player) send(text string) {
	before, done := p.sent, make(chan struct{})
	p.sent = done
	go func() {
		defer close(done)
		<-before
		_, _ = io.WriteString(p.conn, text)
	}()
}

func (p *player) reply(want string) error {
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	got, err := p.in.ReadString('\n')
	if want == "<closed>" && got == "" && err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	// RFC 5321 section 2.3.8: CR LF and nothing else.
	line, whole := strings.CutSuffix(got, "\r\n")
	if err != nil || !whole || !matches(want, line) {
		return fmt.Errorf("got %q (%v), want %q", got, err, want)
	}
	return nil
}

// matches compares got with want, in which [REF] and a last ... are wild. Both may be any octets.
func matches(want, got string) bool {
	head, open := strings.CutSuffix(want, "...")
	parts := strings.Split(head, "[REF]")
	got, ok := strings.CutPrefix(got, parts[0])
	for _, part := range parts[1:] {
		if !ok || !startsWithRef(got) {
			return false
		}
		got, ok = strings.CutPrefix(got[len("[0123456789]"):], part)
	}
	return ok && (open || got == "")
}

func startsWithRef(s string) bool {
	const ref = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return len(s) >= 12 && s[0] == '[' && strings.Trim(s[1:11], ref) == "" && s[11] == ']'
}

func (p *player) backend(want string) error {
	switch want {
	case "...":
		p.gap = true
		return nil
	case "<none>":
		if i, got := next(p.sink.Log(), p.seen); i >= 0 {
			return fmt.Errorf("got %q, want nothing", got)
		}
		return nil
	}
	var failure error
	ok := p.await(func(log []string) bool {
		var found bool
		found, failure = p.find(log, want)
		return found || failure != nil
	})
	p.gap = false
	if !ok {
		return fmt.Errorf("got nothing that is %q", want)
	}
	return failure
}

// find looks for want in the log from where the last step left it: at the next line from a client, or behind a gap at
// any.
func (p *player) find(log []string, want string) (bool, error) {
	for from := p.seen; ; {
		i, got := next(log, from)
		if i < 0 {
			return false, nil
		}
		from = i + 1
		if matches(want, got) {
			p.seen = from
			return true, nil
		}
		if !p.gap {
			return false, fmt.Errorf("got %q, want %q", got, want)
		}
	}
}

// next finds the first line from a client in log[from:]; -1 where there is none.
func next(log []string, from int) (int, string) {
	for i := from; i < len(log); i++ {
		if who, text, _ := strings.Cut(log[i], ": "); strings.HasSuffix(who, " C") {
			return i, text
		}
	}
	return -1, ""
}

func (p *player) await(ok func(log []string) bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return p.sink.AwaitLog(ctx, ok)
}

// committed needs no waiting: a message counts before its sender is answered.
func (p *player) committed(want string) error {
	if got := strconv.Itoa(p.sink.Committed()); got != want {
		return fmt.Errorf("%s messages, want %s", got, want)
	}
	return nil
}

// trace is the octets of an M: <trace> line.
const trace = "<trace>\r\n"

// content compares the last message with texts: what stands before <trace>, some trace fields, what stands behind it.
func (p *player) content(texts []string) error {
	all := p.sink.Messages()
	if len(all) == 0 {
		return errors.New("no message")
	}
	got := all[len(all)-1].Content
	before, after := texts, []string(nil)
	i := slices.Index(texts, trace)
	if i >= 0 {
		before, after = texts[:i], texts[i+1:]
	}
	rest, okBefore := bytes.CutPrefix(got, []byte(strings.Join(before, "")))
	fields, okAfter := bytes.CutSuffix(rest, []byte(strings.Join(after, "")))
	if !okBefore || !okAfter || len(fields) > 0 != (i >= 0) || !traceFields(string(fields)) {
		return fmt.Errorf("got\n%q\nwant\n%q", got, texts)
	}
	return nil
}

// traceFields reports whether text is whole lines of header fields that a proxy puts on top.
func traceFields(text string) bool {
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(strings.ToLower(line), ":")
		known := slices.Contains([]string{"received", "authentication-results", "x-spam", "x-spam-reason"}, name)
		// RFC 5322 section 2.2.3: a line that begins with white space continues the field.
		if !known && line[0] != ' ' && line[0] != '\t' || !strings.HasSuffix(line, "\r\n") {
			return false
		}
	}
	return text == "" || text[0] != ' ' && text[0] != '\t'
}

func (p *player) field(text string) error {
	path, want, _ := strings.Cut(text, "=")
	if p.record == nil {
		return errors.New("there is no record")
	}
	// Numbers stay as they are written.
	in := json.NewDecoder(bytes.NewReader(p.record()))
	in.UseNumber()
	var v any
	if err := in.Decode(&v); err != nil {
		return err
	}
	for _, name := range strings.Split(path, ".") {
		v = member(v, name)
	}
	if got := fmt.Sprint(v); v == nil || !matches(want, got) {
		return fmt.Errorf("%s is %q, want %q", path, got, want)
	}
	return nil
}

// member gives one field of an object or one element of an array; nil where there is none.
func member(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		return v[name]
	case []any:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v) {
			return v[i]
		}
	}
	return nil
}
