package main

import (
	"context"
	"fmt"
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
func openListeners(c *config.Config) ([]opened, error) {
	var all []opened
	for _, l := range c.Listen {
		of := engineListener(l)
		for _, a := range l.Address {
			lns, err := openAddress(a)
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
	return all, nil
}

// engineListener is a listener of the config as the engine wants it.
func engineListener(l config.Listener) *proxy.Listener {
	return &proxy.Listener{Name: l.Name, ImplicitTLS: l.TLS == "implicit", NoTLS: l.TLS == "none",
		ProxyFrom: l.ProxyProtocolFrom, XClientFrom: l.XclientFrom, Early: l.Early}
}

// openAddress opens "host:port", or takes the sockets that systemd handed over under a name.
func openAddress(a string) ([]net.Listener, error) {
	name, ok := strings.CutPrefix(a, "systemd:")
	if !ok {
		// No TCP keep-alive: SMTP's own deadlines are shorter, and each socket would cost four more system calls.
		ln, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp", a)
		return []net.Listener{ln}, err
	}
	byName, err := activation.ListenersWithNames()
	if err != nil {
		return nil, err
	}
	if len(byName[name]) == 0 {
		return nil, fmt.Errorf("systemd handed over no socket of this name: the .socket unit needs FileDescriptorName=%s", name)
	}
	return byName[name], nil
}
