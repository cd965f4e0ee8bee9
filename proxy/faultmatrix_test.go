package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy/backend"
	"gatepost/proxy/smtp"
)

// faults are what a backend can do at a stage in place of its answer. "refuse" is to close the connection, and to take no other one.
var faults = map[string]mailsink.Action{
	"refuse":  {Close: true},
	"hang":    {Hang: true},
	"drip":    {Drip: 30 * time.Millisecond}, // an octet in time, the whole too late
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
// code, "own:451" for its words with 451, "-" for a message that is delivered all the same. A "?" behind it: the record says unknown.
// A reset of a connection that was just made may be seen as refused or as lost.
const matrix = `
stage    refuse hang   drip   close  reset  421     4xx   5xx   lines escapes short  garbage mixed  half   endless million long   250   354
banner   4.4.1  4.4.2  4.4.2  4.4.2  4.4.   4.4.1   4.4.1 4.4.1 4.4.1 4.4.1   4.3.0  4.3.0   4.3.0  4.4.2  4.3.0   4.3.0   4.3.0  4.3.0 4.3.0
ehlo     4.4.2  4.4.2  4.4.2  4.4.2  4.4.2  4.4.1   4.3.0 4.4.2 4.3.0 4.3.0   4.3.0  4.3.0   4.3.0  4.4.2  4.3.0   4.3.0   4.3.0  -     4.3.0
starttls 4.4.2  4.4.2  4.4.2  4.4.2  4.4.2  4.4.1   4.7.5 4.7.5 4.7.5 4.7.5   4.3.0  4.3.0   4.3.0  4.4.2  4.3.0   4.3.0   4.3.0  4.7.5 4.7.5
xclient  4.4.2  4.4.2  4.4.2  4.4.2  4.4.2  4.4.1   4.3.0 4.3.0 4.3.0 4.3.0   4.3.0  4.3.0   4.3.0  4.4.2  4.3.0   4.3.0   4.3.0  4.3.0 4.3.0
mail     4.4.2  4.4.2  4.4.2  4.4.2  4.4.2  own:451 own   own   own   own     4.3.0  4.3.0   4.3.0  4.4.2  4.3.0   4.3.0   4.3.0  -     4.3.0
rcpt     4.4.2  4.4.2  4.4.2  4.4.2  4.4.2  own:451 own   own   own   own     4.3.0  4.3.0   4.3.0  4.4.2  4.3.0   4.3.0   4.3.0  -     4.3.0
data     4.4.2  4.4.2  4.4.2  4.4.2  4.4.2  own:451 own   own   own   own     4.3.0  4.3.0   4.3.0  4.4.2  4.3.0   4.3.0   4.3.0  4.3.0 -
body     4.4.2? 4.4.2? 4.4.2? 4.4.2? 4.4.2? own:451 own   own   own   own     4.3.0? 4.3.0?  4.3.0? 4.4.2? 4.3.0?  4.3.0?  4.3.0? .     .
end      4.4.2? 4.4.2? 4.4.2? 4.4.2? 4.4.2? own:451 own   own   own   own     4.3.0? 4.3.0?  4.3.0? 4.4.2? 4.3.0?  4.3.0?  4.3.0? -     4.3.0?
rset     4.4.1  -      -      -      -      -       -     -     -     -       -      -       -      -      -       -       -      -     -
quit     -      -      -      -      -      -       -     -     -     -       -      -       -      -      -       -       -      -     -
`

// TestFaultMatrix plays a session against each fault at each stage: the sender hears what the matrix says and gets its next mail
// through, the records tell both ends, the backend has exactly the messages for which a 250 was given, and nothing is left behind
// (hazard 77).
func TestFaultMatrix(t *testing.T) {
	cert := certificate(t)
	rows := strings.Split(strings.TrimSpace(matrix), "\n")
	names := strings.Fields(rows[0])
	for _, row := range rows[1:] {
		cells := strings.Fields(row)
		if len(cells) != len(names) || len(names) != len(faults)+1 {
			t.Fatalf("%d cells for %d faults: %s", len(cells)-1, len(faults), row)
		}
		for i, want := range cells[1:] {
			if want == "." { // a yes before the end: see TestEarlyYes
				continue
			}
			f := &faultCase{stage: mailsink.Stage(cells[0]), fault: names[i+1], want: strings.TrimSuffix(want, "?"), unknown: strings.HasSuffix(want, "?"), cert: cert}
			t.Run(string(f.stage)+"/"+f.fault, f.run)
		}
	}
}

// faultCase is a cell of the matrix.
type faultCase struct {
	stage   mailsink.Stage
	fault   string
	want    string
	unknown bool
	cert    *tls.Config

	ln      net.Listener // of the backend
	mended  atomic.Bool  // the fault is over
	replies []string     // those that decided about a message
}

func (f *faultCase) run(t *testing.T) {
	others, before := goleak.IgnoreCurrent(), descriptors()
	sink := f.sink()
	p := f.start(t, sink)
	c := p.client(t)
	f.session(c)
	c.quit()
	p.stop()
	f.ln.Close()
	eventually(t, "the end of the backend's sessions", func() bool { return sink.Open() == 0 })
	p.atRest(t)
	goleak.VerifyNone(t, others)
	eventually(t, "as few descriptors as before", func() bool { return descriptors() <= before })
	if !f.matches(f.replies[0]) {
		t.Errorf("the sender heard %q, want %s", f.replies[0], f.want)
	}
	f.checkNext(t)
	f.checkRecords(t, p.all())
	f.checkCommitted(t, sink.Committed())
}

// sink is the backend.
func (f *faultCase) sink() *mailsink.Server {
	s := &mailsink.Server{Extensions: []string{"PIPELINING", "8BITMIME", "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"}, Fault: f.action}
	if f.stage == mailsink.StageStartTLS {
		s.TLS = f.cert
	}
	return s
}

func (f *faultCase) action(e mailsink.Event) mailsink.Action {
	if e.Stage != f.stage || f.mended.Load() {
		return mailsink.Action{}
	}
	if f.fault == "refuse" {
		f.ln.Close()
	}
	a := faults[f.fault]
	if f.stage == mailsink.StageBody && f.fault == "drip" { // there is no answer yet that could drip
		a.Reply, a.CloseAfter = "451 4.3.9 words of the backend", true
	}
	return a
}

// start runs the backend and the proxy before it.
func (f *faultCase) start(t *testing.T, sink *mailsink.Server) *running {
	var err error
	if f.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p := start(t, behind(t, f.settings()), listenerPlain())
	if f.stage == mailsink.StageBanner && f.fault == "refuse" {
		f.ln.Close() // not before: the proxy would get the same port, and be its own backend
	} else {
		go sink.Serve(f.ln)
	}
	return p
}

// settings wait long for everything but the stage that is too slow.
func (f *faultCase) settings() backend.Settings {
	s := backend.Settings{Addresses: []string{f.ln.Addr().String()}}
	switch f.stage {
	case mailsink.StageXClient:
		s.ClientIP = backend.ClientIPXClient
	case mailsink.StageStartTLS:
		pool := x509.NewCertPool()
		cert, _ := x509.ParseCertificate(f.cert.Certificates[0].Certificate[0])
		pool.AddCert(cert)
		s.TLS, s.TLSConfig = backend.TLSRequired, &tls.Config{RootCAs: pool, ServerName: "mx.example.com"}
	}
	const short = 200 * time.Millisecond
	switch to := &s.Timeouts; {
	case f.fault != "hang" && f.fault != "drip":
	case f.stage == mailsink.StageMail, f.stage == mailsink.StageRcpt:
		to.Command = short
	case f.stage == mailsink.StageData:
		to.Data = short
	case f.stage == mailsink.StageBody, f.stage == mailsink.StageEnd:
		to.Final = short
	case f.stage == mailsink.StageRset:
		to.Reset = short
	default:
		to.Banner = short
	}
	return s
}

// session brings a message while there is the fault, and another one afterwards.
func (f *faultCase) session(c *client) {
	c.say("EHLO client.example", "250")
	if f.stage == mailsink.StageRset {
		c.say("MAIL FROM:<given-up@client.example>", "250 ")
		c.say("RCPT TO:<amy@example.com>", "250 ")
		c.say("RSET", "250 ")
	}
	f.message(c)
	if f.stage != mailsink.StageQuit { // which comes last of all
		f.mended.Store(true)
	}
	f.message(c)
}

// message brings one, and keeps the reply that decided about it.
func (f *faultCase) message(c *client) {
	c.say("MAIL FROM:<a@client.example>", "250 ")
	c.send("RCPT TO:<amy@example.com>\r\n")
	got := c.reply()
	if strings.HasPrefix(got, "2") {
		c.say("DATA", "354 ")
		c.send("Subject: x\r\n\r\ny\r\n.\r\n")
		got = c.reply()
	} else {
		c.say("DATA", "554 5.5.1")
		c.say("RSET", "250 ")
	}
	f.replies = append(f.replies, got)
}

// matches holds a reply against the cell.
func (f *faultCase) matches(got string) bool {
	if !cleanReply(got) || !strings.HasSuffix(got, "]") {
		return false
	}
	own := faults[f.fault].Reply
	switch f.want {
	case "-":
		return strings.HasPrefix(got, "250 ")
	case "own":
		return strings.HasPrefix(got, own[:3]) && strings.Contains(got, own[4:14])
	case "own:451":
		return strings.HasPrefix(got, "451 "+own[4:14])
	}
	return strings.HasPrefix(got, "451 "+f.want)
}

func (f *faultCase) delivered() bool { return f.want == "-" }

// gone says whether the backend is still away when the second message comes.
func (f *faultCase) gone() bool { return f.fault == "refuse" && f.stage != mailsink.StageQuit }

// cleanReply: no control byte of the backend reaches the sender.
func cleanReply(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f })
}

