package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"gatepost/config"
)

// certificate is our certificate, loaded anew when its files change. One that is broken, or has expired, does not replace one that is
// good.
type certificate struct {
	files   config.TLS
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]
	seen    [2]time.Time // change times of the files, as last loaded
}

// loadCertificate loads the files; nil without an error where the config names none. old is the certificate in use, nil for none.
func loadCertificate(files *config.TLS, old *certificate, log *slog.Logger) (*certificate, error) {
	if files == nil {
		return nil, nil
	}
	c := &certificate{files: *files, log: log}
	if err := c.load(old); err != nil {
		return nil, err
	}
	return c, nil
}

// load loads the files, unless what they hold is worse than what is in use.
func (c *certificate) load(old *certificate) error {
	c.seen = c.changed()
	pair, err := tls.LoadX509KeyPair(c.files.Certificate, c.files.Key)
	if err != nil {
		return fmt.Errorf("tls: load certificate %s with key %s: %w", c.files.Certificate, c.files.Key, err)
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) {
		if old != nil && now.Before(old.expires()) {
			return fmt.Errorf("tls: certificate %s has expired, on %s", c.files.Certificate, pair.Leaf.NotAfter.Format(time.RFC3339))
		}
		c.log.Warn("the certificate has expired", "file", c.files.Certificate, "expired", pair.Leaf.NotAfter)
	}
	c.current.Store(&pair)
	return nil
}

func (c *certificate) changed() (at [2]time.Time) {
	for i, f := range []string{c.files.Certificate, c.files.Key} {
		if st, err := os.Stat(f); err == nil {
			at[i] = st.ModTime()
		}
	}
	return at
}

// reload loads the files if they have changed.
func (c *certificate) reload() {
	if c.changed() == c.seen {
		return
	}
	if err := c.load(c); err != nil {
		c.log.Error("the certificate was not loaded anew; the old one stays in use", "error", err)
		return
	}
	c.log.Info("the certificate was loaded anew", "file", c.files.Certificate, "expires", c.expires())
}

// watch looks for changed files until ctx ends.
func (c *certificate) watch(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			c.reload()
		}
	}
}

func (c *certificate) expires() time.Time { return c.current.Load().Leaf.NotAfter }

// config is the TLS we speak with senders: 1.2 at least; no session tickets, which Outlook's servers stumble over
// (golang/go#70232); the one certificate for every name.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
