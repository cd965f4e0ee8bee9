package ratelimit

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The bounds of a limit.
const (
	maxCount  = 1_000_000
	minWindow = time.Second
	maxWindow = 24 * time.Hour
)

// Settings are those of [check.ratelimit].
type Settings struct {
	Connections    Limit          `toml:"connections"`
	Messages       Limit          `toml:"messages"`
	Recipients     Limit          `toml:"recipients"`
	Unknown        Limit          `toml:"unknown"`
	SenderMessages Limit          `toml:"sender_messages"`
	Exempt         []netip.Prefix `toml:"exempt"` // clients without limits
	Store          string         `toml:"store"`  // "memory" or a URL for Redis; see Open
}

func defaults() *Settings {
	s := &Settings{
		Connections: Limit{60, time.Minute}, Messages: Limit{300, 10 * time.Minute},
		Recipients: Limit{3000, 10 * time.Minute}, Unknown: Limit{20, 10 * time.Minute},
		Store: inMemory,
	}
	for _, p := range []string{"127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"} {
		s.Exempt = append(s.Exempt, netip.MustParsePrefix(p))
	}
	return s
}

// Validate tells what is wrong with the settings.
func (s *Settings) Validate(problem func(key, message string)) {
	if _, err := options(s.Store); err != nil && s.Store != inMemory {
		problem("store", err.Error())
	}
}

// Limit is how many of something may come in a time. The zero Limit is none.
type Limit struct {
	Count  int           // 1 to 1,000,000; 0: no limit
	Window time.Duration // 1 s to 24 h
}

// UnmarshalText reads "60/1m", or "off" or "" for no limit.
func (l *Limit) UnmarshalText(b []byte) error {
	text := string(b)
	if text == "off" || text == "" {
		*l = Limit{}
		return nil
	}
	count, window, ok := strings.Cut(text, "/")
	n, errCount := strconv.ParseUint(count, 10, 64)
	d, errWindow := time.ParseDuration(window)
	switch {
	case !ok || errCount != nil || errWindow != nil:
		return fmt.Errorf(`%.60q is no limit: write a count and a time, such as "60/1m" or "1000/24h", or "off"`, text)
	case n < 1 || n > maxCount:
		return fmt.Errorf(`%.60q has a count that is not from 1 to %d; "off" is no limit`, text, maxCount)
	case d < minWindow || d > maxWindow:
		return fmt.Errorf("%.60q has a time that is not from 1s to 24h", text)
	}
	l.Count, l.Window = int(n), d
	return nil
}

// MarshalText is the text that UnmarshalText reads.
func (l Limit) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// String is the limit as it is written in the config.
func (l Limit) String() string {
	if l.Count == 0 {
		return "off"
	}
	return strconv.Itoa(l.Count) + "/" + short(l.Window)
}

// short is a duration without the units that are 0: 10m0s is 10m.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
