package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// longest is how many octets of an admin's text a problem repeats.
const longest = 80

// quote is the text in quotes, fit for a terminal, cut if it is long.
func quote(text string) string {
	if len(text) <= longest {
		return strconv.Quote(text)
	}
	cut := longest
	for cut > 0 && text[cut]&0xC0 == 0x80 { // not inside a character
		cut--
	}
	return strconv.Quote(text[:cut] + "...")
}

// printable is a foreign message with every octet that a terminal would obey spelt out.
func printable(message string) string {
	var b strings.Builder
	for _, c := range message {
		if strconv.IsPrint(c) {
			b.WriteRune(c)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(c), "'"))
		}
	}
	return b.String()
}

// describe is a TOML value as a problem names it.
func describe(in any) string {
	switch v := in.(type) {
	case string:
		return quote(v)
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "a list of tables"
	case time.Time:
		return "a date or time"
	}
	return fmt.Sprint(in)
}

// inBrackets shows how a single value is written as a list of one.
func inBrackets(in any) string {
	switch in.(type) {
	case string, int64:
		return "; write [" + describe(in) + "]"
	}
	return ""
}

// unquoted is a hint for a value that would be right without its quotes.
func unquoted(in any, words ...string) string {
	if text, ok := in.(string); ok && slices.Contains(words, text) {
		return "; write it without quotes"
	}
	return ""
}
