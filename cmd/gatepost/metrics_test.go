package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatepost/internal/dnstest"
	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy"
)

// TestMetrics scrapes a proxy that has refused one mail for a block list, would have refused another, and has a stranger wait.
func TestMetrics(t *testing.T) {
	st, err := newStage()
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	for _, sm := range checkSamples() {
		if sm.title == "A listed client" || sm.title == "What a monitored check would do" || sm.title == "A stranger" {
			if got, err := st.play(t.Context(), sm); err != nil || len(got.missed(sm)) > 0 {
				t.Fatalf("%s: %v, %q", sm.title, err, got.missed(sm))
			}
		}
	}
	page := scrape(t, "http://"+st.admin+"/metrics")
	for _, want := range []string{
		`gatepost_check_results_total{check="dnsbl",mode="enforce",outcome="listed"} 1`,
		`gatepost_check_results_total{check="senderdomain",mode="monitor",outcome="nonexistent"} 1`,
		`gatepost_dnsbl_zone_up{zone="bl.demo.example"} 1`,
		fmt.Sprintf("gatepost_dns_server_up{server=%q} 1", st.dns),
		`gatepost_dns_queries_total{rcode="NXDOMAIN",type="A"} `,
		`gatepost_dns_queries_total{rcode="NOERROR",type="PTR"} `,
		`gatepost_greylist_entries{state="waiting"} 1`,
		`gatepost_greylist_entries{state="known"} 0`,
		`gatepost_recipients_total{by="dnsbl",verdict="rejected"} 1`,
		`gatepost_would_act_total{action="reject",check="senderdomain"} 1`,
		`go_goroutines `,
		`gatepost_goroutines_waiting `,
		`process_open_fds `,
		`process_max_fds `,
		`process_resident_memory_bytes `,
	} {
		if !strings.Contains(page, "\n"+want) {
			t.Errorf("not there: %s", want)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
}

func scrape(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v: %s", resp.Status, err, page)
	}
	return string(page)
}

// applied is a daemon with a config in force, of which some lines are given.
func applied(t *testing.T, more string) *daemon {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	d := &daemon{log: log, parts: newParts(log)}
	d.metrics = newMetrics(d)
	apply(t, d, more)
	t.Cleanup(func() { d.stop(); d.parts.close() })
	return d
}

func apply(t *testing.T, d *daemon, more string) {
	t.Helper()
	if err := d.apply(parseLines(t, more)); err != nil {
		t.Fatal(err)
	}
}

// gather is what the metrics hold, by "name{labels}" with labels in order; of a histogram the sum.
func gather(t *testing.T, d *daemon) map[string]float64 {
	t.Helper()
	families, err := d.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			all[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetHistogram().GetSampleSum()
		}
	}
	return all
}

// wantMetrics wants series of what gather gives.
func wantMetrics(t *testing.T, d *daemon, want map[string]float64) {
	t.Helper()
	got := gather(t, d)
	for name, v := range want {
		if is, there := got["gatepost_"+name]; !there || is != v {
			t.Errorf("%s is %v (%v), want %v", name, is, there, v)
		}
	}
}

// TestMetricsFigures has one backend of two that answers, one session open, and one turned away.
func TestMetricsFigures(t *testing.T) {
	back, stop, err := mailsink.Listen(new(mailsink.Server))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	now := time.Now()
	st := &stage{dir: t.TempDir()}
	if err := st.makeCertificate(now); err != nil {
		t.Fatal(err)
	}
	d := applied(t, fmt.Sprintf("[backend.there]\naddress = [%q]\ndomains = [\"example.net\"]\n[limits]\nconnections = 1\n[policy]\nchecks = []\n"+
		"[tls]\ncertificate = %q\nkey = %q\n", back, st.file("cert.pem"), st.file("key.pem")))
	d.out = new(logWriter)
	d.out.lost.Store(3)
	for _, want := range []string{"220 ", "421 "} {
		ours, theirs := net.Pipe()
		defer ours.Close()
		go d.server.ServeConn(theirs, new(proxy.Listener))
		if line, err := bufio.NewReader(ours).ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
			t.Fatalf("%q, %v; want %s", line, err, want)
		}
	}
	wantMetrics(t, d, map[string]float64{
		"connections_open{}": 1, "connections_total{}": 2, "connections_refused_total{}": 1,
		"backend_up{main}": 0, "backend_up{there}": 1,
		"tls_certificate_expiry_timestamp_seconds{}": float64(now.AddDate(0, 1, 0).Unix()),
		"log_lines_lost_total{}":                     3,
	})
}

