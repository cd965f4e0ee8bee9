package config

import (
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatepost/policy"
)

type on = map[policy.Outcome]policy.Action

// minimal is what the smallest config comes to.
func minimal() *Config {
	c := defaults()
	c.Hostname = "mx.example.com"
	c.Listen = []Listener{{Name: "smtp", Address: []string{":25"}, TLS: "none"}}
	c.Backends = []Backend{{Name: "main", Address: []string{"127.0.0.1:10026"}, Domains: []string{"example.com"},
		ClientIP: "none", TLS: "none"}}
	c.Policy = Policy{Checks: []string{"spf", "greylist"}, Contact: "postmaster@example.com"}
	c.Checks = []Check{
		{Name: "spf", Mode: policy.Enforce},
		{Name: "greylist", Mode: policy.Enforce,
			Settings: &greySettings{Delay: 5 * time.Minute, Prefix: prefixes{IPv4: 24, IPv6: 64}}},
	}
	return c
}

func full() *Config {
	c := minimal()
	c.Mode = policy.Monitor
	c.Listen = []Listener{
		{Name: "smtp", Address: []string{"127.0.0.1:25", "[::1]:25", "systemd:smtp"}, TLS: "starttls",
			ProxyProtocolFrom: networks("10.0.0.0/8", "192.0.2.7/32"), XclientFrom: networks("2001:db8::1/128", "127.0.0.0/8")},
		{Name: "submission", Address: []string{":465"}, TLS: "implicit"},
	}
	c.TLS = &TLS{"/etc/gatepost/fullchain.pem", "/etc/gatepost/privkey.pem"}
	c.Backends = []Backend{
		{Name: "main", Address: []string{"127.0.0.1:10026", "unix:/run/mail.sock"},
			Domains: []string{"example.com", ".xn--bcher-kva.example"}, ClientIP: "xclient", TLS: "none"},
		{Name: "far", Address: []string{"mail.example.org:25"},
			Domains:  []string{"example.org", ".example.org", "sub.xn--bcher-kva.example"},
			ClientIP: "none", TLS: "required", TLSVerify: true, TLSName: "mail.example.org"},
	}
	c.Policy = Policy{Checks: []string{"greylist", "spf"}, Contact: "help@example.com", Soft: true}
	c.Checks = []Check{
		{Name: "greylist", Mode: policy.Enforce, Settings: &greySettings{
			Delay: 10 * time.Minute, Prefix: prefixes{IPv4: 28, IPv6: 64}, Size: 10240,
			Until: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
			Zones: []zone{{"b.example", -5}, {"a.example", 1}},
		}},
		{Name: "spf", Mode: policy.Monitor, On: on{"fail": policy.Defer, "softfail": policy.None}},
	}
	c.Domains = []Domain{
		{Name: "example.com", Key: "EXAMPLE.com", Checks: []Override{{Name: "spf", Mode: policy.Off}}},
		{Name: "amy@xn--bcher-kva.example", Key: "Amy@bücher.example", Checks: []Override{
			{Name: "spf", Mode: policy.Enforce, On: on{"fail": policy.Reject}}}},
		{Name: "xn--bcher-kva.example", Key: "xn--bcher-kva.example"},
		{Name: "example", Key: "example"},
	}
	c.Limits.MessageSize, c.Limits.Recipients, c.Limits.SessionTimeout = 65536, 100, 90*time.Minute
	c.SMTP.BareLF = "reject"
	c.Journal = Journal{Dir: "/var/lib/gatepost", Keep: 9 * 24 * time.Hour, File: "-", MaxSize: 2e9, Personal: "hash", Subject: true, Transcript: "refused"}
	c.Admin.Address = ""
	c.Log = Log{Format: "json", Level: slog.LevelDebug}
	return c
}

func networks(texts ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, t := range texts {
		ps = append(ps, netip.MustParsePrefix(t))
	}
	return ps
}

func TestGood(t *testing.T) {
	for name, want := range map[string]*Config{"minimal": minimal(), "crlf": minimal(), "full": full()} {
		t.Run(name, func(t *testing.T) {
			want.File = "../testdata/config/good/" + name + ".toml"
			got, err := Load(want.File, testKinds())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, sameConfig()...); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func sameConfig() []cmp.Option {
	return []cmp.Option{cmpopts.IgnoreUnexported(Config{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
}

func TestLine(t *testing.T) {
	text, err := os.ReadFile("../testdata/config/good/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("full.toml", text, testKinds())
	if err != nil {
		t.Fatal(err)
	}
	// begins is how the line must begin; nothing means that there is no such line.
	for path, begins := range map[string]string{
		"hostname":                    `hostname = "MX`,
		"check.spf.on.fail":           `on   = { fail`,
		"check.spf.on.permerror":      `on   = { fail`,
		"check.spf":                   `[check.spf]`,
		"check.greylist.retry_window": `[check.greylist]`,
		Path("check", "greylist", "zone", "b.example", "weight"): `weight = -5`,
		Path("domain", "EXAMPLE.com", "check", "spf", "mode"):    `check.spf.mode = "off"`,
		"limits.memory":          `[limits]`,
		"listen.smtp.address[1]": `address = ["127.0.0.1:25"`,
		"dns.timeout":            ``,
	} {
		line := ""
		if n := c.Line(path); n > 0 {
			line = strings.Split(string(text), "\n")[n-1]
		}
		if !strings.HasPrefix(line, begins) || begins == "" && line != "" {
			t.Errorf("Line(%s) is %q, want %q", path, line, begins)
		}
	}
}

// The address that refusals name takes mail: its domain is one of the first backend.
func TestContact(t *testing.T) {
	for domains, want := range map[string]string{
		`"Example.com", "example.net"`:     "postmaster@example.com",
		`".example.net", "bücher.example"`: "postmaster@xn--bcher-kva.example",
		`".example.net"`:                   "postmaster@example.net",
	} {
		text := "[backend.main]\naddress = [\"127.0.0.1:10026\"]\ndomains = [" + domains + "]\n" +
			"[backend.far]\naddress = [\"127.0.0.1:10027\"]\ndomains = [\"example.org\"]\n"
		c, err := Parse("f", []byte("hostname = \"mx.example.com\"\n"+text), nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.Policy.Contact != want {
			t.Errorf("%s: refusals name %s, want %s", domains, c.Policy.Contact, want)
		}
	}
}
