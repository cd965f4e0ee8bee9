package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"gatepost/checks"
	"gatepost/config"
)

var tomlBlock = regexp.MustCompile("(?s)```toml\n(.*?)```")

// TestDocsLoad loads every config that the README and docs/ show. One that is a part of a config comes into that which the
// README begins with, so it speaks of the same domains.
func TestDocsLoad(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	readme := docFile(t, "../../README.md")
	first := tomlBlock.FindStringSubmatch(readme)[1]
	backend, _, _ := strings.Cut(first[strings.Index(first, "[backend."):], "\n\n")
	n := 0
	for _, file := range append(files, "../../README.md") {
		for _, block := range tomlBlock.FindAllStringSubmatch(docFile(t, file), -1) {
			text := block[1]
			if !strings.Contains(text, "hostname") {
				text = "hostname = \"mx.example.com\"\n" + text + "\n" + backend
			}
			n++
			if _, err := config.Parse(filepath.Base(file), []byte(text), checks.Kinds()); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		}
	}
	if n < 7 {
		t.Errorf("only %d blocks were found", n)
	}
	if c, err := config.Parse("README.md", []byte(first), checks.Kinds()); err != nil || c.Journal.Dir == "" {
		t.Error("the README begins with a config that records nothing")
	}
}

// TestDocsMetrics finds metrics that docs and alerts name and that are none.
func TestDocsMetrics(t *testing.T) {
	descs := make(chan *prometheus.Desc, 1000)
	newMetrics(&daemon{}).registry.Describe(descs)
	close(descs)
	known := map[string]bool{}
	for d := range descs {
		known[regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(d.String())[1]] = true
	}
	for _, file := range []string{"../../docs/deploy.md", "../../docs/journal.md", "../../deploy/prometheus.rules.yml"} {
		for _, name := range regexp.MustCompile(`\bgatepost_\w+`).FindAllString(docFile(t, file), -1) {
			if !known[name] {
				t.Errorf("%s: there is no metric %s", file, name)
			}
		}
	}
}

func docFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestPolicyPage makes sure that no check is left out.
func TestPolicyPage(t *testing.T) {
	dir := t.TempDir()
	if err := writePolicyPage(dir); err != nil {
		t.Fatal(err)
	}
	page := docFile(t, filepath.Join(dir, "gatepost-policy.1"))
	for _, k := range checks.Kinds() {
		if !strings.Contains(page, "\n\\&[check."+k.Name+"]") {
			t.Errorf("the page does not tell how %s is set", k.Name)
		}
	}
}