func (f *faultCase) checkNext(t *testing.T) {
	t.Helper()
	want := "250 "
	if f.gone() {
		want = "451 4.4.1 "
	}
	if !strings.HasPrefix(f.replies[1], want) {
		t.Errorf("for its next mail the sender heard %q, want %s", f.replies[1], want)
	}
}

// checkRecords: one for each transaction, and those of the messages say what the sender heard.
func (f *faultCase) checkRecords(t *testing.T, records []*policy.Record) {
	t.Helper()
	if f.stage == mailsink.StageRset && len(records) == 3 {
		if records[0].End != policy.EndAborted {
			t.Errorf("the one that was given up is recorded as %s", records[0].End)
		}
		records = records[1:]
	}
	if len(records) != 2 {
		t.Fatalf("%d records, want 2", len(records))
	}
	end, verdict := policy.EndRefused, policy.Deferred
	switch {
	case f.unknown:
		end = policy.EndUnknown
	case f.delivered():
		end, verdict = policy.EndDelivered, policy.Accepted
	case f.fault == "5xx" && f.want == "own":
		verdict = policy.Rejected
	}
	f.checkRecord(t, records[0], f.replies[0], end, verdict)
	end, verdict = policy.EndDelivered, policy.Accepted
	if f.gone() {
		end, verdict = policy.EndRefused, policy.Deferred
	}
	f.checkRecord(t, records[1], f.replies[1], end, verdict)
}

