//go:build interop

package interop

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatepost/policy"
)

// queueMain turns a Postfix into one that sends all it is given to gatepost, and is quick to try again; not within a second,
// for a message that is due again before its last delivery has let go of it stays where it is until Postfix starts anew.
const queueMain = `
virtual_mailbox_domains =
default_transport = smtp
relayhost = [127.0.0.1]:%s
queue_run_delay = 1s
minimal_backoff_time = 3s
maximal_backoff_time = 4s
`

// A Postfix has mail for strangers to it: it is told to wait, keeps the mail, and brings it again by itself.
func TestPostfixComesAgain(t *testing.T) {
	need(t, "swaks")
	in := startPostfix(t)
	p := startProxy(t, settings{backend: in.addr, policy: greylistBy("memory", "2s")})
	out := startPostfixWith(t, fmt.Sprintf(queueMain, portOf(p.addr)))
	m := newMail("amy@" + domain).by("elsewhere.test")
	swaks().deliver(t, &proxy{addr: out.addr}, in, m)
	in.settled(t)
	eventually(t, "the sender's queue is empty", func() bool { return out.idle(t) })
	if log := readFile(t, out.log); !strings.Contains(log, "said: 451 4.7.1 Greylisted: please try again in 2 seconds") {
		t.Errorf("Postfix was not told to wait:\n%s", log)
	}
	outcomes := p.greylisted(t, m, 2)
	if outcomes[0] != "new" {
		t.Errorf("the greylist found %q", outcomes)
	}
	// What it brings next has not to wait.
	again := newMail("amy@" + domain).by("elsewhere.test")
	again.from = m.from
	swaks().deliver(t, &proxy{addr: out.addr}, in, again)
	in.settled(t)
	if all := p.greylisted(t, m, len(outcomes)+1); len(all) != len(outcomes)+1 {
		t.Errorf("the next mail: %q", all)
	}
}

// Two machines share a store: one sees the first try, the other the second. The store dies while mail comes, and returns.
func TestTwoMachinesOneGreylist(t *testing.T) {
	r := startRedis(t)
	_, backend := startBackend(t)
	s := settings{backend: backend, policy: greylistBy(r.url(), "1s")}
	a, b := startProxy(t, s), startProxy(t, s)
	for i, p := range []*proxy{a, b} {
		r.shares(t, p, i)
	}
	m := newMail("amy@" + domain).by("elsewhere.test")
	a.tells(t, m, 451, "4.7.1 Greylisted")
	b.passes(t, m)
	if outcomes := b.greylisted(t, m, 1); outcomes[0] == "new" { // all of b's tries are the second or a later one
		t.Errorf("the second machine does not know of the first: %q", outcomes)
	}
	a.tells(t, m, 250, "")

	r.kill()
	for _, p := range []*proxy{a, b} {
		p.tells(t, m, 250, "")
		stranger := newMail("amy@" + domain).by("strange.test")
		p.tells(t, stranger, 451, "4.7.1 Greylisted") // greylisting goes on
		p.passes(t, stranger)
		if p.log.count("the shared greylist store fails") == 0 {
			t.Errorf("the log does not tell of it:\n%s", p.log)
		}
	}
	r.launch(t)
	for i, p := range []*proxy{a, b} {
		r.shares(t, p, i)
	}
}

// Two machines count one client together; without the store each goes on by what it knows.
func TestTwoMachinesOneLimit(t *testing.T) {
	r := startRedis(t)
	_, backend := startBackend(t)
	s := settings{backend: backend, policy: fmt.Sprintf(
		"[policy]\nchecks = [\"ratelimit\"]\n[check.ratelimit]\nstore = %q\nmessages = \"3/1h\"\nconnections = \"off\"\n", r.url())}
	a, b := startProxy(t, s), startProxy(t, s)
	for i, p := range []*proxy{a, b} {
		r.shares(t, p, i)
	}
	new := func() mail { return newMail("amy@" + domain).by("elsewhere.test") }
	for _, p := range []*proxy{a, b, a} {
		p.tells(t, new(), 250, "")
	}
	b.tells(t, new(), 450, "4.7.1 Too many messages from "+strangeClient)
	a.tells(t, new(), 450, "4.7.1 Too many messages from "+strangeClient)

	r.kill()
	for _, p := range []*proxy{a, b} {
		p.tells(t, new(), 450, "4.7.1 Too many messages") // it saw the limit reached
		for range 3 {
			p.brings(t, "203.0.113.77", new(), 250, "")
		}
		p.brings(t, "203.0.113.77", new(), 450, "4.7.1 Too many messages") // of its own count
		if p.log.count("the shared rate limits fail") == 0 {
			t.Errorf("the log does not tell of it:\n%s", p.log)
		}
	}
	r.launch(t)
	for i, p := range []*proxy{a, b} {
		r.shares(t, p, i)
	}
}

