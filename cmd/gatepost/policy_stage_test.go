package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"gatepost/checks"
	"gatepost/config"
	"gatepost/internal/dnstest"
	"gatepost/internal/mailsink"
	"gatepost/policy"
)

// policyStage is the proxy of a case, built as serve builds it, with a DNS before and a mail server behind it.
type policyStage struct {
	dns     *dnstest.Server
	sink    *mailsink.Server
	address string
	config  *config.Config

	mu      sync.Mutex
	records []*policy.Record
}

// newPolicyStage starts a proxy with a config, between the DNS zones of a text and a mail server. All ends with the test.
func newPolicyStage(t testing.TB, zone, toml string) *policyStage {
	t.Helper()
	st := &policyStage{sink: &mailsink.Server{Hostname: "mail.example.com", Extensions: mailsink.DefaultExtensions(), Fault: unknownUser}}
	st.dns = dnstest.Start(t, expand(strings.ReplaceAll(zone, "KEY", publicKey())))
	sink, stop, err := mailsink.Listen(st.sink)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	st.config, err = config.Parse("config", []byte(caseConfig(toml)), checks.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	st.config.DNS = config.DNS{Servers: []string{st.dns.Addr()}, Timeout: 10 * time.Second}
	for i := range st.config.Backends {
		st.config.Backends[i].Address = []string{sink}
	}
	st.misbehave(t, zone)
	st.serve(t)
	return st
}

// caseConfig is what a case has written, with what each of them needs around it: one line above, the rest below.
func caseConfig(toml string) string {
	return "hostname = \"mx.example.com\"\n" + toml + `
[backend.main]
address = ["127.0.0.1:25"]
domains = ["example.com", "example.net", ".example.org"]
`
}

// linesAbove is how many lines of a config are not those of its case.
const linesAbove = 1

// unknownUser knows no recipients whose local part begins so.
func unknownUser(e mailsink.Event) mailsink.Action {
	if e.Stage == mailsink.StageRcpt && strings.Contains(e.Line, "<unknown") {
		return mailsink.Action{Reply: "550 5.1.1 No such user"}
	}
	return mailsink.Action{}
}

// misbehave does what the zone asks for in lines as ";! servfail shop.example bl.test": a name's answers fail, get lost ("drop") or are cut
// off ("truncate"); without a name all do. ";! timeout 200ms" is how long an answer is waited for.
func (st *policyStage) misbehave(t testing.TB, zone string) {
	for line := range strings.Lines(zone) {
		line, ok := strings.CutPrefix(line, ";!")
		if !ok {
			continue
		}
		words := strings.Fields(line)
		names := words[1:]
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			st.fault(t, words[0], name)
		}
	}
}

func (st *policyStage) fault(t testing.TB, what, name string) {
	switch what {
	case "servfail":
		st.dns.ServFail(name)
	case "drop":
		st.dns.Drop(name, -1)
	case "truncate":
		st.dns.Truncate(name)
	case "timeout":
		d, err := time.ParseDuration(name)
		if err != nil {
			t.Fatal(err)
		}
		st.config.DNS.Timeout = d
	default:
		t.Fatalf("a DNS that does %q?", what)
	}
}

// serve starts the proxy. It believes the PROXY header of everybody on this machine.
func (st *policyStage) serve(t testing.TB) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	d := &daemon{log: log, told: st.took, parts: newParts(log)}
	d.metrics = newMetrics(d)
	if err := d.apply(st.config); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	st.address = ln.Addr().String()
	of := engineListener(st.config.Listen[0])
	of.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	go d.server.Serve(ln, of)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		d.server.Shutdown(ctx)
		d.stop()
		d.parts.close()
	})
}

// took keeps a record.
func (st *policyStage) took(r *policy.Record) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.records = append(st.records, r)
}

// all are the records so far.
func (st *policyStage) all() []*policy.Record {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.records[:len(st.records):len(st.records)]
}
