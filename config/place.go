package config

import (
	"strings"
	"unicode/utf8"
)

// places knows where in a file each key stands.
type places struct {
	text  string
	spots map[string]spot
}

// key is the line and column of the key at path or, if the file lacks it, of the nearest table above it; zeros if it
// has none.
func (p places) key(path string) (line, column int) {
	if s, ok := p.nearest(path); ok {
		return position(p.text, s.key)
	}
	return 0, 0
}

// value is key for the value at path.
func (p places) value(path string) (line, column int) {
	if s, ok := p.nearest(path); ok {
		return position(p.text, s.value)
	}
	return 0, 0
}

// has reports whether the file itself holds the key.
func (p places) has(path string) bool {
	_, ok := p.spots[path]
	return ok
}

func (p places) nearest(path string) (spot, bool) {
	for ; path != ""; path = parent(path) {
		if s, ok := p.spots[path]; ok {
			return s, true
		}
	}
	return spot{}, false
}

// position turns an octet into a line and a column, both from 1; the column counts characters, as editors do.
func position(text string, at int) (line, column int) {
	before := text[:min(max(at, 0), len(text))]
	start := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1
}