// greylistBy is the TOML of a policy that has everyone unknown wait, and opens to nobody more than the recipients whom they came back to.
func greylistBy(store, delay string) string {
	return fmt.Sprintf("[policy]\nchecks = [\"greylist\"]\n[check.greylist]\nstore = %q\ndelay = %q\nonly_if = []\n"+
		"known_after = { spf = 0, network = 0 }\n", store, delay)
}

// greylisted are the outcomes of the greylist at the tries of a mail, in order; n of them at least, the last a pass, are waited for.
func (p *proxy) greylisted(t *testing.T, m mail, n int) (outcomes []policy.Outcome) {
	t.Helper()
	eventually(t, "the journal has the mail that passed", func() bool {
		outcomes = nil
		for _, r := range p.records(t) {
			if r.Sender != nil && *r.Sender == m.from {
				outcomes = append(outcomes, ofGreylist(r)...)
			}
		}
		return len(outcomes) >= n && outcomes[len(outcomes)-1] == policy.Pass
	})
	return outcomes
}

// ofGreylist are the outcomes of the greylist in a record.
func ofGreylist(r policy.Record) (outcomes []policy.Outcome) {
	for _, to := range r.Recipients {
		for _, f := range to.Findings {
			if f.Check == "greylist" {
				outcomes = append(outcomes, f.Outcome)
			}
		}
	}
	return outcomes
}

// brings sends a message as a client that XCLIENT tells of, where the reply is known: its code and how its text begins.
func (p *proxy) brings(t *testing.T, client string, m mail, code int, begins string) {
	t.Helper()
	if got, text := p.attempt(t, client, m); got != code || !strings.HasPrefix(text, begins) {
		t.Errorf("%d %s\nwant %d %s", got, text, code, begins)
	}
}

// tells is brings for the client that most of this file plays.
func (p *proxy) tells(t *testing.T, m mail, code int, begins string) {
	t.Helper()
	p.brings(t, strangeClient, m, code, begins)
}

// passes brings a message again and again until it is taken, by which time only the greylist may have held it up.
func (p *proxy) passes(t *testing.T, m mail) {
	t.Helper()
	eventually(t, m.id+" passes", func() bool {
		code, text := p.attempt(t, strangeClient, m)
		if code != 250 && !strings.HasPrefix(text, "4.7.1 Greylisted") {
			t.Fatalf("%d %s", code, text)
		}
		return code == 250
	})
}

// attempt is one try.
func (p *proxy) attempt(t *testing.T, client string, m mail) (code int, text string) {
	t.Helper()
	c := connect(t, p.addr, "")
	defer c.close()
	c.must(t, "EHLO balancer.test", 250)
	c.must(t, "XCLIENT ADDR="+client, 220)
	c.must(t, "EHLO mail.elsewhere.test", 250)
	at := time.Now()
	code, text, err := c.send(m)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(at); took > patience/10 { // a dead store costs 250 ms
		t.Errorf("a try took %s", took)
	}
	c.must(t, "QUIT", 221)
	return code, text
}

// redis is a server that several machines share.
type redis struct {
	addr, dir string
	*process
}

func startRedis(t *testing.T) *redis {
	t.Helper()
	need(t, "redis-server")
	r := &redis{addr: "127.0.0.1:" + freePort(t), dir: newDir(t, "redis")}
	r.launch(t)
	return r
}

// launch starts it, or starts it anew with nothing in it.
func (r *redis) launch(t *testing.T) {
	t.Helper()
	r.process = start(t, exec.Command("redis-server", "--bind", "127.0.0.1", "--port", portOf(r.addr), "--dir", r.dir, "--save", ""))
	eventually(t, "Redis listens", func() bool {
		if !r.alive() {
			t.Fatalf("Redis ended:\n%s", r.log)
		}
		return listening(r.addr)
	})
}

func (r *redis) url() string { return "redis://" + r.addr + "/0" }

// keys is how many there are.
func (r *redis) keys(t *testing.T) int {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(c, "DBSIZE\r\n")
	line, err := bufio.NewReader(c).ReadString('\n')
	n, bad := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), ":"))
	if err != nil || bad != nil {
		t.Fatalf("Redis said %q, %v", line, err)
	}
	return n
}

// shares has strangers come until the server has something of this proxy. Each proxy is given a number, and with it clients of its own.
func (r *redis) shares(t *testing.T, p *proxy, number int) {
	t.Helper()
	last := 0
	eventually(t, "the proxy uses Redis", func() bool {
		before := r.keys(t)
		last++
		m := newMail("amy@" + domain)
		p.attempt(t, fmt.Sprintf("198.51.%d.%d", 100+number, last%250+1), m.by(m.id+".test"))
		return r.keys(t) > before
	})
}
