package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseTime reads a point in the past: "2h" or "7d" ago, "yesterday", "today" (from 0:00 UTC on), or a date.
func parseTime(text string, now time.Time) (time.Time, error) {
	midnight := now.UTC().Truncate(24 * time.Hour)
	switch text {
	case "today":
		return midnight, nil
	case "yesterday":
		return midnight.AddDate(0, 0, -1), nil
	}
	for _, form := range []string{time.DateOnly, "2006-01-02 15:04", "2006-01-02T15:04", time.DateTime, "2006-01-02T15:04:05", time.RFC3339} {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	d, err := parseSpan(text)
	if err != nil {
		return time.Time{}, fmt.Errorf(`%q is no time, such as "2h", "7d", "yesterday" or "2026-11-20"`, text)
	}
	return now.Add(-d), nil
}

// parseSpan reads a time span with units: "30m", "2h", "1h30m", "7d", "2w". It is more than nothing, and at most ten years.
func parseSpan(text string) (time.Duration, error) {
	const most = 3660 * 24 * time.Hour
	sum, rest, ok := time.Duration(0), text, true
	for ok && rest != "" && sum <= most {
		var d time.Duration
		d, rest, ok = cutSpan(rest, most)
		sum += d
	}
	if !ok || sum == 0 || sum > most {
		return 0, fmt.Errorf(`%q is no time span, such as "12h" or "7d"`, text)
	}
	return sum, nil
}

// cutSpan reads a number and its unit at the front of a text.
func cutSpan(text string, most time.Duration) (d time.Duration, rest string, ok bool) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	rest = strings.TrimLeft(text, "0123456789")
	n, err := strconv.Atoi(text[:len(text)-len(rest)])
	if err != nil || rest == "" || units[rest[0]] == 0 || n > int(most/units[rest[0]]) {
		return 0, text, false
	}
	return time.Duration(n) * units[rest[0]], rest[1:], true
}
