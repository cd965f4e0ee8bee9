package main

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gatepost/checks/dnsbl"
	"gatepost/greylist"
	"gatepost/policy"
	"gatepost/proxy"
	"gatepost/proxy/backend"
	"gatepost/resolver"
)

// metrics are what /metrics shows. Labels come from the config alone, never from mail.
type metrics struct {
	registry   *prometheus.Registry
	recipients *prometheus.CounterVec
	results    *prometheus.CounterVec
	would      *prometheus.CounterVec
	replies    *prometheus.CounterVec
	checkTime  *prometheus.HistogramVec
	took       prometheus.Histogram
	reload     prometheus.Gauge
	now        atomic.Pointer[inForce]
}

// inForce is what the settings in force bring to the metrics. A reload puts another in its place; it is not changed itself.
type inForce struct {
	policy   *policy.Policy
	modes    map[string]policy.Mode // of each check, by its name
	backends []*backend.Backend
	cert     *certificate // nil without TLS
	resolver *resolver.Resolver
	lists    []*dnsbl.Check
	greylist *greylist.Check // nil where it does not run
}

func newMetrics(d *daemon) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatepost_" + name, Help: help}, labels)
	}
	m := &metrics{
		registry:   prometheus.NewRegistry(),
		recipients: counter("recipients_total", "Recipients by verdict and by what decided.", "verdict", "by"),
		results:    counter("check_results_total", "Findings of checks, by the mode of the check; one of some recipients alone does not show.", "check", "mode", "outcome"),
		would:      counter("would_act_total", "What checks would have done, had all been enforced.", "check", "action"),
		replies:    counter("backend_replies_total", "Replies of backends to recipients and content.", "backend", "class"),
		checkTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gatepost_check_duration_seconds",
			Help: "How long checks took.", Buckets: prometheus.ExponentialBuckets(.0005, 4, 8)}, []string{"check"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "gatepost_transaction_duration_seconds",
			Help: "How long transactions took, from MAIL to their end.", Buckets: prometheus.ExponentialBuckets(.001, 4, 10)}),
		reload: prometheus.NewGauge(prometheus.GaugeOpts{Name: "gatepost_config_last_reload_successful",
			Help: "1 if the config was last read without an error."}),
	}
	m.reload.Set(1)
	m.registry.MustRegister(m.recipients, m.results, m.would, m.replies, m.checkTime, m.took, m.reload, &gauges{d},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})) // goroutines, memory, descriptors
	return m
}

// use takes over what a config brings that comes in force. The parts are read here and now: what reads the metrics later
// runs beside the next reload, which changes them.
func (m *metrics) use(s *proxy.Settings, cert *certificate, p *parts) {
	now := &inForce{policy: s.Policy, modes: map[string]policy.Mode{}, backends: s.Routes.Backends(), cert: cert, resolver: p.resolver}
	for _, slot := range s.Policy.Slots {
		now.modes[slot.Check.Name()] = min(s.Policy.Mode, slot.Mode)
		switch c := slot.Check.(type) {
		case *dnsbl.Check:
			now.lists = append(now.lists, c)
		case *greylist.Check:
			now.greylist = c
		}
	}
	m.now.Store(now)
}

func (m *metrics) reloaded(ok bool) {
	m.reload.Set(figure(ok))
}

// observe counts a record. One that ends behind a reload counts for the modes that came with it, and "off" stands for a check
// that is gone.
func (m *metrics) observe(r *policy.Record) {
	modes := m.now.Load().modes
	m.took.Observe(r.Took.Seconds())
	for _, f := range r.Findings {
		m.results.WithLabelValues(f.Check, modes[f.Check].String(), string(f.Outcome)).Inc()
		m.checkTime.WithLabelValues(f.Check).Observe(f.Took.Seconds())
	}
	for i := range r.Recipients {
		rc := &r.Recipients[i]
		m.recipients.WithLabelValues(rc.Verdict.String(), rc.By).Inc()
		if rc.Would > policy.None {
			m.would.WithLabelValues(rc.WouldBy, rc.Would.String()).Inc()
		}
		if rc.BackendReply.Code > 0 {
			m.replies.WithLabelValues(rc.Backend, classes[min(rc.BackendReply.Code/100, 5)]).Inc()
		}
	}
}

var classes = [...]string{"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"}
