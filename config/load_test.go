package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoadMissing(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "gatepost.toml"), nil)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "gatepost init") {
		t.Errorf("%v does not say what to do", err)
	}
}

func TestLoadFolder(t *testing.T) {
	if _, err := Load(t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a folder as config: %v", err)
	}
}

func TestLoadHuge(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mail.mbox")
	if err := os.WriteFile(file, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file, nil); err == nil || !strings.Contains(err.Error(), "is larger than") {
		t.Errorf("a huge file: %v", err)
	}
}

func TestByteOrderMark(t *testing.T) {
	_, err := parse("f", "\ufeffhostname = 5\nbackend.main = { address = [\"[::1]:25\"], domains = [\"a.example\"] }\n", nil, testMachine)
	if want := "f:1:12: hostname: expected text in quotes, found 5"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestProblemText(t *testing.T) {
	for want, p := range map[string]Problem{
		"f.toml:3:7: mode: bad": {"f.toml", 3, 7, "mode", "bad"},
		"f.toml: backend: bad":  {"f.toml", 0, 0, "backend", "bad"},
		"f.toml:1:2: bad":       {"f.toml", 1, 2, "", "bad"},
		"--listen: bad":         {Path: "--listen", Message: "bad"},
	} {
		if got := p.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestQuick(t *testing.T) {
	qualified := func() (string, error) { return "MX.example.com", nil }
	got, err := quick("", "127.0.0.1:10026", []string{"Example.com"}, testKinds(), qualified)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(minimal(), got, sameConfig()...); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestQuickHostname(t *testing.T) {
	got, err := quick("127.0.0.1:2525", "mail.example.com:25", []string{".example.com"}, nil, testMachine)
	if err != nil {
		t.Fatal(err)
	}
	if got.Hostname != "example.com" || got.Listen[0].Address[0] != "127.0.0.1:2525" || got.Backends[0].TLS != "opportunistic" {
		t.Errorf("got %+v", got)
	}
}

func TestQuickProblems(t *testing.T) {
	tests := []struct {
		name, listen, backend string
		domains               []string
		want                  string
	}{
		{"ports left out", "127.0.0.1", "mail.example.com", []string{"example.com"},
			`--backend: "mail.example.com" is no "host:port"; did you mean "mail.example.com:25"?` + "\n" +
				`--listen: "127.0.0.1" is no "host:port"; did you mean "127.0.0.1:25"?`},
		{"bad domain", "", "[::1]:10025", []string{"amy@example.com"},
			`--domain: "amy@example.com" is a mail address where a domain name is due; did you mean "example.com"?`},
		{"nothing", "", "", nil,
			"--backend: is missing: write where the mail server listens\n" +
				"--domain: is missing: write the recipient domains that this server takes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := quick(tt.listen, tt.backend, tt.domains, nil, testMachine)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

func TestQuickNamesTheMachine(t *testing.T) {
	c, err := Quick("", "127.0.0.1:10026", []string{"example.com"}, nil)
	if err != nil || !strings.Contains(c.Hostname, ".") { // its own name, or the domain
		t.Errorf("got %+v, %v", c, err)
	}
}
