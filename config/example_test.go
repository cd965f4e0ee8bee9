package config

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatepost/policy"
)

func TestExampleLoads(t *testing.T) {
	got, err := Parse("gatepost.toml", []byte(Example()), testKinds())
	if err != nil {
		t.Fatal(err)
	}
	want := minimal()
	want.Mode, want.File, want.Journal.Dir = policy.Monitor, "gatepost.toml", "/var/lib/gatepost" // a week that is watched is recorded
	if diff := cmp.Diff(want, got, sameConfig()...); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestExampleShowsDefaults takes the "#" from every setting: they must be the defaults, but for those that have none.
func TestExampleShowsDefaults(t *testing.T) {
	text := regexp.MustCompile(`(?m)^#([\[a-z])`).ReplaceAllString(Example(), "$1")
	t.Setenv("TMPDIR", "")
	got, err := Parse("gatepost.toml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := Parse("gatepost.toml", []byte(Example()), nil)
	if err != nil {
		t.Fatal(err)
	}
	plain.TLS = &TLS{"/etc/gatepost/fullchain.pem", "/etc/gatepost/privkey.pem"}
	plain.Listen[0].TLS = "starttls"
	plain.Backends[0].TLSName = "mail.example.com"
	if diff := cmp.Diff(plain, got, append(sameConfig(), cmpopts.EquateEmpty())...); diff != "" {
		t.Errorf("-default +shown\n%s", diff)
	}
}

// TestExampleIsComplete finds a key that the example forgot.
func TestExampleIsComplete(t *testing.T) {
	for _, section := range []any{&Config{}, &Listener{}, &TLS{}, &Backend{}, &Policy{}, &Limits{}, &SMTP{}, &Journal{}, &Admin{}, &Log{}} {
		for key := range keysOf(reflect.TypeOf(section).Elem()) {
			if !strings.Contains(Example(), key+" = ") && !strings.Contains(Example(), "["+key) {
				t.Errorf("%T: the example does not show %s", section, key)
			}
		}
	}
}
