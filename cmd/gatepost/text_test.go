package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"gatepost/journal"
	"gatepost/policy"
)

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "Grüße an <amy@example.com>", "Grüße an <amy@example.com>"},
		{"terminal escape", "\x1b[2Jgone", `\x1b[2Jgone`},
		{"C1 control", "a\u009bb", `a\u009bb`},
		{"direction", "gpj.\u202eexe", `gpj.\u202eexe`},
		{"isolates", "\u2066x\u2069", `\u2066x\u2069`},
		{"no width", "a\u200bb\ufeff", `a\u200bb\ufeff`},
		{"line ends", "a\r\nb\u2028", `a\r\nb\u2028`},
		{"NUL and DEL", "\x00\x7f", `\x00\x7f`},
		{"no UTF-8", "a\xffb\xc3", `a\xffb\xc3`},
		{"quotes stay", `"x'y"`, `"x'y"`},
	} {
		if got := printable(c.in); got != c.want {
			t.Errorf("%s: printable(%q) = %q, want %q", c.name, c.in, got, c.want)
		}
	}
}

// TestWriteJSON: what a reader of JSON gets is what was written, and what a terminal gets is printable. The lines of the journal are
// escaped in the same way.
func TestWriteJSON(t *testing.T) {
	for _, text := range []string{"Grüße <amy@example.com> & more", "a\x1b[31m\u202e\x00\r\n\u009b\x7f\ufeff\u2028", "\U000e0001\U0001f600", `"\`} {
		var out bytes.Buffer
		if err := writeJSON(&out, map[string]string{"note": text}); err != nil {
			t.Fatal(err)
		}
		if strings.IndexFunc(strings.TrimSuffix(out.String(), "\n"), func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			t.Errorf("not printable: %q", &out)
		}
		var back map[string]string
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["note"] != text {
			t.Errorf("%q became %q, %v", text, back["note"], err)
		}
		line, err := journal.Line(&policy.Record{Note: text})
		if want := strings.Trim(out.String(), "{}\n"); err != nil || !strings.Contains(string(line), want) {
			t.Errorf("%s is not in the line of the journal: %s, %v", want, line, err)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[31m\u202e\xff")
	f.Add("'\\'")
	f.Fuzz(func(t *testing.T, s string) {
		got := printable(s)
		if !utf8.ValidString(got) || strings.IndexFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			t.Errorf("printable(%q) = %q", s, got)
		}
		if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 && utf8.ValidString(s) && got != s {
			t.Errorf("printable(%q) changed what needs no change: %q", s, got)
		}
		if n := utf8.RuneCountInString(shorten(got, 20)); n > 20 {
			t.Errorf("shorten gave %d characters", n)
		}
	})
}

func TestWrap(t *testing.T) {
	long := strings.Repeat("word ", 40) + strings.Repeat("x", 100)
	lines := strings.Split(wrap(long, "- ", "    "), "\n")
	if !strings.HasPrefix(lines[0], "- word") || !strings.HasPrefix(lines[1], "    word") {
		t.Errorf("wrong indents: %q", lines)
	}
	for _, l := range lines[:len(lines)-1] {
		if len(l) > columns {
			t.Errorf("%d columns: %q", len(l), l)
		}
	}
	if last := lines[len(lines)-1]; last != "    "+strings.Repeat("x", 100) {
		t.Errorf("a long word: %q", last)
	}
	if got := wrap("", "- ", "  "); got != "" {
		t.Errorf("nothing: %q", got)
	}
}

func TestPaint(t *testing.T) {
	if p := newPaint(new(bytes.Buffer)); p {
		t.Error("colour without a terminal")
	}
	if got := paint(true).in(red, "FAIL"); got != "\x1b[31mFAIL\x1b[0m" {
		t.Errorf("in colour: %q", got)
	}
	if got := paint(false).in(red, "FAIL"); got != "FAIL" {
		t.Errorf("without: %q", got)
	}
}
