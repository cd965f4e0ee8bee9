// Package config reads gatepost's one TOML file into typed, validated settings. All that is wrong with a file is told at
// once, each with line, column, the key's path, what was expected and, for a near miss, what was probably meant.
//
// To add a section: write its struct with `toml` tags, add it to Config, give its defaults in defaults(), and check what
// the types cannot say in a method that build() calls. Reading, unknown keys, units and positions come of themselves.
package config

import (
	"log/slog"
	"net/netip"
	"os"
	"time"

	"gatepost/policy"
)

// Config is all that one file says, with the defaults for what it leaves out. It is not changed once loaded.
type Config struct {
	File     string      `toml:"-"`                            // as the admin named it; empty if the settings came from flags
	Hostname string      `toml:"hostname"`                     // fully qualified, lower case, A-labels
	Mode     policy.Mode `toml:"mode" oneof:"monitor enforce"` // a ceiling over every check: Monitor or Enforce
	Listen   []Listener  `toml:"listen"`                       // in file order; at least one
	TLS      *TLS        `toml:"tls"`                          // nil: no TLS towards senders
	Backends []Backend   `toml:"backend"`                      // in file order; at least one
	Policy   Policy      `toml:"policy"`
	Checks   []Check     `toml:"-"`      // every check of Policy.Checks, in that order, whether the file has its table or not
	Domains  []Domain    `toml:"domain"` // in file order
	Rules    []Rule      `toml:"rule"`   // in file order, which is the order in which they are tried
	Limits   Limits      `toml:"limits"`
	SMTP     SMTP        `toml:"smtp"`
	DNS      DNS         `toml:"dns"`
	Journal  Journal     `toml:"journal"`
	Admin    Admin       `toml:"admin"`
	Log      Log         `toml:"log"`

	where places
}

// Line is the line of the key at path, such as `check.dnsbl.threshold` (see [Path]), or of the nearest table above it;
// 0 if the file has neither.
func (c *Config) Line(path string) int {
	line, _ := c.where.key(path)
	return line
}

// Has reports whether the file itself has the key or table at path (see [Path]).
func (c *Config) Has(path string) bool { return c.where.has(path) }

// Listener is one [listen.NAME]: addresses that share their settings.
type Listener struct {
	Name              string         `toml:",name"`
	Address           []string       `toml:"address"`                            // "host:port", ":25" or "systemd:NAME"
	TLS               string         `toml:"tls" oneof:"starttls implicit none"` // never empty
	ProxyProtocolFrom []netip.Prefix `toml:"proxy_protocol_from"`                // whose PROXY header is believed, and demanded
	XclientFrom       []netip.Prefix `toml:"xclient_from"`                       // who may send XCLIENT
	Early             []string       `toml:"early"`                              // checks whose refusal is told before the banner
}

// TLS is [tls]: the files that hold our certificate. Whether they can be read and fit together is not looked at here.
type TLS struct {
	Certificate string `toml:"certificate"` // path of the PEM chain
	Key         string `toml:"key"`         // path of its PEM key
}

// Backend is one [backend.NAME]: a mail server behind us and the recipient domains it takes.
type Backend struct {
	Name      string   `toml:",name"`
	Address   []string `toml:"address"` // "host:port" or "unix:/path", tried in order
	Domains   []string `toml:"domains"` // lower case, A-labels; with a leading dot: the domain and all below it
	ClientIP  string   `toml:"client_ip" oneof:"xclient proxy-v2 none"`
	TLS       string   `toml:"tls" oneof:"none opportunistic required"`
	TLSVerify bool     `toml:"tls_verify"` // the backend's certificate must be valid for TLSName
	TLSName   string   `toml:"tls_name"`   // empty: the host of the address
}

// SetDefaults sets what does not depend on the address.
func (b *Backend) SetDefaults() { b.ClientIP = "none" }

// Policy is [policy]: which checks run, and how refusals are sent.
type Policy struct {
	Checks  []string `toml:"checks"`  // names of kinds, in the order of judgement
	Contact string   `toml:"contact"` // address in every refusal
	Soft    bool     `toml:"soft"`    // every 5xx of the policy is sent as 4xx
}

// Check is one check that runs, with its [check.NAME] if the file has one.
type Check struct {
	Name     string                           `toml:"-"`
	Mode     policy.Mode                      `toml:"mode"`
	On       map[policy.Outcome]policy.Action `toml:"on"` // what the file says; other outcomes act as the Kind has it
	Settings any                              `toml:"-"`  // what Kind.Settings returned, filled; nil if the kind has none
}

// Domain is one [domain."NAME"]: what is different for some recipients.
type Domain struct {
	Name   string     `toml:",name"` // a domain (and all below it) or an address: lower case, A-labels, the local part without quotes
	Key    string     // the name as the file has it, for [Path]
	Checks []Override `toml:"check"` // in file order
}

