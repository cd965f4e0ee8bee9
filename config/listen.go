package config

import "strings"

// listeners checks each listener; without any, we listen on port 25.
func (r *reader) listeners() {
	c := r.config
	if len(c.Listen) == 0 && !r.blamed["listen"] {
		c.Listen = []Listener{{Name: "smtp", Address: []string{":25"}}}
	}
	first := map[string]string{} // address -> path
	for i := range c.Listen {
		l := &c.Listen[i]
		path := Path("listen", l.Name)
		r.plainName(path, l.Name)
		r.listenAddresses(path+".address", l.Address, first)
		r.listenTLS(path+".tls", l)
	}
}

// plainName keeps names that become metric labels and log values to the letters of a bare key.
func (r *reader) plainName(path, name string) {
	if !isBare(name) {
		r.atKey(path, "%s is no name: only letters, digits, \"_\" and \"-\"", quote(name))
	}
}

func (r *reader) listenAddresses(path string, addresses []string, first map[string]string) {
	if len(addresses) == 0 {
		r.at(path, `is missing: write where to listen, such as address = [":25"]`)
	}
	for i, a := range addresses {
		at := element(path, i)
		if err := listenAddress(a); err != nil {
			r.at(at, "%v", err)
		} else if known, ok := first[a]; ok && !strings.HasSuffix(a, ":0") { // port 0: each takes a free one
			r.at(at, "%s is already taken by %s%s", quote(a), known, r.onLine(known))
		} else {
			first[a] = at
		}
	}
}

func listenAddress(text string) error {
	if name, ok := strings.CutPrefix(text, "systemd:"); ok && isBare(name) {
		return nil
	}
	_, err := hostPort(text, "25")
	return err
}

// listenTLS settles TLS towards senders: STARTTLS wherever there is a certificate.
func (r *reader) listenTLS(path string, l *Listener) {
	certificate := r.config.TLS != nil || r.blamed["tls"]
	switch {
	case l.TLS == "" && certificate:
		l.TLS = "starttls"
	case l.TLS == "":
		l.TLS = "none"
	case l.TLS != "none" && !certificate:
		r.at(path, "%s needs a certificate and its key in [tls]", quote(l.TLS))
	}
}