// TestMetricsRecord counts what a record says of times and of the backend.
func TestMetricsRecord(t *testing.T) {
	d := applied(t, "[policy]\nchecks = []\n")
	heard := func(code int) policy.RecipientRecord {
		return policy.RecipientRecord{Backend: "main", BackendReply: policy.Reply{Code: code}}
	}
	d.metrics.observe(&policy.Record{Took: 2 * time.Second, Findings: []policy.Finding{{Check: "spf", Took: time.Second / 2}},
		Recipients: []policy.RecipientRecord{heard(250), heard(251), heard(451), heard(550), heard(999), {}}})
	wantMetrics(t, d, map[string]float64{
		"transaction_duration_seconds{}": 2, "check_duration_seconds{spf}": .5,
		"backend_replies_total{main,2xx}": 2, "backend_replies_total{main,4xx}": 1, "backend_replies_total{main,5xx}": 2,
	})
}

// TestMetricsReload tells whether the config was last read without an error.
func TestMetricsReload(t *testing.T) {
	d := applied(t, "[policy]\nchecks = []\n")
	d.flags.config = filepath.Join(t.TempDir(), "gatepost.toml")
	told := func(want float64) {
		t.Helper()
		wantMetrics(t, d, map[string]float64{"config_last_reload_successful{}": want})
	}
	told(1)
	d.reload()
	told(0)
	text := "hostname = \"mx.example.com\"\n[backend.main]\naddress = [\"127.0.0.1:9\"]\ndomains = [\"example.com\"]\n[policy]\nchecks = []\n"
	if err := os.WriteFile(d.flags.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.reload()
	told(1)
}

// TestMetricsTwice has a list that two checks ask and a server that is named twice: one figure each, else the page is an error.
// The list is up for one and not for the other.
func TestMetricsTwice(t *testing.T) {
	s := dnstest.Start(t, "$ORIGIN bl.example.\n2.0.0.127 A 127.0.0.2\ntest A 127.0.0.2\n$ORIGIN half.example.\ntest A 127.0.0.2\n")
	d := applied(t, fmt.Sprintf("[dns]\nservers = [%q, %q]\n", s.Addr(), s.Addr())+
		"[check.dnsbl.zone.\"bl.example\"]\n[check.dnsbl.zone.\"half.example\"]\n[check.rhsbl.zone.\"bl.example\"]\n[check.rhsbl.zone.\"half.example\"]\n")
	for _, l := range d.metrics.now.Load().lists {
		l.Prove(t.Context())
	}
	got := gather(t, d)
	for name, want := range map[string]float64{"gatepost_dnsbl_zone_up{bl.example}": 1, "gatepost_dnsbl_zone_up{half.example}": 0,
		"gatepost_dns_server_up{" + s.Addr() + "}": 1} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, %v, want %v", name, v, ok, want)
		}
	}
}

// TestMetricsMode counts findings under the mode in force, the lowest of the two; a check that a reload took out is off.
func TestMetricsMode(t *testing.T) {
	d := applied(t, "[dns]\nservers = [\"127.0.0.1:9\"]\n[policy]\nchecks = [\"spf\", \"rdns\"]\n[check.rdns]\nmode = \"monitor\"\n")
	r := &policy.Record{Findings: []policy.Finding{{Check: "spf", Outcome: "pass"}, {Check: "rdns", Outcome: "fail"}}}
	d.metrics.observe(r)
	apply(t, d, "[dns]\nservers = [\"127.0.0.1:9\"]\n[policy]\nchecks = [\"rdns\"]\n")
	d.metrics.observe(r)
	got := gather(t, d)
	for _, labels := range []string{"spf,enforce,pass", "rdns,monitor,fail", "spf,off,pass", "rdns,enforce,fail"} {
		if got["gatepost_check_results_total{"+labels+"}"] != 1 {
			t.Errorf("%s: %v", labels, got)
		}
	}
}

// TestMetricsWhileReloading scrapes beside reloads that put another resolver and other lists in force; the race detector judges.
func TestMetricsWhileReloading(t *testing.T) {
	s := dnstest.Start(t, "$ORIGIN bl.example.\n2.0.0.127 A 127.0.0.2\n")
	lines := func(n int) string {
		return fmt.Sprintf("[dns]\nservers = [%q]\ntimeout = \"%dms\"\n[check.dnsbl.zone.\"bl.example\"]\nweight = %d\n", s.Addr(), 500+n, n+1)
	}
	d := applied(t, lines(0))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if _, err := d.metrics.registry.Gather(); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for n := range 5 {
		apply(t, d, lines(n+1))
		d.metrics.observe(&policy.Record{Findings: []policy.Finding{{Check: "dnsbl", Outcome: "pass"}}})
	}
	cancel()
	<-done
}
