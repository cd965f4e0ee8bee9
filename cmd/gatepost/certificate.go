package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"gatepost/config"
)

// certificate is our certificate, loaded anew when its files change. One that is broken, has expired or is not valid yet does not replace
// one that is good; it is tried again.
type certificate struct {
	files   config.TLS
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]
	seen    [2]time.Time // change times of the files in use
	told    string       // what the log knows of those that were not loaded
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
	seen := c.changed()
	pair, err := tls.LoadX509KeyPair(c.files.Certificate, c.files.Key)
	if err != nil {
		return fmt.Errorf("tls: load certificate %s with key %s: %w", c.files.Certificate, c.files.Key, err)
	}
	now := time.Now()
	if fault := untimely(pair.Leaf, now); fault != "" {
		if old != nil && untimely(old.current.Load().Leaf, now) == "" {
			return fmt.Errorf("tls: certificate %s %s", c.files.Certificate, fault)
		}
		c.log.Warn("the certificate "+fault, "file", c.files.Certificate)
	}
	c.current.Store(&pair)
	c.seen, c.told = seen, ""
	return nil
}

// untimely says that a certificate has expired, or is not valid yet; "" where it is valid.
func untimely(leaf *x509.Certificate, now time.Time) string {
	switch {
	case now.After(leaf.NotAfter):
		return "has expired, on " + leaf.NotAfter.Format(time.RFC3339)
	case now.Before(leaf.NotBefore):
		return "is not valid yet, but from " + leaf.NotBefore.Format(time.RFC3339) + " on"
	}
	return ""
}

func (c *certificate) changed() (at [2]time.Time) {
	for i, f := range []string{c.files.Certificate, c.files.Key} {
		if st, err := os.Stat(f); err == nil {
			at[i] = st.ModTime()
		}
	}
	return at
}

// reload loads the files if they are not those in use. What is wrong with them is told once.
func (c *certificate) reload() {
	if c.changed() == c.seen {
		return
	}
	if err := c.load(c); err != nil {
		if c.told != err.Error() {
			c.log.Error("the certificate was not loaded anew; the old one stays in use", "error", err)
		}
		c.told = err.Error()
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
