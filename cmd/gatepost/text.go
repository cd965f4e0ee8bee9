package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-isatty"

	"gatepost/journal"
)

// columns is the width of what is made for reading.
const columns = 80

// printable makes text from outside fit for a terminal: what is no printable character (controls, escapes, marks that turn
// the direction of writing, broken UTF-8) is shown as Go would write it, such as \x1b. What it gives has no line end.
func printable(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + strconv.FormatUint(0x100|uint64(s[i]), 16)[1:])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		i += n
	}
	return b.String()
}

// writeJSON writes a value as one line of JSON. What is not printable is written as \u, as in the lines of the journal: JSON may be shown
// at a terminal too.
func writeJSON(out io.Writer, v any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := out.Write(journal.Escape(text.Bytes()))
	return err
}

// shorten cuts s to n characters, the last three of them dots where something was cut off.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:max(0, n-3)]) + "..."
}

// wrap breaks s between words so that no line is wider than columns; the first begins with first, the others with rest. A
// word that is too long stands on a line of its own.
func wrap(s, first, rest string) string {
	var b strings.Builder
	at := 0
	for i, word := range strings.Fields(s) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
			b.WriteString(first)
			at = len(first)
		case at+1+n > columns:
			b.WriteString("\n" + rest)
			at = len(rest)
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// paint colours words, where the reader is a person at a terminal. It never says anything that the word does not say.
type paint bool

// newPaint is on for a terminal, unless NO_COLOR or TERM say otherwise.
func newPaint(out io.Writer) paint {
	f, ok := out.(*os.File)
	return paint(ok && isatty.IsTerminal(f.Fd()) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	bold   = "1"
)

func (p paint) in(colour, word string) string {
	if !p || colour == "" {
		return word
	}
	return "\x1b[" + colour + "m" + word + "\x1b[0m"
}
