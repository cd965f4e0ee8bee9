package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"

	"gatepost/config"
	"gatepost/proxy"
)

// opened is a socket with the listener it belongs to.
type opened struct {
	net.Listener
	of *proxy.Listener
}

// openListeners opens every address of the config, or none.
func openListeners(c *config.Config, log *slog.Logger) ([]opened, error) {
	handed, err := activation.ListenersWithNames() // once: it takes them out of the environment
	if err != nil {
		return nil, fmt.Errorf("take the sockets of systemd: %w", err)
	}
	sockets := sockets(handed)
	var all []opened
	for _, l := range c.Listen {
		of := engineListener(l)
		for _, a := range l.Address {
			lns, err := sockets.open(a)
			if err != nil {
				for _, o := range all {
					o.Close()
				}
				return nil, fmt.Errorf("%s: listen on %s: %w", where(c, config.Path("listen", l.Name)), a, err)
			}
			for _, ln := range lns {
				all = append(all, opened{ln, of})
			}
		}
	}
	sockets.closeUnused(log)
	return all, nil
}

// engineListener is a listener of the config as the engine wants it.
func engineListener(l config.Listener) *proxy.Listener {
	return &proxy.Listener{Name: l.Name, ImplicitTLS: l.TLS == "implicit", NoTLS: l.TLS == "none",
		ProxyFrom: l.ProxyProtocolFrom, XClientFrom: l.XclientFrom, Early: l.Early}
}

// sockets are those that systemd handed over, by name.
type sockets map[string][]net.Listener

// open opens "host:port", or takes the sockets of a name.
func (s sockets) open(a string) ([]net.Listener, error) {
	name, ok := strings.CutPrefix(a, "systemd:")
	if !ok {
		// No TCP keep-alive: SMTP's own deadlines are shorter, and each socket would cost four more system calls.
		ln, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp", a)
		return []net.Listener{ln}, err
	}
	lns := s[name]
	if len(lns) == 0 {
		return nil, fmt.Errorf("systemd handed over no socket of this name: the .socket unit needs FileDescriptorName=%s", name)
	}
	delete(s, name) // no other address has this name: the config sees to it
	return lns, nil
}

// closeUnused closes those that no address has taken: who connects there would wait for ever.
func (s sockets) closeUnused(log *slog.Logger) {
	for name, lns := range s {
		for _, ln := range lns {
			log.Warn("a socket from systemd is closed: no listener has its name as an address", "name", "systemd:"+name, "address", ln.Addr())
			ln.Close()
		}
	}
}
