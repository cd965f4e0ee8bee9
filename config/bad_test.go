package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the bad configs now say into their .txt files")

// TestBad loads every bad config and compares all that is said about it.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("../testdata/config/bad/*.toml")
	if err != nil || len(files) < 40 {
		t.Fatalf("found %d bad configs (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { testBad(t, file) })
	}
}

func testBad(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse(filepath.Base(file), string(text), testKinds(), testMachine)
	if err == nil {
		t.Fatalf("it loads: %+v", c)
	}
	golden, got := strings.TrimSuffix(file, ".toml")+".txt", err.Error()+"\n"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
