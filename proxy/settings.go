package proxy

import (
	"crypto/tls"
	"net/netip"
	"time"

	"gatepost/policy"
	"gatepost/proxy/smtp"
)

// Settings are what a session lives by; a session keeps those it started with. They are not changed once in use.
type Settings struct {
	Hostname     string // our name in the banner, Received and Authentication-Results
	Routes       *Routes
	Policy       *policy.Policy
	TLS          *tls.Config   // nil: no STARTTLS
	Limits       Limits        // zero fields take the defaults
	RejectBareLF bool          // refuse content with bare LF, instead of making it CR LF
	Subject      bool          // records hold the subject
	Transcript   bool          // records hold the dialogue, without content
	Pregreet     time.Duration // how long the banner is held to see who talks first; 0: not looked at
}

// Listener is one way in.
type Listener struct {
	Name        string
	ImplicitTLS bool           // TLS from the first byte
	NoTLS       bool           // STARTTLS is not offered
	ProxyFrom   []netip.Prefix // whose PROXY header is believed, and demanded
	XClientFrom []netip.Prefix // who may send XCLIENT
	Early       []string       // checks whose refusal is told at connect, not at RCPT
}

// Limits bound what a stranger can take (REPLIES).
type Limits struct {
	Connections    int           // open sessions in all; default 1000
	PerClient      int           // of one client, by /32 or /64; default 50
	MessageSize    int64         // octets of content; default 50 MB
	Recipients     int           // of one transaction; default 200
	Memory         int64         // octets of content in memory, over all sessions; default 256 MB
	SpoolMemory    int64         // octets of one message in memory, before it goes on to the backend or to a file; less while half of Memory is in use; default 1 MiB
	SpoolDir       string        // where such files are made; default os.TempDir()
	Errors         int           // in a session; default 20
	IdleCommands   int           // commands that bring no mail on, since the last one that was delivered; default 100
	CommandTimeout time.Duration // wait for a command; default 5 min
	BlockTimeout   time.Duration // wait for more content; default 3 min
	DataTimeout    time.Duration // for the content as a whole; default 30 min
	DataRate       int64         // octets a second on average, once BlockTimeout is over; default 500
	SessionTimeout time.Duration // for a session, but that content under way then has its DataTimeout; default 60 min
	HeaderSize     int           // octets of the header block; default 512 KiB
	HeaderFields   int           // default 1000
	FieldSize      int           // octets of one field; default 64 KiB
	Received       int           // Received fields before it is a loop; default 100
}

// withDefaults fills in what is not set.
func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def64 := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	defT := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.Connections, 1000)
	def(&l.PerClient, 50)
	def64(&l.MessageSize, 50e6)
	def(&l.Recipients, 200)
	def64(&l.Memory, 256e6)
	def64(&l.SpoolMemory, 1<<20)
	def(&l.Errors, 20)
	def(&l.IdleCommands, 100)
	defT(&l.CommandTimeout, 5*time.Minute) // RFC 5321 section 4.5.3.2.7
	defT(&l.BlockTimeout, 3*time.Minute)
	defT(&l.DataTimeout, 30*time.Minute)
	def64(&l.DataRate, 500)
	defT(&l.SessionTimeout, time.Hour)
	def(&l.HeaderSize, 512<<10)
	def(&l.HeaderFields, 1000)
	def(&l.FieldSize, 64<<10)
	def(&l.Received, 100) // RFC 5321 section 6.3: at least 100
	return l
}

// offer is what EHLO offers: what we do ourselves, and of the rest what every backend is known to do, since the
// recipient that chooses the backend comes later.
func (s *Settings) offer(tlsOn bool) (smtp.Offer, int64) {
	o := smtp.Offer{Size: true, EightBit: true, UTF8: true, Chunking: true, Binary: true, DSN: true, RequireTLS: tlsOn}
	size := s.Limits.MessageSize
	for _, b := range s.Routes.backends {
		c, known := b.Caps()
		o.EightBit = o.EightBit && (c.EightBit || !known)
		o.UTF8 = o.UTF8 && c.UTF8
		o.Binary = o.Binary && c.Binary && c.Chunking
		o.DSN = o.DSN && c.DSN
		o.RequireTLS = o.RequireTLS && c.RequireTLS
		if c.Size > 0 {
			size = min(size, c.Size)
		}
	}
	return o, size
}
