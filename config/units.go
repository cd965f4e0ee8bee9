package config

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// unit is a suffix and how many of the smallest unit it stands for.
type unit struct {
	name string
	size int64
	long string // how the word begins that people write instead, in lower case
}

func durationUnits() []unit {
	return []unit{
		{"ms", int64(time.Millisecond), "milli"}, {"s", int64(time.Second), "sec"}, {"m", int64(time.Minute), "min"},
		{"h", int64(time.Hour), "h"}, {"d", 24 * int64(time.Hour), "day"}, {"w", 7 * 24 * int64(time.Hour), "week"},
	}
}

func sizeUnits() []unit {
	return []unit{
		{"B", 1, "byte"}, {"kB", 1e3, "kilo"}, {"KB", 1e3, "kilo"}, {"MB", 1e6, "m"}, {"GB", 1e9, "g"}, {"TB", 1e12, "t"},
		{"KiB", 1 << 10, "kib"}, {"MiB", 1 << 20, "mib"}, {"GiB", 1 << 30, "gib"}, {"TiB", 1 << 40, "tib"},
	}
}

// parseDuration reads "90s", "1h30m", "1.5d" or "2w". A day is 24 hours.
func parseDuration(text string) (time.Duration, error) {
	total, rest := int64(0), text
	for {
		n, after, err := amount(rest, durationUnits())
		if err != nil || total > math.MaxInt64-n {
			return 0, unitError(text, "duration", durationUnits(), "s", "m", "h", "d")
		}
		total += n
		if rest = after; rest == "" {
			return time.Duration(total), nil
		}
	}
}

// parseSize reads "50MB" (50 million octets), "64KiB" (65,536 octets) or "1.5GB"; the result is in octets.
func parseSize(text string) (int64, error) {
	n, rest, err := amount(text, sizeUnits())
	if err != nil || rest != "" {
		return 0, unitError(text, "size", sizeUnits(), "B", "KiB", "MB")
	}
	return n, nil
}

// amount reads one number with its unit off the front of the text.
func amount(text string, units []unit) (n int64, rest string, err error) {
	number, rest := leading(text, "0123456789.")
	name, rest := leadingNot(rest, "0123456789. ")
	value, ok := new(big.Rat).SetString(number) // exact: 0.1 of a unit is no nearby binary fraction
	if !ok || strings.Trim(number, ".") != number || len(number) > 20 {
		return 0, "", fmt.Errorf("%q is no number", number)
	}
	for _, u := range units {
		if u.name == name {
			value.Mul(value, new(big.Rat).SetInt64(u.size))
			whole := new(big.Int).Quo(value.Num(), value.Denom())
			if !whole.IsInt64() {
				return 0, "", fmt.Errorf("%s is too large", text)
			}
			return whole.Int64(), rest, nil
		}
	}
	return 0, "", fmt.Errorf("%q is no unit", name)
}

func leading(text, set string) (front, rest string) {
	rest = strings.TrimLeft(text, set)
	return text[:len(text)-len(rest)], rest
}

func leadingNot(text, set string) (front, rest string) {
	if i := strings.IndexAny(text, set); i >= 0 {
		return text[:i], text[i:]
	}
	return text, ""
}

// unitError says how to write what was meant, with the very number that was given where there is one.
func unitError(text, what string, units []unit, examples ...string) error {
	number, name := leading(text, "0123456789.")
	name = strings.TrimSpace(name)
	meant := nearestUnit(name, units)
	switch {
	case number == "" || name != "" && meant == "":
		return fmt.Errorf("%s is no %s: write a number with its unit (%s), such as %q",
			quote(text), what, strings.Join(namesOf(units), ", "), "5"+examples[1])
	case name == "":
		return fmt.Errorf("%s has no unit: write %s", text, asExamples(number, examples))
	}
	return fmt.Errorf("%s is no %s; did you mean %q?", quote(text), what, number+meant)
}

// asExamples is the number with each unit in quotes, as a choice.
func asExamples(number string, units []string) string {
	var all []string
	for _, u := range units {
		all = append(all, `"`+number+u+`"`)
	}
	return oneOf(all)
}

// nearestUnit is the unit that was meant by a word; empty if none is near.
func nearestUnit(word string, units []unit) string {
	if best := nearest(word, namesOf(units)); best != "" {
		return best
	}
	for _, u := range units {
		if strings.HasPrefix(strings.ToLower(word), u.long) {
			return u.name
		}
	}
	return ""
}

func namesOf(units []unit) []string {
	names := make([]string, len(units))
	for i, u := range units {
		names[i] = u.name
	}
	return names
}

// inUnits is the number with the largest unit that divides it: 65536 octets are 64KiB.
func inUnits(n int64, units []unit) string {
	best := units[0]
	for _, u := range units {
		if n != 0 && n%u.size == 0 && u.size > best.size {
			best = u
		}
	}
	return strconv.FormatInt(n/best.size, 10) + best.name
}
