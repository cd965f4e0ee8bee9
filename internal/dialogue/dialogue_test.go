package dialogue

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"gatepost/internal/mailsink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const record = `{"verdict": "accepted", "size": 12, "recipients": [{"reply": "550 5.7.1 no"}]}`

// dialer gives connections to sink itself: it stands for the proxy too.
func dialer(sink *mailsink.Server) func() net.Conn {
	return func() net.Conn {
		ours, theirs := net.Pipe()
		go sink.ServeConn(theirs)
		return ours
	}
}

func TestFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			script, err := Parse(f)
			if err != nil {
				t.Fatal(err)
			}
			sink, err := script.Sink()
			if err != nil {
				t.Fatal(err)
			}
			defer sink.Close()
			script.Run(t, dialer(sink), sink, func() []byte { return []byte(record) })
		})
	}
}

// play runs text in a bubble, where a wait in vain takes no time.
func play(t *testing.T, text string) (failure string) {
	t.Helper()
	script, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(*testing.T) {
		sink, err := script.Sink()
		if err == nil {
			err = script.Play(dialer(sink), sink, func() []byte { return []byte(record) })
		}
		if err != nil {
			failure = err.Error()
		}
		_ = sink.Close()
	})
	return failure
}

const (
	hello = "S: 220 ...\nC: HELO a\nS: 250 ...\n"
	mail  = hello + "C: MAIL FROM:<>\nS: 250 ...\nC: RCPT TO:<b@b.example>\nS: 250 ...\nC: DATA\nS: 354 ...\n"
)

