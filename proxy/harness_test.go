package proxy_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatepost/internal/dialogue"
	"gatepost/policy"
	"gatepost/proxy"
	"gatepost/proxy/backend"
)

// patience is how long a test that fails waits for what does not come.
const patience = 10 * time.Second

// head reads the settings of a dialogue.
type head struct {
	t      testing.TB
	script *dialogue.Script
}

func (h head) text(key, standard string) string {
	if v, ok := h.script.Setting(key); ok {
		return v
	}
	return standard
}

func (h head) number(key string) int64 {
	n, err := strconv.ParseInt(h.text(key, "0"), 10, 64)
	if err != nil {
		h.t.Fatal(key, err)
	}
	return n
}

// settings are those that the head of a dialogue asks for.
func settings(t testing.TB, script *dialogue.Script, back string) *proxy.Settings {
	t.Helper()
	h := head{t, script}
	wait, err := time.ParseDuration(h.text("pregreet", "0s"))
	if err != nil {
		t.Fatal(err)
	}
	return &proxy.Settings{
		Hostname: "mx.example.com", Routes: h.routes(back), Policy: h.policy(),
		RejectBareLF: h.text("bare_lf", "normalize") == "reject", Pregreet: wait, Limits: h.limits(),
	}
}

func (h head) limits() proxy.Limits {
	return proxy.Limits{
		Recipients: int(h.number("recipients")), Errors: int(h.number("errors")), IdleCommands: int(h.number("idle-commands")),
		PerClient: int(h.number("per-client")), MessageSize: h.number("message-size"), Memory: h.number("memory"),
		HeaderSize: int(h.number("header-size")), HeaderFields: int(h.number("header-fields")), FieldSize: int(h.number("field-size")),
		Received: int(h.number("received")), SpoolDir: h.t.TempDir(),
	}
}

// routes are a backend "main" that was probed, and where asked for a second one, "other", that was not.
func (h head) routes(back string) *proxy.Routes {
	ways := map[string]backend.ClientIP{"none": backend.ClientIPNone, "xclient": backend.ClientIPXClient, "proxy-v2": backend.ClientIPProxyV2}
	b := backend.New(backend.Settings{Name: "main", Addresses: []string{h.text("backend-address", back)}, Hostname: "mx.example.com",
		ClientIP: ways[h.text("client-ip", "none")]})
	b.Probe(context.Background())
	if h.text("keep", "no") == "no" {
		b.Close() // no connection is kept for another session, so that its QUIT is seen
	}
	routes := proxy.NewRoutes()
	routes.Add(b, strings.Fields(h.text("domains", "example.com"))...)
	if other := h.text("other-domains", ""); other != "" {
		routes.Add(backend.New(backend.Settings{Name: "other", Addresses: []string{back}, Hostname: "mx.example.com"}), strings.Fields(other)...)
	}
	return routes
}

// policy has the checks of "checks NAME:STAGE:OUTCOME:ACTION:MODE[:early] ..." and the override of "scope DOMAIN CHECK MODE".
func (h head) policy() *policy.Policy {
	p := policyOf(h.text("checks", ""))
	p.Soft = h.text("soft", "") == "true"
	if f := strings.Fields(h.text("scope", "")); len(f) == 3 {
		var mode policy.Mode
		if err := mode.UnmarshalText([]byte(f[2])); err != nil {
			h.t.Fatal(err)
		}
		p.Scopes = map[string]policy.Scope{f[0]: {Modes: map[string]policy.Mode{f[1]: mode}}}
	}
	return p
}

func policyOf(checks string) *policy.Policy {
	return &policy.Policy{Mode: policy.Enforce, Slots: slots(checks)}
}

func listener(script *dialogue.Script) *proxy.Listener {
	l := &proxy.Listener{Name: "smtp"}
	if v, ok := script.Setting("proxy-from"); ok {
		l.ProxyFrom = []netip.Prefix{netip.MustParsePrefix(v)}
	}
	if v, ok := script.Setting("xclient-from"); ok {
		l.XClientFrom = []netip.Prefix{netip.MustParsePrefix(v)}
	}
	return l
}

