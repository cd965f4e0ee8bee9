package config

import (
	"strings"
	"testing"
)

func TestParseRules(t *testing.T) {
	tests := []struct{ name, text, problem string }{
		{"none", "# nothing\n", ""},
		{"one", "[rule.a]\naction = \"allow\"\nclient = [\"203.0.113.0/24\"]\nexpires = 2026-12-01T10:00:00Z\ncomment = \"by amy@mx\"\n", ""},
		{"another table", "hostname = \"mx.example.com\"\n", "r.toml:1:1: hostname: "},
		{"no proof", "[rule.a]\naction = \"allow\"\nsender_domain = [\"shop.example\"]\n", "r.toml:1:"},
		{"no condition", "\n[rule.a]\naction = \"deny\"\n", "r.toml:2:"},
		{"no TOML", "[rule.a\n", "r.toml:1:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := ParseRules("r.toml", []byte(tt.text), nil)
			if tt.problem == "" && err != nil || tt.problem != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.problem)) {
				t.Fatalf("got %v, want %q", err, tt.problem)
			}
			if tt.name == "one" && (len(c.Rules) != 1 || c.Line("rule.a") != 1 || c.Rules[0].Expires.Hour() != 10 || c.File != "r.toml") {
				t.Errorf("got %+v at line %d", c.Rules, c.Line("rule.a"))
			}
		})
	}
}
