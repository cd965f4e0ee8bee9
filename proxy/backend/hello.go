package backend

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	proxyproto "github.com/pires/go-proxyproto"

	"gatepost/proxy/smtp"
)

// errNoXClient tells the admin what to do.
var errNoXClient = errors.New(`client_ip is "xclient", but the server does not offer XCLIENT with ADDR to us: ` +
	"allow our address there (Postfix: smtpd_authorized_xclient_hosts)")

// maxHelo is the longest name of a client that we repeat, in octets (RFC 5321 section 4.5.3.1.2).
const maxHelo = 255

// opening is what happens on a connection before the first MAIL.
type opening struct {
	settings *Settings
	link     *link
	client   *Client // nil for a probe
	tls      TLSMode
	told     bool // the server knows of the client
}

// run goes through the steps in their order; each knows whether it is wanted.
func (o *opening) run() *Fault {
	steps := [...]func() *Fault{o.proxy, o.banner, o.hello, o.startTLS, o.xclient}
	for _, step := range steps {
		if f := step(); f != nil {
			return f
		}
	}
	return nil
}

// proxy sends the header of the PROXY protocol, version 2, before anything else. A probe is LOCAL: our own doing.
func (o *opening) proxy() *Fault {
	if o.settings.ClientIP != ClientIPProxyV2 {
		return nil
	}
	h := &proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	if o.client != nil {
		o.told = true
		h = proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(o.client.Addr), net.TCPAddrFromAddrPort(o.client.Local))
	}
	p, err := h.Format()
	if err != nil {
		return nonsense(stageBanner, smtp.Reply{}, fmt.Errorf("make PROXY header: %w", err))
	}
	if err := o.link.write(p, until(o.settings.Timeouts.Banner)); err != nil {
		return broken(stageBanner, err)
	}
	return nil
}

// banner waits for the server to speak first (RFC 5321 section 3.1).
func (o *opening) banner() *Fault {
	r, err := o.link.reply(until(o.settings.Timeouts.Banner))
	if err != nil {
		return broken(stageBanner, err)
	}
	if r.Code != 220 {
		return refused(stageBanner, r)
	}
	return nil
}

// hello says EHLO, and HELO where the server does not know EHLO (RFC 5321 section 3.2).
func (o *opening) hello() *Fault {
	o.link.caps = smtp.Caps{}
	name := o.name()
	r, err := o.ask("EHLO " + name + "\r\n")
	switch {
	case err != nil:
		return broken(stageEhlo, err)
	case r.Class() == 2:
		o.link.caps = smtp.ParseEHLO(r)
		return nil
	case r.Class() != 5:
		return refused(stageEhlo, r)
	}
	r, err = o.ask("HELO " + name + "\r\n")
	switch {
	case err != nil:
		return broken(stageEhlo, err)
	case r.Class() != 2:
		return refused(stageEhlo, r)
	}
	return nil
}

// name is the client's own where the server knows that it speaks with that client, so that what the server judges and
// logs is of one piece; else it is ours.
func (o *opening) name() string {
	if o.told && oneWord(o.client.Helo) {
		return o.client.Helo
	}
	return o.settings.Hostname
}

// oneWord says whether a name can be sent behind EHLO as it is.
func oneWord(name string) bool {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' {
			return false
		}
	}
	return name != "" && len(name) <= maxHelo
}

// startTLS secures the connection where the settings ask for it and the server can.
func (o *opening) startTLS() *Fault {
	if o.tls == TLSNone {
		return nil
	}
	if !o.link.caps.StartTLS {
		return o.inClear(smtp.Reply{}, errors.New("the server does not offer STARTTLS"))
	}
	r, err := o.ask("STARTTLS\r\n")
	switch {
	case err != nil:
		return broken(stageStartTLS, err)
	case r.Code == 421:
		return refused(stageStartTLS, r)
	case r.Code != 220:
		return o.inClear(r, errors.New("the server refuses STARTTLS"))
	case o.link.in.Buffered() > 0:
		// What stands behind the reply was sent in clear, by whomever, to be read as if it had come under TLS.
		return broken(stageStartTLS, errOutOfTurn)
	}
	if err := o.link.secure(o.config(), until(o.settings.Timeouts.Banner)); err != nil {
		return noTLS(smtp.Reply{}, fmt.Errorf("%w: %w", errHandshake, err))
	}
	return o.hello() // RFC 3207 section 4.2: the session starts anew
}

// inClear is a fault where TLS is required.
func (o *opening) inClear(heard smtp.Reply, err error) *Fault {
	if o.tls == TLSRequired {
		return noTLS(heard, err)
	}
	return nil
}

// config is a copy of the configured one, for this address.
func (o *opening) config() *tls.Config {
	c := &tls.Config{}
	if o.settings.TLSConfig != nil {
		c = o.settings.TLSConfig.Clone()
	}
	if c.ServerName == "" {
		c.ServerName = host(o.link.address)
	}
	if o.tls == TLSOpportunistic {
		c.InsecureSkipVerify = true // the other choice would be clear text, which verifies nothing either
	}
	return c
}

// xclient tells a server that trusts us of the client. The server answers each command with a banner and starts anew,
// so EHLO comes again behind the last.
func (o *opening) xclient() *Fault {
	if o.settings.ClientIP != ClientIPXClient {
		return nil
	}
	attrs := o.link.caps.XClient
	if attrs&smtp.XAddr == 0 {
		return nonsense(stageXClient, smtp.Reply{}, errNoXClient)
	}
	if o.client == nil {
		return nil
	}
	o.told = true
	for _, line := range smtp.XClientCommands(o.client.xclient(), attrs) {
		r, err := o.link.ask(line, o.settings.Timeouts.Banner)
		if err != nil {
			return broken(stageXClient, err)
		}
		if r.Code != 220 {
			return refused(stageXClient, r)
		}
	}
	return o.hello()
}

// xclient is the client in the words of XCLIENT.
func (c *Client) xclient() smtp.XClient {
	return smtp.XClient{
		Addr:     c.Addr.Addr().Unmap(),
		Port:     c.Addr.Port(),
		Name:     c.Name,
		Helo:     c.Helo,
		Proto:    c.Proto,
		DestAddr: c.Local.Addr().Unmap(),
		DestPort: c.Local.Port(),
	}
}

// ask sends a command of the opening.
func (o *opening) ask(line string) (smtp.Reply, error) {
	return o.link.ask([]byte(line), o.settings.Timeouts.Banner)
}
