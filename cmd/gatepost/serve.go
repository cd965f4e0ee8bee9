package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gatepost/checks"
	"gatepost/config"
	"gatepost/policy"
	"gatepost/proxy"
	"gatepost/proxy/backend"
)

const (
	defaultConfig = "/etc/gatepost/gatepost.toml"
	drainTime     = 600 * time.Second // REPLIES: data under way finishes on SIGTERM
	probeEvery    = time.Minute
	firstProbe    = 3 * time.Second
)

// serveFlags say which config is used.
type serveFlags struct {
	config, listen, backend string
	domains                 []string
}

func serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the proxy",
		Long:  "Runs the proxy until SIGTERM; SIGHUP reads the config anew. With --listen, --backend and --domain no file is needed.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			hups := make(chan os.Signal, 1)
			signal.Notify(hups, syscall.SIGHUP) // first of all: one that nobody waits for would end the process
			c, err := f.load(cmd.Flags().Changed("config"))
			if err != nil {
				return err
			}
			return serve(c, f, hups)
		},
	}
	cmd.Flags().StringVar(&f.config, "config", defaultConfig, "the config `file`")
	cmd.Flags().StringVar(&f.listen, "listen", "", "listen on this `address`, without a file")
	cmd.Flags().StringVar(&f.backend, "backend", "", "the `address` of the mail server behind, without a file")
	cmd.Flags().StringSliceVar(&f.domains, "domain", nil, "a recipient `domain` of the backend, without a file; may be repeated")
	return cmd
}

// quick says whether the flags stand in for a file.
func (f serveFlags) quick() bool { return f.listen != "" || f.backend != "" || len(f.domains) > 0 }

func (f serveFlags) load(named bool) (*config.Config, error) {
	if !f.quick() {
		return loadConfig(f.config)
	}
	if named {
		return nil, usageError{fmt.Errorf("--config and --listen, --backend, --domain exclude each other")}
	}
	return config.Quick(f.listen, f.backend, f.domains, checks.Kinds())
}

// daemon is a running proxy with all around it.
type daemon struct {
	flags   serveFlags
	began   *config.Config // the one it was started with
	log     *slog.Logger
	out     *logWriter // below log; nil where that waits for its reader
	server  *proxy.Server
	journal journals
	metrics *metrics
	told    func(*policy.Record) // hears of each record too; nil for nobody
	stop    context.CancelFunc   // of what belongs to the settings in force
	parts   parts
	cert    *certificate // in force; nil without TLS

	overrides overrides // temporary rules, besides those of the config
}

// ballastSize is what the collector takes for memory in use, in octets. It runs when that has doubled, which a small heap under load
// does many times a second. As nobody touches it, it takes no memory of the machine.
const ballastSize = 8 << 20

// serve runs the proxy until SIGTERM. What comes in hups meanwhile is acted on once it listens.
func serve(c *config.Config, f serveFlags, hups <-chan os.Signal) error {
	ballast := make([]byte, ballastSize)
	defer runtime.KeepAlive(ballast)
	signal.Ignore(syscall.SIGPIPE) // who reads the log may go; that is no reason to end
	out := newLogWriter(c.Log, os.Stderr)
	defer out.Close()
	log := newLogger(c.Log, out)
	if os.Geteuid() == 0 {
		log.Warn("gatepost runs as root, which it has no need of: give it a user of its own, as deploy/gatepost.service does")
	}
	d := &daemon{flags: f, log: log, out: out, parts: newParts(log)}
	lns, err := openListeners(c, log)
	if err != nil {
		return err
	}
	if d.journal, err = openJournals(c.Journal, d.log); err != nil {
		return err
	}
	defer d.journal.Close()
	d.metrics = newMetrics(d)
	if err := d.apply(c); err != nil {
		return err
	}
	stopAdmin, err := startAdmin(c.Admin.Address, d)
	if err != nil {
		return err
	}
	defer stopAdmin()
	return d.run(c, lns, hups)
}