func (f *faultCase) checkRecord(t *testing.T, r *policy.Record, heard string, end policy.End, verdict policy.Verdict) {
	t.Helper()
	if r.End != end || len(r.Recipients) != 1 || r.Recipients[0].Verdict != verdict {
		t.Errorf("record: end %s, recipients %+v, note %q; want %s, %s", r.End, r.Recipients, r.Note, end, verdict)
		return
	}
	to := r.Recipients[0]
	said := strings.ReplaceAll(string(smtp.Reply(to.Reply).WithRef(r.Ref).Append(nil)), "\r\n", "\n")
	if heard+"\n" != said {
		t.Errorf("the sender heard %q, the record says %q", heard, said)
	}
	if verdict != policy.Accepted && to.By != "backend" {
		t.Errorf("the record says that %q refused", to.By)
	}
	if fault := strings.HasPrefix(heard, "451 "+f.want+" "); fault && r.Note == "" {
		t.Error("the record does not say what went wrong")
	}
}

// checkCommitted: the backend has what the sender was told of, and where nobody can know, perhaps one more.
func (f *faultCase) checkCommitted(t *testing.T, n int) {
	t.Helper()
	told := 0
	for _, r := range f.replies {
		if strings.HasPrefix(r, "250 ") {
			told++
		}
	}
	if n != told && !(f.unknown && n == told+1) {
		t.Errorf("%d messages committed, and the sender was told of %d", n, told)
	}
}

// descriptors are how many this process has open; 0 where the system does not tell.
func descriptors() int {
	all, _ := os.ReadDir("/proc/self/fd")
	return len(all)
}