// Every kind of step can fail, and says where.
func TestStepsThatDoNotHold(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"another reply", "S: 220 x", `line 1: S: got "220 sink.test ESMTP mailsink\r\n"`},
		{"a reply that is only begun", "S: 220 sink.test", `line 1: S: got`},
		{"no reply", "S: 220 ...\nS: 250 ...", `line 2: S: got "" (`},
		{"not closed", hello + "S: <closed>", `line 4: S: got "" (`},
		{"no ref", "B< banner: 220 [8f3k2qwm0a]\nS: 220 [REF]", "line 2: S: got"},
		{"a bare LF", "B< banner: <hang>\nS: ...", "line 2: S: got"},
		{"another line at the backend", hello + "B: EHLO a", `line 4: B: got "HELO a", want "EHLO a"`},
		{"a line passed over", hello + "C: NOOP\nS: 250 ...\nB: NOOP", `line 6: B: got "HELO a", want "NOOP"`},
		{"no line at the backend", hello + "B: HELO a\nB: NOOP", `line 5: B: got nothing that is "NOOP"`},
		{"no such line behind a gap", hello + "B: ...\nB: NOOP", `line 5: B: got nothing that is "NOOP"`},
		{"a gap is over with its line", hello + "C: NOOP\nS: 250 ...\nC: VRFY x\nS: 252 ...\nB: ...\nB: HELO a\nB: VRFY x",
			`line 10: B: got "NOOP", want "VRFY x"`},
		{"a line too many", hello + "B: <none>", `line 4: B: got "HELO a", want nothing`},
		{"too few messages", hello + "N: 1", "line 4: N: 0 messages, want 1"},
		{"no message", hello + "M: x", "line 4: M: no message"},
		{"other content", mail + "C: x\nC: .\nS: 250 ...\nM: y", "line 13: M: got"},
		{"content too short", mail + "C: x\nC: .\nS: 250 ...\nM: x\nM: y", "line 13: M: got"},
		{"content too long", mail + "C: x\nC: y\nC: .\nS: 250 ...\nM: x", "line 14: M: got"},
		{"no trace", mail + "C: x\nC: .\nS: 250 ...\nM: <trace>\nM: x", "line 13: M: got"},
		{"other fields on top", mail + "C: To: x\nC: x\nC: .\nS: 250 ...\nM: <trace>\nM: x", "line 14: M: got"},
		{"a trace that begins within a line", mail + "C: aReceived: x\nC: x\nC: .\nS: 250 ...\nM: a\\\nM: x", "line 14: M: got"},
		{"another field", hello + "R: verdict=rejected", `line 4: R: verdict is "accepted", want "rejected"`},
		{"no such field", hello + "R: recipients.1.reply=...", `line 4: R: recipients.1.reply is "<nil>"`},
		{"a size that is none", "= backend-size x\nS: 220 ...", `parsing "x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := play(t, c.text); !strings.Contains(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestStepsThatHold(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"closed behind an answer", "B< banner: 421 4.3.2 bye <close>\nS: 421 4.3.2 bye\nS: <closed>"},
		{"reset in place of an answer", hello + "B< noop: <reset>\nC: NOOP\nS: <closed>"},
		{"committed without an answer", mail + "B< end: <commit> <close>\nC: .\nS: <closed>\nN: 1"},
		{"two for one stage", "B< noop: 450 a\nB< noop: 450 b\n" + hello + "C: NOOP\nS: 450 a\nC: NOOP\nS: 450 b\nC: NOOP\nS: 250 ..."},
		{"a line in two writes", hello + "C: NO\\\nB< other: 200 x\nC: OP\nS: 250 ..."},
		{"a bare LF", hello + "C: NOOP\\nRSET\nS: 500 ...\nB: HELO a\nB: NOOP\\nRSET"},
		{"closed before all is read", "B< ehlo: 550 no <close>\nS: 220 ...\nC: HELO a\nB< noop: 200 x\nC: NOOP\nS: 550 no\nS: <closed>"},
		{"content without a line end", "= backend-ext CHUNKING\nS: 220 ...\nC: EHLO a\nS: 250-...\nS: 250 CHUNKING\n" +
			"C: MAIL FROM:<>\nS: 250 ...\nC: RCPT TO:<b@b.example>\nS: 250 ...\nC: BDAT 2 LAST\nC: \\x00.\\\nS: 250 ...\nM: \\0.\\"},
		{"a careless backend", "= backend-lenient true\nS: 220 ...\nC: HELO a\\n\\\nS: 250 ..."},
		{"a size", "= backend-size 9\nS: 220 ...\nC: EHLO a\nS: 250-...\n" + strings.Repeat("S: 250-...\n", 7) + "S: 250 SIZE 9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := play(t, c.text); got != "" {
				t.Error(got)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		want, got string
		ok        bool
	}{
		{"a", "a", true},
		{"a", "ab", false},
		{"a...", "a", true},
		{"a...", "ab", true},
		{"...", "\xff", true},
		{"\xff", "\xff", true}, // once a panic
		{"a [REF]", "a [8F3K2QWM0A]", true},
		{"[REF] [REF]", "[8F3K2QWM0A] [ABCDEFGHIJ]", true},
		{"[REF]...", "[8F3K2QWM0A] b", true},
		{"a [REF]", "a [8F3K2QWM0A] b", false},
		{"a [REF]", "a [8F3K2QWM0]", false},
		{"a [REF]", "a [8F3K2qWM0A]", false},
		{"a [REF]", "a [8F3K2", false},
		{"a [REF]b", "a [8F3K2QWM0A", false},
	} {
		if got := matches(c.want, c.got); got != c.ok {
			t.Errorf("matches(%q, %q) is %v", c.want, c.got, got)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"X: a":              `line 1: "X: a" is no step`,
		"\n#\nC:a":          `line 3: "C:a" is no step`,
		"C: \\q":            `line 1: unknown escape \q`,
		"B: a\\":            "line 1: nothing behind a backslash",
		"C: \\xg0":          `line 1: unknown escape \x`,
		"N: x":              `line 1: strconv.Atoi: parsing "x": invalid syntax`,
		"R: x":              "line 1: want PATH=TEXT",
		"B< rcpt 450":       "line 1: want B< STAGE: TEXT",
		"C: a\n= users a@b": "line 2: a setting behind the first step",
	} {
		if _, err := Parse(strings.NewReader(text)); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestSettings(t *testing.T) {
	s, err := Parse(strings.NewReader("= bare_lf reject\n= bare_lf  crlf \n= flag"))
	if err != nil {
		t.Fatal(err)
	}
	value, ok := s.Setting("bare_lf")
	flag, set := s.Setting("flag")
	_, missing := s.Setting("users")
	if value != "crlf" || !ok || flag != "" || !set || missing {
		t.Errorf("got %v", s.Settings)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("= users a@b\nC: a\\\nS: [REF] ...\nB< rcpt: 450 <close>\nM: <trace>\nR: a.0=b\nN: 1")
	f.Add("S: \xff")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, st := range s.steps {
			if len(st.texts) == 0 || st.line < 1 {
				t.Errorf("step %+v", st)
			}
			// No text may break the matcher.
			matches(st.texts[0], text)
		}
	})
}