// slots are checks made for tests.
func slots(text string) []policy.Slot {
	var all []policy.Slot
	for _, w := range strings.Fields(text) {
		f := strings.Split(w, ":")
		var stage policy.Stage
		var action policy.Action
		var mode policy.Mode
		stage.UnmarshalText([]byte(f[1]))
		action.UnmarshalText([]byte(f[3]))
		mode.UnmarshalText([]byte(f[4]))
		all = append(all, policy.Slot{Check: always{f[0], stage, policy.Outcome(f[2])}, Mode: mode, Early: len(f) > 5,
			Actions: map[policy.Outcome]policy.Action{policy.Outcome(f[2]): action}, Where: "test.toml:7"})
	}
	return all
}

// always is a check that always sees the same; but "pregreet" sees it only in those who talk first, and "panics" does.
type always struct {
	name    string
	stage   policy.Stage
	outcome policy.Outcome
}

func (a always) Name() string        { return a.name }
func (a always) Stage() policy.Stage { return a.stage }
func (a always) Run(_ context.Context, v policy.View) policy.Finding {
	f := policy.Finding{Outcome: a.outcome, Status: policy.Status{Subject: 7, Detail: 1}, Text: a.name + " says " + string(a.outcome)}
	switch {
	case a.name == "panics":
		panic("a check for tests")
	case a.name == "pregreet" && !v.EarlyTalk:
		f.Outcome = policy.Pass
	case a.name == "pregreet":
		f.Status = policy.Status{Subject: 5, Detail: 0}
	}
	return f
}

// running is a proxy under test.
type running struct {
	server  *proxy.Server
	addr    string
	records chan *policy.Record
	done    chan struct{}
	last    *policy.Record
	routes  *proxy.Routes
}

func start(t testing.TB, s *proxy.Settings, l *proxy.Listener) *running {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := newServer(s)
	p.addr = ln.Addr().String()
	go func() { p.server.Serve(ln, l); close(p.done) }()
	return p
}

// newServer is a server without a listener.
func newServer(s *proxy.Settings) *running {
	p := &running{records: make(chan *policy.Record, 1000), done: make(chan struct{}), routes: s.Routes}
	p.server = proxy.New(s, func(r *policy.Record) { p.records <- r }, slog.New(slog.NewTextHandler(io.Discard, nil)))
	return p
}

func (p *running) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// stop shuts the server down, and closes what its backends kept open.
func (p *running) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p.server.Shutdown(ctx)
	<-p.done
	p.closeBackends()
}

// closeBackends closes what the backends kept open for sessions to come.
func (p *running) closeBackends() {
	for _, b := range p.routes.Backends() {
		b.Close()
	}
}

// atRest asserts that a server without sessions holds nothing.
func (p *running) atRest(t testing.TB) {
	t.Helper()
	if s := p.server.Stats(); s.Open != 0 || s.Memory != 0 {
		t.Errorf("at rest, but %+v", s)
	}
}

// all are the records so far.
func (p *running) all() []*policy.Record {
	var all []*policy.Record
	for {
		select {
		case r := <-p.records:
			all = append(all, r)
		default:
			return all
		}
	}
}

// record is the latest record; the first one is waited for.
func (p *running) record() *policy.Record {
	if all := p.all(); len(all) > 0 {
		p.last = all[len(all)-1]
	}
	if p.last == nil {
		select {
		case p.last = <-p.records:
		case <-time.After(patience):
		}
	}
	return p.last
}

// lastRecord is the latest record as JSON. A record is written behind its reply: where there was one before, a dialogue first
// has another command answered, or the session closed.
func (p *running) lastRecord() []byte {
	r := p.record()
	if r == nil {
		return nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return b
}
