package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse looks for a text that panics, an error of another type, or a problem outside the file.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("../testdata/config/*/*.toml")
	if len(files) == 0 {
		f.Fatal("no seeds")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse("f", text, testKinds(), testMachine)
		if err == nil {
			if c.Hostname == "" || len(c.Backends) == 0 || len(c.Listen) == 0 {
				t.Errorf("%q loads without what it needs", text)
			}
			return
		}
		ps, ok := errors.AsType[Problems](err)
		if !ok || len(ps) == 0 {
			t.Fatalf("%q: %v is no list of problems", text, err)
		}
		lines := strings.Split(text, "\n")
		for _, p := range ps {
			if p.Line > len(lines) || p.Line > 0 && (p.Column < 1 || p.Column > len(lines[p.Line-1])+1) {
				t.Errorf("%q: %v is outside the text", text, p)
			}
			if strings.ContainsAny(p.Error(), "\n\r\x1b") {
				t.Errorf("%q: %q is not fit for one line of a terminal", text, p.Error())
			}
		}
	})
}
