package greylist

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestValidate: each setting that makes no sense is named.
func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Settings)
		want   string // the key, "" for none
	}{
		{"the defaults", func(*Settings) {}, ""},
		{"no delay", func(s *Settings) { s.Delay = 0 }, "delay"},
		{"a delay of two days", func(s *Settings) { s.Delay, s.RetryWindow = 2*day, 3*day }, "delay"},
		{"a window within the delay", func(s *Settings) { s.RetryWindow = s.Delay }, "retry_window"},
		{"too short a memory", func(s *Settings) { s.Remember = time.Hour }, "remember"},
		{"the whole of IPv4", func(s *Settings) { s.Prefix.IPv4 = 0 }, "prefix.ipv4"},
		{"more than an address", func(s *Settings) { s.Prefix.IPv6 = 129 }, "prefix.ipv6"},
		{"known after less than none", func(s *Settings) { s.KnownAfter.SPF = -1 }, "known_after.spf"},
		{"never known", func(s *Settings) { s.KnownAfter = KnownAfter{} }, ""},
		{"no room", func(s *Settings) { s.MaxEntries = 10 }, "max_entries"},
		{"a star", func(s *Settings) { s.Skip.SenderDomain = []string{"ok.example", "*.example"} }, "skip.sender_domain[1]"},
		{"an address without a domain", func(s *Settings) { s.Skip.Recipient = []string{"amy@"} }, "skip.recipient[0]"},
		{"an address without a local part", func(s *Settings) { s.Skip.Recipient = []string{"@example.com"} }, "skip.recipient[0]"},
		{"an address of a machine", func(s *Settings) { s.Skip.SenderDomain = []string{"192.0.2.1"} }, "skip.sender_domain[0]"},
		{"domains in other forms", func(s *Settings) {
			s.Skip.SenderDomain, s.Skip.Recipient = []string{".Bücher.example."}, []string{"bücher.example", "example.org.", `"A b"@EXAMPLE.org`}
		}, ""},
		{"recipients", func(s *Settings) { s.Skip.Recipient = []string{"amy@r.example", ".r.example"} }, ""},
		{"memory", func(s *Settings) { s.Store = "memory" }, ""},
		{"no such store", func(s *Settings) { s.Store = "postgres://x" }, "store"},
		{"a slip", func(s *Settings) { s.Store = "sqllite" }, "store"},
		{"redis", func(s *Settings) { s.Store = "redis://:secret@redis.example:6379/1" }, ""},
		{"redis over TLS", func(s *Settings) { s.Store = "rediss://redis.example" }, ""},
		{"sentinels", func(s *Settings) {
			s.Store = "redis://a.example:26379?addr=b.example:26379&master_set=mail"
		}, ""},
		{"no such database", func(s *Settings) { s.Store = "redis://:secret@redis.example/x" }, "store"},
		{"a password with a slash", func(s *Settings) { s.Store = "redis://amy:secret/x@redis.example:6379" }, "store"},
		{"a password with a hash", func(s *Settings) { s.Store = "redis://amy:secret#x@redis.example:6379" }, "store"},
		{"a password with a percent", func(s *Settings) { s.Store = "redis://amy:secret%zz@redis.example:6379" }, "store"},
		{"no URL", func(s *Settings) { s.Store = "redis://:secret@redis.example:port\x7f" }, "store"},
	} {
		s, got := Defaults(), map[string]string{}
		c.change(s)
		s.Validate(func(key, message string) { got[key] = message })
		keys := slices.Collect(maps.Keys(got))
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || got[c.want] == "") {
			t.Errorf("%s: %q is wrong, want %q", c.name, keys, c.want)
		}
		if strings.Contains(got["store"], "secret") {
			t.Errorf("%s: a password in %q", c.name, got["store"])
		}
	}
}

func TestCondition(t *testing.T) {
	for _, text := range []string{"spf:none", "spf:!pass", "rate-limit:x_1"} {
		var c Condition
		if err := c.UnmarshalText([]byte(text)); err != nil || c.String() != text {
			t.Errorf("%q: %q, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "spf", "spf:", ":pass", "spf:!", "spf:!!pass", "SPF:pass", "spf: pass", "spf:pass:x", "spf=pass"} {
		var c Condition
		if err := c.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %+v", text, c)
		}
	}
}

// FuzzCondition: what is taken is written the same.
func FuzzCondition(f *testing.F) {
	f.Add("spf:!pass")
	f.Add(":")
	f.Fuzz(func(t *testing.T, s string) {
		var c Condition
		if err := c.UnmarshalText([]byte(s)); err == nil && c.String() != s {
			t.Errorf("%q became %q", s, c)
		}
	})
}

// FuzzParseEntry: what a foreign hand writes into the shared store does no harm.
func FuzzParseEntry(f *testing.F) {
	f.Add("gatepost:greylist:{00112233445566778899aabbccddeeff}:00112233445566778899aabbccddeeff", "1 2 3 4 192.0.2.0/24 a@s.example b@r.example")
	f.Add("gatepost:greylist:{}", "-1 x 99999999999 300")
	f.Fuzz(func(t *testing.T, name, text string) {
		r, ok := recordOf(name, text)
		if ok && redisKey(r.Owner, r.Key) != strings.ToLower(name) && r.Key != r.Owner {
			t.Errorf("%q was read as %q", name, redisKey(r.Owner, r.Key))
		}
		for _, part := range []string{r.Label.Client, r.Label.Sender, r.Label.Recipient} {
			if strings.ContainsAny(part, "\x1b\r\n\x00") {
				t.Errorf("label %q", part)
			}
		}
	})
}

// TestOpen: which stores there are, and what a command says of those it cannot reach.
func TestOpen(t *testing.T) {
	s := Defaults()
	s.Store = "memory"
	if st, err := Open(s, "", nowhere()); err != nil || st.(*Memory) == nil {
		t.Errorf("%v", err)
	}
	if _, err := OpenBook(s, "", false); err == nil || !strings.Contains(err.Error(), "memory of the daemon") {
		t.Errorf("%v", err)
	}
	s.Store = "sqlite"
	if _, err := OpenBook(s, t.TempDir(), false); err == nil || !strings.Contains(err.Error(), "there is no greylist yet") {
		t.Errorf("%v", err)
	}
	s.Store = "nonsense"
	if _, err := Open(s, "", nowhere()); err == nil {
		t.Error("no such store")
	}
	for _, store := range []string{"sqlite", "redis://:secret@127.0.0.1:1/0"} { // below a file; where nobody is: memory serves
		s.Store = store
		st, err := Open(s, "/dev/null/x", nowhere())
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		expect(t, st, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
		expect(t, st, sight(2, "a@s.example", "b@r.example", hour), "pass")
	}
	if _, err := OpenBook(s, "", false); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
