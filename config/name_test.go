package config

import "testing"

func TestDomainName(t *testing.T) {
	tests := []struct{ name, text, want string }{ // no want: it is refused
		{"as it is", "mx.example.com", "mx.example.com"},
		{"capitals", "MX.Example.COM", "mx.example.com"},
		{"final dot", "example.com.", "example.com"},
		{"U-labels", "Bücher.example", "xn--bcher-kva.example"},
		{"sharp s keeps its own name", "faß.example", "xn--fa-hia.example"},
		{"wide dot", "example。com", "example.com"},
		{"A-label", "XN--bcher-kva.example", "xn--bcher-kva.example"},
		{"broken A-label", "xn--a.example", ""},
		{"one label", "lan", "lan"},
		{"empty", "", ""},
		{"dot alone", ".", ""},
		{"empty label", "a..b", ""},
		{"underscore", "_dmarc.example.com", ""},
		{"hyphen in front", "-a.example", ""},
		{"space", "a b.example", ""},
		{"line end", "a.example\n", ""},
		{"address", "::1", ""},
		{"long label", "a123456789012345678901234567890123456789012345678901234567890123.example", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := domainName(tt.text); got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("%q is %q, %v; want %q", tt.text, got, err, tt.want)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	tests := []struct {
		entry, domain string
		want          bool
	}{
		{"example.com", "example.com", true},
		{"example.com", "mx.example.com", false},
		{".example.com", "example.com", true},
		{".example.com", "a.b.example.com", true},
		{".example.com", "badexample.com", false},
		{".example.com", "com", false},
	}
	for _, tt := range tests {
		if got := covers(tt.entry, tt.domain); got != tt.want {
			t.Errorf("%q covers %q: %t, want %t", tt.entry, tt.domain, got, tt.want)
		}
	}
}

func TestHostPort(t *testing.T) {
	for text, want := range map[string]string{
		":25": "", "127.0.0.1:25": "127.0.0.1", "[::1]:25": "::1", "localhost:0": "localhost", "mx.example.com:65535": "mx.example.com",
	} {
		if got, err := hostPort(text, "25"); err != nil || got != want {
			t.Errorf("%q has the host %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "25", "::1:25", "a:b:c", "127.0.0.1:", "127.0.0.1:smtp", ":+25", ":025", ":65536", "a b:25", "a:25 "} {
		if host, err := hostPort(text, "25"); err == nil {
			t.Errorf("%q has the host %q", text, host)
		}
	}
}

func TestPath(t *testing.T) {
	path := Path("check", "dnsbl", "zone", `zen."x\.org`, "weight")
	if want := `check.dnsbl.zone."zen.\"x\\.org".weight`; path != want {
		t.Errorf("got %s, want %s", path, want)
	}
	for path, want := range map[string]string{
		path: `check.dnsbl.zone."zen.\"x\\.org"`, `check.dnsbl.zone."zen.\"x\\.org"`: "check.dnsbl.zone",
		"a[1]": "a", "a[1].b": "a[1]", "a": "", "": "",
	} {
		if got := parent(path); got != want {
			t.Errorf("parent of %s is %s, want %s", path, got, want)
		}
	}
}
