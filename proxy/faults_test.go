package proxy_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy/backend"
)

// faults are what a backend can do at a stage in place of its answer.
var faults = map[string]mailsink.Action{
	"hang":    {Hang: true},
	"close":   {Close: true},
	"reset":   {Reset: true},
	"421":     {Reply: "421 4.3.9 words of the backend", CloseAfter: true},
	"4xx":     {Reply: "450 4.3.9 words of the backend", CloseAfter: true},
	"5xx":     {Reply: "554 5.3.9 words of the backend", CloseAfter: true},
	"lines":   {Reply: "451-4.3.9 words\r\n451 4.3.9 of the backend", CloseAfter: true},
	"escapes": {Reply: "451 4.3.9 words\x1b[2J\x07 of the backend", CloseAfter: true},
	"short":   {Reply: "25", CloseAfter: true},
	"garbage": {Reply: "999 words\r\n", CloseAfter: true},
	"mixed":   {Reply: "250-words\r\n251 of the backend", CloseAfter: true},
	"half":    {Reply: "250-words\r\n", CloseAfter: true},
	"endless": {Endless: true},
	"million": {Reply: strings.Repeat("250-word\r\n", 100_000) + "250 end", CloseAfter: true},
	"long":    {Reply: "250 " + strings.Repeat("x", 1<<20), CloseAfter: true},
	"250":     {Reply: "250 2.0.0 fine"},
	"354":     {Reply: "354 go ahead"},
}

// matrix has for each stage and fault what the sender hears (REPLIES): code and status, or "own" for the backend's words with its
// code, "own 451" for its words with 451, "-" for a message that is delivered all the same. A "?" behind it: the record says unknown.
const matrix = `
stage    hang    close   reset   421      4xx     5xx     lines  escapes short   garbage mixed   half    endless million long    250     354
banner   4.4.2   4.4.2   .       4.4.1    4.4.1   4.4.1   4.4.1  4.4.1   4.3.0   4.3.0   4.3.0   4.4.2   4.3.0   4.3.0   4.3.0   4.3.0   4.3.0
ehlo     4.4.2   4.4.2   4.4.2   4.4.1    4.3.0   4.4.2   4.3.0  4.3.0   4.3.0   4.3.0   4.3.0   4.4.2   4.3.0   4.3.0   4.3.0   -       4.3.0
xclient  4.4.2   4.4.2   4.4.2   4.4.1    4.3.0   4.3.0   4.3.0  4.3.0   4.3.0   4.3.0   4.3.0   4.4.2   4.3.0   4.3.0   4.3.0   4.3.0   4.3.0
mail     4.4.2   4.4.2   4.4.2   own:451  own     own     own    own     4.3.0   4.3.0   4.3.0   4.4.2   4.3.0   4.3.0   4.3.0   -       4.3.0
rcpt     4.4.2   4.4.2   4.4.2   own:451  own     own     own    own     4.3.0   4.3.0   4.3.0   4.4.2   4.3.0   4.3.0   4.3.0   -       4.3.0
data     4.4.2   4.4.2   4.4.2   own:451  own     own     own    own     4.3.0   4.3.0   4.3.0   4.4.2   4.3.0   4.3.0   4.3.0   4.3.0   -
body     4.4.2?  4.4.2?  4.4.2?  own:451  own     own     own    own     4.3.0?  4.3.0?  4.3.0?  4.4.2?  4.3.0?  4.3.0?  4.3.0?  .       .
end      4.4.2?  4.4.2?  4.4.2?  own:451  own     own     own    own     4.3.0?  4.3.0?  4.3.0?  4.4.2?  4.3.0?  4.3.0?  4.3.0?  -       4.3.0?
rset     -       -       -       -        -       -       -      -       -       -       -       -       -       -       -       -       -
quit     -       -       -       -        -       -       -      -       -       -       -       -       -       -       -       -       -
`

// TestFaults plays a session against each fault at each stage: the sender hears what the matrix says, the session goes on, the
// record tells the end, the backend has the message exactly where a 250 was given, and nothing is left behind.
func TestFaults(t *testing.T) {
	rows := strings.Split(strings.TrimSpace(matrix), "\n")
	names := strings.Fields(rows[0])
	for _, row := range rows[1:] {
		cells := strings.Fields(row)
		for i, want := range cells[1:] {
			if want == "." { // a reset at once may also be seen as refused; for a yes before the end see TestEarlyYes
				continue
			}
			f := faultCase{stage: mailsink.Stage(cells[0]), fault: names[i+1], want: strings.TrimSuffix(want, "?"), unknown: strings.HasSuffix(want, "?")}
			t.Run(string(f.stage)+"/"+f.fault, func(t *testing.T) {
				t.Parallel()
				f.run(t)
			})
		}
	}
}

