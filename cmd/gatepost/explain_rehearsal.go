package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gatepost/checks/ratelimit"
	"gatepost/config"
	"gatepost/greylist"
	"gatepost/internal/mailsink"
	"gatepost/policy"
	"gatepost/proxy"
)

// rehearsal is the proxy of a config, set up so that a session leaves nothing behind: what stands for the backends takes everything and
// throws it away, and what keeps state works on a copy.
type rehearsal struct {
	config   *config.Config
	settings *proxy.Settings
	server   *proxy.Server
	listener *proxy.Listener
	asks     bool     // recipients are asked of the real backends
	ends     []func() // what close does, last first

	mu      sync.Mutex
	records []*policy.Record // of the session under way
	told    func(*policy.Record)
}

// newRehearsal sets it up. With ask, recipients are asked of the real backends.
func newRehearsal(c *config.Config, ask bool) (*rehearsal, error) {
	log := slog.New(slog.DiscardHandler)
	h := &rehearsal{config: c, listener: &proxy.Listener{Name: "explain", NoTLS: true}, asks: ask}
	if len(c.Listen) > 0 {
		h.listener.Early = c.Listen[0].Early
	}
	harmless, err := h.harmless()
	if err != nil {
		h.close()
		return nil, fmt.Errorf("explain: %w", err)
	}
	p := newParts(log)
	h.settings, err = p.build(harmless, nil)
	h.ends = append(h.ends, p.close)
	if err == nil {
		h.settings, err = overridden(c, h.settings)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	h.settings.Pregreet = 0 // told, not waited for
	h.borrowGreylist(log)
	for _, b := range h.settings.Routes.Backends() {
		b.Probe(context.Background()) // EHLO offers what they are known to have
	}
	h.server = proxy.New(h.settings, h.record, log)
	return h, nil
}

// close ends everything.
func (h *rehearsal) close() {
	for i := len(h.ends) - 1; i >= 0; i-- {
		h.ends[i]()
	}
}

// harmless is the config with other backends, and without stores.
func (h *rehearsal) harmless() (*config.Config, error) {
	c := *h.config
	c.Backends = nil
	for _, b := range h.config.Backends {
		sink := &mailsink.Server{Hostname: "backend." + b.Name, Extensions: mailsink.DefaultExtensions(), Keep: 1}
		if h.asks {
			a := newAsker(h.config, b)
			sink.Fault = a.answer
			h.ends = append(h.ends, a.close)
		}
		addr, stop, err := mailsink.Listen(sink)
		if err != nil {
			return nil, err
		}
		h.ends = append(h.ends, stop)
		b.Address, b.ClientIP, b.TLS = []string{addr}, "xclient", "none"
		c.Backends = append(c.Backends, b)
	}
	c.Checks = withoutStores(h.config.Checks)
	return &c, nil
}

// backendReply is what the real backend says of a recipient of whom it was not asked, since the policy refused: a session of its own in which no
// check runs and no rule holds.
func (h *rehearsal) backendReply(r *policy.Record, rc *policy.RecipientRecord) string {
	s := *h.settings
	s.Policy = &policy.Policy{Mode: policy.Enforce}
	bare := &rehearsal{config: h.config, settings: &s, listener: &proxy.Listener{Name: "explain", NoTLS: true}}
	bare.server = proxy.New(&s, bare.record, slog.New(slog.DiscardHandler))
	records, err := bare.play(context.Background(), call{client: r.Client, helo: r.Helo, from: *r.Sender, rcpts: []string{rc.Address}})
	if err != nil {
		return "it cannot be asked: " + err.Error()
	}
	for _, x := range records {
		for _, y := range x.Recipients {
			return replyText(y.Reply)
		}
	}
	return "it cannot be asked"
}

// withoutStores are checks that open no store.
func withoutStores(checks []config.Check) []config.Check {
	var all []config.Check
	for _, k := range checks {
		switch s := k.Settings.(type) {
		case *greylist.Settings:
			own := *s
			own.Store = "memory"
			k.Settings = &own
		case *ratelimit.Settings:
			own := *s
			own.Store = "memory"
			k.Settings = &own
		}
		all = append(all, k)
	}
	return all
}

// judging is the policy that a daemon of a config goes by, its temporary rules among it, to judge findings by; its checks are not to be run.
func judging(c *config.Config) (*policy.Policy, error) {
	p, err := written(c)
	if err != nil {
		return nil, err
	}
	s, err := overridden(c, &proxy.Settings{Policy: p})
	if err != nil {
		return nil, err
	}
	return s.Policy, nil
}

// written is the policy of a config alone, likewise.
func written(c *config.Config) (*policy.Policy, error) {
	own := *c
	own.Backends, own.Checks = nil, withoutStores(c.Checks)
	p := newParts(slog.New(slog.DiscardHandler))
	defer p.close()
	s, err := p.build(&own, nil)
	if err != nil {
		return nil, err
	}
	return s.Policy, nil
}

// borrowGreylist gives the greylist a copy of what the real one remembers.
func (h *rehearsal) borrowGreylist(log *slog.Logger) {
	for _, k := range h.config.Checks {
		s, ok := k.Settings.(*greylist.Settings)
		if !ok {
			continue
		}
		for i := range h.settings.Policy.Slots {
			if slot := &h.settings.Policy.Slots[i]; slot.Check.Name() == k.Name {
				slot.Check = greylist.New(s, &borrowed{settings: s, dir: stateDir(h.config)}, log, time.Now)
			}
		}
	}
}

// borrowed is a copy in memory of a greylist store, made when it is first needed. What cannot be read is taken for empty.
type borrowed struct {
	settings *greylist.Settings
	dir      string
	once     sync.Once
	copy     *greylist.Memory
}

// Sight takes a sighting into the copy.
func (b *borrowed) Sight(ctx context.Context, s greylist.Sighting) (greylist.Decision, error) {
	b.once.Do(func() { b.fill(ctx) })
	return b.copy.Sight(ctx, s)
}

func (b *borrowed) fill(ctx context.Context) {
	b.copy = greylist.NewMemory(b.settings)
	book, err := greylist.OpenBook(b.settings, b.dir, false)
	if err != nil {
		return
	}
	defer book.Close()
	book.Each(ctx, func(r greylist.Record) bool {
		b.copy.Put(ctx, []greylist.Record{r})
		return true
	})
}

// Stats counts nothing.
func (b *borrowed) Stats() map[greylist.State]int { return nil }

// Close does nothing.
func (b *borrowed) Close() error { return nil }

// record takes a record from the session.
func (h *rehearsal) record(r *policy.Record) {
	h.mu.Lock()
	h.records = append(h.records, r)
	told := h.told
	h.mu.Unlock()
	if told != nil {
		told(r)
	}
}

// take gives the records since the last call.
func (h *rehearsal) take() []*policy.Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	rs := h.records
	h.records = nil
	return rs
}

// delays says what a live session would have waited for.
func (h *rehearsal) delays() []string {
	var all []string
	if d := pregreetWait(h.config); d > 0 {
		all = append(all, fmt.Sprintf("a live session waits %v for its banner (pregreet)", d))
	}
	return all
}
