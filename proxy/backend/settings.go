package backend

import (
	"crypto/tls"
	"time"
)

// ClientIP says how a backend learns the address of the real client.
type ClientIP uint8

// The ways; the names in TOML are "none", "xclient" and "proxy-v2".
const (
	ClientIPNone ClientIP = iota
	ClientIPXClient
	ClientIPProxyV2
)

// TLSMode says whether TLS is used towards a backend.
type TLSMode uint8

// The modes; the names in TOML are "none", "opportunistic" and "required".
const (
	TLSNone          TLSMode = iota
	TLSOpportunistic         // where offered, without a look at the certificate; in clear where it fails
	TLSRequired              // with the certificate verified as TLSConfig says, or no mail
)

// Settings are those of one [backend.NAME] table.
type Settings struct {
	Name      string
	Addresses []string // host:port, tried in order; "unix:/path" for a socket in the file system
	Hostname  string   // our name in EHLO
	ClientIP  ClientIP
	TLS       TLSMode
	TLSConfig *tls.Config // may be nil; verification is as it says under TLSRequired; an empty ServerName is the address's host
	Timeouts  Timeouts    // zero fields take the defaults
}

// Timeouts are the waits of REPLIES: each covers one step.
type Timeouts struct {
	Connect time.Duration // 10 s
	Banner  time.Duration // 30 s, also EHLO, STARTTLS, XCLIENT
	Command time.Duration // 240 s: MAIL, RCPT
	Data    time.Duration // 100 s: the wait for 354
	Block   time.Duration // 180 s: one write of content
	Final   time.Duration // 590 s: the wait for the last reply
	Reset   time.Duration // 10 s: RSET, NOOP; QUIT waits a second at most
}

// withDefaults fills in the fields that are zero. RFC 5321 section 4.5.3.2 asks for more in places; a sender that waits
// for our reply within its own timeout sets these.
func (t Timeouts) withDefaults() Timeouts {
	set := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	set(&t.Connect, 10*time.Second)
	set(&t.Banner, 30*time.Second)
	set(&t.Command, 240*time.Second)
	set(&t.Data, 100*time.Second)
	set(&t.Block, 180*time.Second)
	set(&t.Final, 590*time.Second)
	set(&t.Reset, 10*time.Second)
	return t
}