// apply puts a config in force.
func (d *daemon) apply(c *config.Config) error {
	cert, err := loadCertificate(c.TLS, d.cert, d.log)
	if err != nil {
		return err
	}
	settings, err := d.parts.build(c, cert)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	if d.stop != nil {
		d.stop()
	}
	d.stop, d.cert = stop, cert
	if cert != nil {
		go cert.watch(ctx, 30*time.Second)
	}
	for _, k := range d.parts.checks {
		if w, ok := k.Check.(interface{ Watch(context.Context) }); ok {
			go w.Watch(ctx)
		}
	}
	d.probeAll(ctx, settings.Routes.Backends())
	settings = d.overrides.use(c, settings, d.log)
	d.metrics.use(settings, cert, &d.parts)
	if d.server == nil {
		d.began = c
		d.server = proxy.New(settings, d.record, d.log)
	} else {
		d.server.Swap(settings)
	}
	d.parts.release()
	return nil
}

// record takes the record of a transaction from a session.
func (d *daemon) record(r *policy.Record) {
	d.metrics.observe(r)
	d.journal.Append(r)
	if d.told != nil {
		d.told(r)
	}
}

// probeAll probes the backends until ctx ends. It returns when each has been asked once, or soon: EHLO offers what the
// backends are known to have.
func (d *daemon) probeAll(ctx context.Context, backends []*backend.Backend) {
	var asked sync.WaitGroup
	for _, b := range backends {
		asked.Add(1)
		go d.probe(ctx, b, asked.Done)
	}
	done := make(chan struct{})
	go func() { asked.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(firstProbe):
	}
}

// probe keeps the capabilities of a backend fresh. asked is called after the first probe.
func (d *daemon) probe(ctx context.Context, b *backend.Backend, asked func()) {
	up := true
	for {
		_, err := b.Probe(ctx)
		switch {
		case err != nil && up && ctx.Err() == nil:
			d.log.Warn("the backend does not answer", "backend", b.Name(), "error", err)
		case err == nil && !up:
			d.log.Info("the backend answers again", "backend", b.Name())
		}
		up = err == nil
		if asked != nil {
			asked()
			asked = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(probeEvery):
		}
	}
}

// run serves until a signal ends it.
func (d *daemon) run(c *config.Config, lns []opened, hups <-chan os.Signal) error {
	ends := make(chan os.Signal, 2) // apart from SIGHUP, however often that comes
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	failed := make(chan error, len(lns))
	for _, l := range lns {
		d.log.Info("listening", "listener", l.of.Name, "address", l.Addr(), "hostname", c.Hostname, "mode", c.Mode, "version", version())
		go func() { failed <- d.server.Serve(l.Listener, l.of) }()
	}
	look := time.NewTicker(overridesEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if d.overrides.look(d.log) {
				d.server.Swap(d.overrides.settings())
			}
		case err := <-failed:
			if err != nil {
				return err
			}
		case <-hups:
			d.reload()
		case s := <-ends:
			d.drain(ends, s)
			return nil
		}
	}
}

// reload reads the config anew; a broken one changes nothing.
func (d *daemon) reload() {
	d.journal.Reopen()
	if d.flags.quick() {
		d.log.Info("there is no config file to read anew")
		return
	}
	c, err := loadConfig(d.flags.config)
	if err == nil {
		err = d.apply(c)
	}
	d.metrics.reloaded(err == nil)
	if err != nil {
		d.log.Error("the config was not read anew; the old one stays in force", "error", err)
		return
	}
	d.log.Info("the config was read anew; it holds for new sessions", "file", d.flags.config)
	if parts := fixed(d.began, c); len(parts) > 0 {
		d.log.Warn("these parts of the config changed, which takes a restart", "file", d.flags.config, "parts", strings.Join(parts, ", "))
	}
}

// fixed names the parts in which two configs differ that hold from the start of a process to its end.
func fixed(began, now *config.Config) (parts []string) {
	for _, x := range []struct {
		name string
		a, b any
	}{
		{"listen", began.Listen, now.Listen}, {"admin", began.Admin, now.Admin}, {"journal", began.Journal, now.Journal}, {"log", began.Log, now.Log},
	} {
		if !reflect.DeepEqual(x.a, x.b) {
			parts = append(parts, x.name)
		}
	}
	return parts
}

// drain ends the server: data under way finishes, unless a second signal says to hurry.
func (d *daemon) drain(ends <-chan os.Signal, first os.Signal) {
	d.log.Info("stopping: no new sessions; content under way finishes", "signal", first, "at_most", drainTime)
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	go func() {
		<-ends
		cancel()
	}()
	if err := d.server.Shutdown(ctx); err != nil {
		d.log.Warn("sessions were cut off", "error", err)
	}
	d.stop()
	d.parts.close()
}
