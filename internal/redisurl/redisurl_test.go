package redisurl

import (
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	for s, want := range map[string]string{
		"redis://host":                                  "host:6379",
		"rediss://user:s3cr%2Fet@host:6380/1":           "host:6380",
		"redis://user:p@ss@host":                        "host:6379",
		"unix:///run/a@b/redis.sock":                    "/run/a@b/redis.sock",
		"valkey://a:26379?addr=b:26379&master_set=mail": "a:26379 b:26379",
	} {
		o, err := Options(s)
		if got := strings.Join(o.InitAddress, " "); err != nil || got != want {
			t.Errorf("%s: %s (%v), want %s", s, got, err, want)
		}
	}
}

// TestErrorHoldsNoPassword: whatever stands in a password, an error repeats none of it.
func TestErrorHoldsNoPassword(t *testing.T) {
	for _, s := range []string{
		"redis://user:s3cr/et@host:6379", "redis://user:s3cr#et@host:6379", "redis://user:s3cr%zzet@host:6379", "redis://user:s3cr?et@host:6379",
		"redis://user:s3cr et@host:6379", "redis://user:s3cr\x7f@host", "redis://:s3cret@host:port", "redis://host/s3cr", "redis://host?db=s3cr",
		"redis://user:12/s3cr@host", "redis://user:12#s3cr@host", "redis://user:12?s3cr@host", "unix://user:12/s3cr@/run/redis.sock", "http://user:s3cr@host",
	} {
		if o, err := Options(s); err == nil || err != errBad {
			t.Errorf("%q: %v, %v", s, o.InitAddress, err)
		}
	}
	if strings.Contains(errBad.Error(), "s3cr") {
		t.Error(errBad)
	}
}

func TestIs(t *testing.T) {
	for s, want := range map[string]bool{"redis://": true, "unix:///x": true, "memory": false, "redis": false, "redis:/x": false, "http://x": false, "": false} {
		if Is(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}
