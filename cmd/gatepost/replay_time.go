package main

import (
	"fmt"
	"strconv"
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
	for _, form := range []string{time.DateOnly, "2006-01-02 15:04", time.RFC3339} {
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

// parseSpan reads a time span with a unit: "30m", "2h", "7d", "2w". It is more than nothing, and at most ten years.
func parseSpan(text string) (time.Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	if text != "" {
		unit := units[text[len(text)-1]]
		n, err := strconv.Atoi(text[:len(text)-1])
		if most := 3660 * 24 * time.Hour; err == nil && unit > 0 && n > 0 && n <= int(most/unit) {
			return time.Duration(n) * unit, nil
		}
	}
	return 0, fmt.Errorf(`%q is no time span, such as "12h" or "7d"`, text)
}
