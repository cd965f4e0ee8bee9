package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a config.
type Problem struct {
	File         string // as the admin named it; empty for settings that came from flags
	Line, Column int    // of the key or the value, from 1, in characters; 0 where the file has no such place
	Path         string // the key's path, such as `check.spf.on.fail`, or the flag; empty for an error of TOML's grammar
	Message      string // what is wrong, what was expected and, for a near miss, what was probably meant
}

// Error is the problem on one line: `gatepost.toml:12:9: check.spf.on.fail: "rejekt" is no action: ...`.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	return b.String() + p.Message
}

// Problems are all that is wrong with one config, by position.
type Problems []Problem

// Error is a line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted puts the problems into the order of the file, those without a place first.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
	return ps
}
