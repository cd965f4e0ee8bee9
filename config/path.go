package config

import (
	"strconv"
	"strings"
)

// Path is the path of a key as problems and [Config.Line] write it: `check.dnsbl.zone."zen.spamhaus.org".weight`.
// A key that is not made of letters, digits, "_" and "-" alone stands in quotes.
func Path(keys ...string) string {
	path := ""
	for _, k := range keys {
		path = under(path, k)
	}
	return path
}

// under is the path of a key in the table at path.
func under(path, key string) string {
	if !isBare(key) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// parent is the path of the table that holds the key at path, or of the list that holds the element; empty at the top.
func parent(path string) string {
	cut, quoted := 0, false
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '.' || c == '['):
			cut = i
		}
	}
	return path[:cut]
}

// isBare reports whether TOML lets the key stand without quotes.
func isBare(key string) bool {
	return key != "" && strings.IndexFunc(key, func(r rune) bool { return !isBareRune(r) }) < 0
}

func isBareRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}