// Override is one check's different settings for a [Domain].
type Override struct {
	Name string                           `toml:",name"`
	Mode policy.Mode                      `toml:"mode"` // Enforce where left out: the lowest of global, check and domain counts
	On   map[policy.Outcome]policy.Action `toml:"on"`   // over the check's own
}

// SetDefaults makes an override that does not speak of the mode one that does not lower it.
func (o *Override) SetDefaults() { o.Mode = policy.Enforce }

// Rule is one [rule.NAME]: an exception. All conditions that it names must hold.
type Rule struct {
	Name         string         `toml:",name"`
	Action       string         `toml:"action" oneof:"allow deny"`
	Client       []netip.Prefix `toml:"client"`
	Helo         []string       `toml:"helo"`          // names; with a leading dot: all below as well
	Sender       []string       `toml:"sender"`        // addresses; "<>" is the null reverse-path
	SenderDomain []string       `toml:"sender_domain"` // domains; with a leading dot: all below as well
	Recipient    []string       `toml:"recipient"`     // addresses or domains
	FromDomain   []string       `toml:"from_domain"`   // domains of the author
	Proof        string         `toml:"proof"`         // "spf", "dkim", "spf or dkim" or "none"; empty: not written
	Skip         []string       `toml:"skip"`          // checks that an allow skips; none: all
	Expires      time.Time      `toml:"expires"`       // zero: never
	Comment      string         `toml:"comment"`
}

// DNS is [dns]: whom to ask, and for how long.
type DNS struct {
	Servers []string      `toml:"servers"` // "192.0.2.53", "192.0.2.53:5353", "[2001:db8::53]:53"; none: the system's
	Timeout time.Duration `toml:"timeout"` // of one query with its retries
}

// Limits is [limits]: what a stranger cannot make us exceed. Sizes are in octets.
type Limits struct {
	Connections          int           `toml:"connections"`
	ConnectionsPerClient int           `toml:"connections_per_client"` // by /32 and /64
	MessageSize          int64         `toml:"message_size" unit:"size"`
	Recipients           int           `toml:"recipients"`               // of one transaction
	Memory               int64         `toml:"memory" unit:"size"`       // all content held in memory
	SpoolMemory          int64         `toml:"spool_memory" unit:"size"` // of one message, before it goes on or to a file
	SpoolDir             string        `toml:"spool_dir"`                // where those files are made
	Errors               int           `toml:"errors"`                   // bad commands before a session is ended
	IdleCommands         int           `toml:"idle_commands"`            // NOOP, RSET and the like, without mail, likewise
	CommandTimeout       time.Duration `toml:"command_timeout"`          // for the next command
	DataTimeout          time.Duration `toml:"data_timeout"`             // for a whole message
	SessionTimeout       time.Duration `toml:"session_timeout"`          // for the whole session; content under way has DataTimeout all the same
}

// SMTP is [smtp]: choices in the protocol itself.
type SMTP struct {
	BareLF string `toml:"bare_lf" oneof:"normalize reject"` // a line of content that ends in a bare LF
}

// Journal is [journal]: the record of every transaction.
type Journal struct {
	Dir        string        `toml:"dir"`                                 // of the stored records; empty: none are stored
	Keep       time.Duration `toml:"keep"`                                // how long they are kept
	MaxSize    int64         `toml:"max_size" unit:"size"`                // octets that they may take; the oldest days go first
	Personal   string        `toml:"personal" oneof:"full domain hash"`   // how much of an address is kept
	Subject    bool          `toml:"subject"`                             // the subject is kept
	Transcript string        `toml:"transcript" oneof:"none refused all"` // which dialogues are kept
	File       string        `toml:"file"`                                // JSON Lines; "-" is stdout; empty: none
}

// Admin is [admin]: the address of metrics and health.
type Admin struct {
	Address string `toml:"address"` // "host:port" on loopback; empty: off
}

// Log is [log]: what is told on stderr.
type Log struct {
	Format string     `toml:"format" oneof:"text json"`
	Level  slog.Level `toml:"level" oneof:"debug info warn error"`
}

// defaults is the config of an empty file, as far as it depends on nothing in the file.
func defaults() *Config {
	return &Config{
		Mode: policy.Enforce,
		Limits: Limits{
			Connections: 1000, ConnectionsPerClient: 50,
			MessageSize: 50e6, Recipients: 200,
			Memory: 256e6, SpoolMemory: 1 << 20, SpoolDir: os.TempDir(),
			Errors: 20, IdleCommands: 100,
			CommandTimeout: 5 * time.Minute, DataTimeout: 30 * time.Minute, SessionTimeout: 60 * time.Minute,
		},
		SMTP:    SMTP{BareLF: "normalize"},
		DNS:     DNS{Timeout: 3 * time.Second},
		Journal: Journal{Keep: 30 * 24 * time.Hour, MaxSize: 5e9, Personal: "full", Transcript: "none"},
		Admin:   Admin{Address: "127.0.0.1:9625"},
		Log:     Log{Format: "text", Level: slog.LevelInfo},
	}
}
