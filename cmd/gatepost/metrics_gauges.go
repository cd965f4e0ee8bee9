package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"gatepost/internal/workers"
	"gatepost/proxy/backend"
)

// gauges are the figures that are read when they are asked for.
type gauges struct{ d *daemon }

var (
	descOpen    = prometheus.NewDesc("gatepost_connections_open", "Sessions open now.", nil, nil)
	descTotal   = prometheus.NewDesc("gatepost_connections_total", "Connections accepted.", nil, nil)
	descRefused = prometheus.NewDesc("gatepost_connections_refused_total", "Connections turned away for a limit.", nil, nil)
	descWaiting = prometheus.NewDesc("gatepost_goroutines_waiting", "Goroutines kept for the next session, check or look-up; go_goroutines counts them too.", nil, nil)
	descMemory  = prometheus.NewDesc("gatepost_content_memory_bytes", "Content held in memory.", nil, nil)
	descUp      = prometheus.NewDesc("gatepost_backend_up", "1 if the last connection to any address of the backend worked.", []string{"backend"}, nil)
	descExpiry  = prometheus.NewDesc("gatepost_tls_certificate_expiry_timestamp_seconds", "When our certificate expires.", nil, nil)
	descRecords = prometheus.NewDesc("gatepost_journal_records_total", "Records written.", nil, nil)
	descDropped = prometheus.NewDesc("gatepost_journal_dropped_total", "Records that could not be written.", nil, nil)
	descLost    = prometheus.NewDesc("gatepost_log_lines_lost_total", "Lines of the log that could not be written, or that nobody read.", nil, nil)
	descQueries = prometheus.NewDesc("gatepost_dns_queries_total", "Answers of DNS servers, or the lack of one; begins anew when [dns] changes.", []string{"type", "rcode"}, nil)
	descServer  = prometheus.NewDesc("gatepost_dns_server_up", "0 while the DNS server gives no answer at all, several times in a row.", []string{"server"}, nil)
	descGrey    = prometheus.NewDesc("gatepost_greylist_entries", "What the greylist holds, by what it came to; of a shared store some minutes old.", []string{"state"}, nil)
	descZone    = prometheus.NewDesc("gatepost_dnsbl_zone_up", "1 while the list is in service: it proved itself and is asked.", []string{"zone"}, nil)
)

// Describe names them.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descOpen, descTotal, descRefused, descWaiting, descMemory, descUp, descExpiry, descRecords, descDropped, descLost,
		descQueries, descServer, descZone, descGrey} {
		ch <- d
	}
}

// Collect reads them.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	out := figures(ch)
	st := g.d.server.Stats()
	out.gauge(descOpen, float64(st.Open))
	out.count(descTotal, st.Total)
	out.count(descRefused, st.Refused)
	out.gauge(descWaiting, float64(workers.Waiting()))
	out.gauge(descMemory, float64(st.Memory))
	now := g.d.metrics.now.Load()
	for _, b := range now.backends {
		out.gauge(descUp, up(b), b.Name())
	}
	if now.cert != nil {
		out.gauge(descExpiry, float64(now.cert.expires().Unix()))
	}
	out.dns(now)
	if now.greylist != nil {
		for state, n := range now.greylist.Stats() {
			out.gauge(descGrey, float64(n), string(state))
		}
	}
	out.count(descLost, g.d.out.Lost())
	if g.d.journal != nil {
		written, dropped := g.d.journal.Counts()
		out.count(descRecords, written)
		out.count(descDropped, dropped)
	}
}

// figures is where they go.
type figures chan<- prometheus.Metric

func (f figures) gauge(d *prometheus.Desc, v float64, labels ...string) {
	f <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (f figures) count(d *prometheus.Desc, v int64, labels ...string) {
	f <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

// dns is what is known of the DNS servers and of the lists that are asked there.
func (f figures) dns(now *inForce) {
	for _, c := range now.resolver.Counts() {
		f.count(descQueries, c.N, c.Type, c.Rcode)
	}
	servers, zones := ups{}, ups{}
	for _, s := range now.resolver.Health() {
		servers.add(s.Address, !s.Down)
	}
	for _, l := range now.lists {
		for _, z := range l.Zones() {
			zones.add(z.Zone, z.Up)
		}
	}
	servers.tell(f, descServer)
	zones.tell(f, descZone)
}

// ups says by name what is up. A name may come more than once, as a list does that two checks ask; it is up if it is
// wherever it comes. Two figures under one name would spoil the whole page.
type ups map[string]bool

func (u ups) add(name string, up bool) {
	was, seen := u[name]
	u[name] = up && (was || !seen)
}

func (u ups) tell(f figures, d *prometheus.Desc) {
	for name, up := range u {
		f.gauge(d, figure(up), name)
	}
}

// up is 1 if some address of a backend can be reached.
func up(b *backend.Backend) float64 {
	for _, h := range b.Health() {
		if h.Up {
			return 1
		}
	}
	return 0
}

// figure is 1 for what is so.
func figure(so bool) float64 {
	if so {
		return 1
	}
	return 0
}