type faultCase struct {
	stage   mailsink.Stage
	fault   string
	want    string
	unknown bool
}

func (f faultCase) run(t *testing.T) {
	sink := &mailsink.Server{Extensions: []string{"PIPELINING", "8BITMIME", "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"},
		Fault: func(e mailsink.Event) mailsink.Action {
			if e.Stage == f.stage {
				return faults[f.fault]
			}
			return mailsink.Action{}
		}}
	back, stopSink, err := mailsink.Listen(sink)
	if err != nil {
		t.Fatal(err)
	}
	defer stopSink()
	p := start(t, behind(t, f.backend(back)), listenerPlain())
	defer p.atRest(t)
	defer p.stop()
	c := p.client(t)
	if got := f.session(c); !f.matches(got) {
		t.Errorf("the sender heard %q, want %s", got, f.want)
	}
	c.say("NOOP", "250 ")
	c.quit()
	p.stop()
	f.checkRecord(t, p.all(), sink)
	eventually(t, "the end of the backend's sessions", func() bool { return sink.Open() == 0 })
}

// backend waits long for everything but the stage that hangs.
func (f faultCase) backend(address string) backend.Settings {
	s := backend.Settings{Addresses: []string{address}}
	const short = 200 * time.Millisecond
	switch to := &s.Timeouts; {
	case f.fault != "hang":
	case f.stage == mailsink.StageBanner, f.stage == mailsink.StageEhlo, f.stage == mailsink.StageXClient:
		to.Banner = short
	case f.stage == mailsink.StageMail, f.stage == mailsink.StageRcpt:
		to.Command = short
	case f.stage == mailsink.StageData:
		to.Data = short
	default:
		to.Final, to.Reset = short, short
	}
	if f.stage == mailsink.StageXClient {
		s.ClientIP = backend.ClientIPXClient
	}
	return s
}

// session brings one message, and returns the reply that decided about it.
func (f faultCase) session(c *client) string {
	c.say("EHLO client.example", "250")
	if f.stage == mailsink.StageRset {
		c.say("MAIL FROM:<given-up@client.example>", "250 ")
		c.say("RCPT TO:<amy@example.com>", "250 ")
		c.say("RSET", "250 ")
	}
	c.say("MAIL FROM:<a@client.example>", "250 ")
	c.send("RCPT TO:<amy@example.com>\r\n")
	if got := c.reply(); got[0] != '2' {
		c.say("DATA", "554 5.5.1")
		c.say("RSET", "250 ")
		return got
	}
	c.say("DATA", "354 ")
	c.send("Subject: x\r\n\r\ny\r\n.\r\n")
	return c.reply()
}

// matches holds the reply against the cell.
func (f faultCase) matches(got string) bool {
	if !cleanReply(got) || !f.delivered() && !strings.HasSuffix(got, "]") {
		return false
	}
	own := faults[f.fault].Reply
	switch f.want {
	case "-":
		return strings.HasPrefix(got, "250 ")
	case "own", "own:451":
		code := own[:3]
		if f.want != "own" {
			code = "451"
		}
		return strings.HasPrefix(got, code) && strings.Contains(got, own[4:14])
	}
	return strings.HasPrefix(got, "451 "+f.want+" ")
}

func (f faultCase) delivered() bool { return f.want == "-" }

// cleanReply: no control byte of the backend reaches the sender.
func cleanReply(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f })
}

func (f faultCase) checkRecord(t *testing.T, records []*policy.Record, sink *mailsink.Server) {
	t.Helper()
	end, committed, verdict, count := policy.EndRefused, 0, policy.Deferred, 1
	switch {
	case f.unknown:
		end = policy.EndUnknown
	case f.delivered():
		end, committed, verdict = policy.EndDelivered, 1, policy.Accepted
	case f.fault == "5xx" && f.want == "own":
		verdict = policy.Rejected
	}
	if f.stage == mailsink.StageRset {
		count = 2
	}
	if len(records) != count {
		t.Fatalf("%d records, want %d", len(records), count)
	}
	r := records[count-1]
	if r.End != end || len(r.Recipients) != 1 || r.Recipients[0].Verdict != verdict {
		t.Errorf("record: end %s, recipients %+v, note %q; want %s, %s", r.End, r.Recipients, r.Note, end, verdict)
	}
	if n := sink.Committed(); n != committed && !(f.unknown && n == 1) {
		t.Errorf("%d messages committed, want %d", n, committed)
	}
}

