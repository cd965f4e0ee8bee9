package config

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "1.5d": 36 * time.Hour, "2w": 14 * 24 * time.Hour,
		"250ms": 250 * time.Millisecond, "106751d": 106751 * 24 * time.Hour,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseDurationRefuses(t *testing.T) {
	for _, text := range []string{"", "5", "m", "-5m", "+5m", "5 m", "5m ", "5.m", "1.2.3s", ".5s", "5M", "1e3s", "106752d", "5m5",
		"99999999999999999999999s", "1/2s", "106751d1d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0B": 0, "512B": 512, "50MB": 50_000_000, "50MiB": 52_428_800, "64KiB": 65_536, "64kB": 64_000, "64KB": 64_000,
		"1GB": 1e9, "0.1MB": 100_000, "1.5GiB": 1_610_612_736, "2TiB": 2 << 40,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestParseSizeRefuses(t *testing.T) {
	for _, text := range []string{"", "50", "MB", "-1MB", "50 MB", "50mb", "50M", "1MB1MB", "9999999999TiB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestInUnits(t *testing.T) {
	for want, n := range map[string]int64{"64KiB": 65536, "50MB": 50e6, "1001B": 1001, "0B": 0, "-1B": -1} {
		if got := octets(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"threshold", "mode", "on", "retry_window", "spf"}
	for word, want := range map[string]string{
		"treshold": "threshold", "theshrold": "threshold", "Mode": "mode", "retry-window": "retry_window",
		"xx": "", "": "", "no": "on", "window": "", "spam": "", "nn": "on",
	} {
		if got := nearest(word, words); got != want {
			t.Errorf("%q is near %q, want %q", word, got, want)
		}
	}
}

func TestQuoteCuts(t *testing.T) {
	long := "x" // so that the cut falls inside a character
	for range 60 {
		long += "é"
	}
	if got, want := quote(long), `"`+long[:longest-1]+`..."`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := quote("\x1b[31m\n"), `"\x1b[31m\n"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
