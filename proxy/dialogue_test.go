package proxy_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatepost/internal/dialogue"
	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy"
	"gatepost/proxy/backend"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSessions plays testdata/sessions/*.txt: a sender (C:, S:), the proxy, and a mail sink behind (B:). The settings that a file
// may have are read in settings() and by dialogue.Script.Sink.
func TestSessions(t *testing.T) {
	files, err := filepath.Glob("../testdata/sessions/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogues", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			script, err := dialogue.Parse(f)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			play(t, script)
		})
	}
}

func play(t *testing.T, script *dialogue.Script) {
	sink, err := script.Sink()
	if err != nil {
		t.Fatal(err)
	}
	clientIP, _ := script.Setting("client-ip")
	sink.ProxyV2 = clientIP == "proxy-v2"
	back, stopSink, err := mailsink.Listen(sink)
	if err != nil {
		t.Fatal(err)
	}
	defer stopSink()
	p := start(t, settings(t, script, back), listener(script))
	defer p.stop()
	script.Run(t, func() net.Conn { return p.dial(t) }, sink, p.lastRecord)
}

// settings are those that the head of a dialogue asks for.
func settings(t *testing.T, script *dialogue.Script, back string) *proxy.Settings {
	t.Helper()
	value := func(key, standard string) string {
		if v, ok := script.Setting(key); ok {
			return v
		}
		return standard
	}
	number := func(key string) int64 {
		n, err := strconv.ParseInt(value(key, "0"), 10, 64)
		if err != nil {
			t.Fatal(key, err)
		}
		return n
	}
	ways := map[string]backend.ClientIP{"none": backend.ClientIPNone, "xclient": backend.ClientIPXClient, "proxy-v2": backend.ClientIPProxyV2}
	b := backend.New(backend.Settings{Name: "main", Addresses: []string{value("backend-address", back)}, Hostname: "mx.example.com", ClientIP: ways[value("client-ip", "none")]})
	b.Probe(context.Background())
	routes := proxy.NewRoutes()
	routes.Add(b, strings.Fields(value("domains", "example.com"))...)
	if other := value("other-domains", ""); other != "" {
		routes.Add(backend.New(backend.Settings{Name: "other", Addresses: []string{back}, Hostname: "mx.example.com"}), strings.Fields(other)...)
	}
	wait, err := time.ParseDuration(value("pregreet", "0s"))
	if err != nil {
		t.Fatal(err)
	}
	return &proxy.Settings{
		Hostname: "mx.example.com", Routes: routes, Policy: &policy.Policy{Mode: policy.Enforce, Slots: slots(value("checks", ""))},
		RejectBareLF: value("bare_lf", "normalize") == "reject", Pregreet: wait,
		Limits: proxy.Limits{Recipients: int(number("recipients")), MessageSize: number("message-size"), Errors: int(number("errors")),
			IdleCommands: int(number("idle-commands")), PerClient: int(number("per-client")), HeaderSize: int(number("header-size")),
			Memory: number("memory"), SpoolDir: t.TempDir()},
	}
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

// slots are checks made for tests: "NAME:STAGE:OUTCOME:ACTION:MODE ...".
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
		all = append(all, policy.Slot{Check: always{f[0], stage, policy.Outcome(f[2])}, Mode: mode,
			Actions: map[policy.Outcome]policy.Action{policy.Outcome(f[2]): action}, Where: "test.toml:7"})
	}
	return all
}

// always is a check that always sees the same.
type always struct {
	name    string
	stage   policy.Stage
	outcome policy.Outcome
}

func (a always) Name() string        { return a.name }
func (a always) Stage() policy.Stage { return a.stage }
func (a always) Run(context.Context, policy.View) policy.Finding {
	return policy.Finding{Outcome: a.outcome, Status: policy.Status{Subject: 7, Detail: 1}, Text: a.name + " says " + string(a.outcome)}
}

// running is a proxy under test.
type running struct {
	server  *proxy.Server
	addr    string
	records chan *policy.Record
	done    chan struct{}
}

func start(t testing.TB, s *proxy.Settings, l *proxy.Listener) *running {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &running{addr: ln.Addr().String(), records: make(chan *policy.Record, 1000), done: make(chan struct{})}
	p.server = proxy.New(s, func(r *policy.Record) { p.records <- r }, slog.New(slog.NewTextHandler(io.Discard, nil)))
	go func() { p.server.Serve(ln, l); close(p.done) }()
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

func (p *running) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p.server.Shutdown(ctx)
	<-p.done
}

// lastRecord is the next record that comes, as JSON.
func (p *running) lastRecord() []byte {
	select {
	case r := <-p.records:
		b, err := json.Marshal(r)
		if err != nil {
			panic(err)
		}
		return b
	case <-time.After(5 * time.Second):
		return nil
	}
}