// TestEarlyYes: a 2xx before the content was whole commits nothing, and is no 250 for the sender.
func TestEarlyYes(t *testing.T) {
	for _, reply := range []string{"250 2.0.0 taken", "354 more"} {
		sink := &mailsink.Server{Extensions: []string{"PIPELINING"}, Fault: func(e mailsink.Event) mailsink.Action {
			if e.Stage == mailsink.StageBody && e.Octets < 1000 {
				return mailsink.Action{Reply: reply, CloseAfter: true}
			}
			return mailsink.Action{}
		}}
		back, stopSink, err := mailsink.Listen(sink)
		if err != nil {
			t.Fatal(err)
		}
		p := start(t, behind(t, backend.Settings{Addresses: []string{back}}), listenerPlain())
		c := p.client(t)
		c.envelope()
		c.send("Subject: x\r\n\r\n" + strings.Repeat("a line of the body\r\n", 400_000) + ".\r\n")
		if got := c.reply(); !strings.HasPrefix(got, "451 4.") {
			t.Errorf("%s: the sender heard %q", reply, got)
		}
		c.quit()
		if n := sink.Committed(); n != 0 {
			t.Errorf("%s: %d messages committed", reply, n)
		}
		p.stop()
		p.atRest(t)
		stopSink()
	}
}

// TestUnreachable is about a backend where nobody listens.
func TestUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, behind(t, backend.Settings{Addresses: []string{ln.Addr().String()}}), listenerPlain())
	ln.Close() // not before: the proxy would get the same port, and be its own backend
	defer p.atRest(t)
	defer p.stop()
	c := p.client(t)
	c.say("EHLO client.example", "250")
	for i := range 3 {
		c.say(fmt.Sprintf("MAIL FROM:<%d@client.example>", i), "250 ")
		c.say("RCPT TO:<amy@example.com>", "451 4.4.1 ")
		c.say("RCPT TO:<bob@example.com>", "451 4.4.1 ")
		c.say("DATA", "554 5.5.1 ")
		c.say("RSET", "250 ")
	}
	c.quit()
	if n := len(p.all()); n != 3 {
		t.Errorf("%d records", n)
	}
}

// TestFallback: of two addresses the second serves while the first is dead.
func TestFallback(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
	back, stopSink, err := mailsink.Listen(sink)
	if err != nil {
		t.Fatal(err)
	}
	defer stopSink()
	p := start(t, behind(t, backend.Settings{Addresses: []string{dead.Addr().String(), back}}), listenerPlain())
	dead.Close()
	defer p.stop()
	c := p.client(t)
	c.envelope()
	c.say("x\r\n.", "250 ")
	c.quit()
	if n := sink.Committed(); n != 1 {
		t.Errorf("%d messages committed", n)
	}
}

// TestSenderGone: the sender that is gone before the end has sent nothing, and one that is gone after it may send the message
// again (hazard 80).
func TestSenderGone(t *testing.T) {
	tests := []struct {
		name, content string
		end           policy.End
		committed     int
	}{
		{"before the end", "Subject: x\r\n\r\nhalf a li", policy.EndLost, 0},
		{"in the end mark", "Subject: x\r\n\r\ny\r\n.\r", policy.EndLost, 0},
		{"after the end", "Subject: x\r\n\r\ny\r\n.\r\n", policy.EndDuplicate, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			gone := make(chan struct{})
			sink := &mailsink.Server{Extensions: []string{"PIPELINING"}, Fault: func(e mailsink.Event) mailsink.Action {
				if e.Stage == mailsink.StageEnd {
					<-gone
				}
				return mailsink.Action{}
			}}
			back, stopSink, err := mailsink.Listen(sink)
			if err != nil {
				t.Fatal(err)
			}
			p := start(t, behind(t, backend.Settings{Addresses: []string{back}}), listenerPlain())
			c := p.client(t)
			c.envelope()
			c.send(test.content)
			if test.committed > 0 {
				eventually(t, "the end at the backend", func() bool { return strings.Contains(strings.Join(sink.Log(), "\n"), " D: ") })
			}
			c.conn.(*net.TCPConn).SetLinger(0)
			c.conn.Close()
			close(gone)
			r := p.record()
			if r == nil || r.End != test.end {
				t.Errorf("record %+v, want end %s", r, test.end)
			}
			p.stop()
			p.atRest(t)
			stopSink()
			if n := sink.Committed(); n != test.committed {
				t.Errorf("%d messages committed, want %d", n, test.committed)
			}
		})
	}
}
