package main

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"gatepost/policy"
	"gatepost/proxy/backend"
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

// inForce is what the settings in force bring to the metrics.
type inForce struct {
	backends []*backend.Backend
	cert     *certificate
}

func newMetrics(d *daemon) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatepost_" + name, Help: help}, labels)
	}
	m := &metrics{
		registry:   prometheus.NewRegistry(),
		recipients: counter("recipients_total", "Recipients by verdict and by what decided.", "verdict", "by"),
		results:    counter("check_results_total", "Findings of checks.", "check", "outcome"),
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
	m.registry.MustRegister(m.recipients, m.results, m.would, m.replies, m.checkTime, m.took, m.reload, &gauges{d})
	return m
}

func (m *metrics) use(backends []*backend.Backend, cert *certificate) {
	m.now.Store(&inForce{backends, cert})
}

func (m *metrics) reloaded(ok bool) {
	m.reload.Set(0)
	if ok {
		m.reload.Set(1)
	}
}

// observe counts a record.
func (m *metrics) observe(r *policy.Record) {
	m.took.Observe(r.Took.Seconds())
	for _, f := range r.Findings {
		m.results.WithLabelValues(f.Check, string(f.Outcome)).Inc()
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

// gauges are the figures that are read when they are asked for.
type gauges struct{ d *daemon }

var (
	descOpen    = prometheus.NewDesc("gatepost_connections_open", "Sessions open now.", nil, nil)
	descTotal   = prometheus.NewDesc("gatepost_connections_total", "Connections accepted.", nil, nil)
	descRefused = prometheus.NewDesc("gatepost_connections_refused_total", "Connections turned away for a limit.", nil, nil)
	descMemory  = prometheus.NewDesc("gatepost_content_memory_bytes", "Content held in memory.", nil, nil)
	descUp      = prometheus.NewDesc("gatepost_backend_up", "1 if the last connection to any address of the backend worked.", []string{"backend"}, nil)
	descExpiry  = prometheus.NewDesc("gatepost_tls_certificate_expiry_timestamp_seconds", "When our certificate expires.", nil, nil)
	descRecords = prometheus.NewDesc("gatepost_journal_records_total", "Records written.", nil, nil)
	descDropped = prometheus.NewDesc("gatepost_journal_dropped_total", "Records that could not be written.", nil, nil)
)

// Describe names them.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descOpen, descTotal, descRefused, descMemory, descUp, descExpiry, descRecords, descDropped} {
		ch <- d
	}
}

// Collect reads them.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	st := g.d.server.Stats()
	gauge(descOpen, float64(st.Open))
	count(descTotal, st.Total)
	count(descRefused, st.Refused)
	gauge(descMemory, float64(st.Memory))
	now := g.d.metrics.now.Load()
	for _, b := range now.backends {
		gauge(descUp, up(b), b.Name())
	}
	if now.cert != nil {
		gauge(descExpiry, float64(now.cert.expires().Unix()))
	}
	if g.d.journal != nil {
		written, dropped := g.d.journal.Counts()
		count(descRecords, written)
		count(descDropped, dropped)
	}
}

func up(b *backend.Backend) float64 {
	for _, h := range b.Health() {
		if h.Up {
			return 1
		}
	}
	return 0
}
