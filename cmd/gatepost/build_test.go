package main

import (
	"strings"
	"testing"

	"gatepost/checks"
	"gatepost/config"
)

// TestWhereCheck: a refusal names the line that set the check up, never that of another one.
func TestWhereCheck(t *testing.T) {
	const head = "hostname = \"mx.example.com\"\n[backend.main]\naddress = [\"127.0.0.1:10026\"]\ndomains = [\"example.com\"]\n"
	tests := []struct{ name, text, want string }{
		{"its own table", "[policy]\nchecks = [\"pregreet\", \"spf\"]\n[check.pregreet]\n[check.spf]\n", "t.toml:8"},
		{"no table: its name in the list", "[policy]\nchecks = [\"pregreet\",\n  \"spf\"]\n[check.pregreet]\n", "t.toml:7"},
		{"neither", "[check.pregreet]\n", ""},
	}
	for _, tt := range tests {
		c, err := config.Parse("t.toml", []byte(head+tt.text), checks.Kinds())
		if err != nil {
			t.Fatal(err)
		}
		if got := whereCheck(c, "spf"); got != tt.want {
			t.Errorf("%s: %q, want %q\n%s", tt.name, got, tt.want, strings.ReplaceAll(head+tt.text, "\n", "\n  "))
		}
	}
}
