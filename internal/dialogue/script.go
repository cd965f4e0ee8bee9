// Package dialogue runs SMTP dialogues written down in text files, with a mailsink behind the proxy under test.
//
// A file has one step a line; blank lines and lines that begin with # are skipped.
//
//	= KEY VALUE     a setting, before the first step; see Script.Sink for those this package knows
//	C: TEXT         the sender sends TEXT and CR LF; C: lines in a row go out in one write
//	S: TEXT         the next line from the proxy
//	S: <closed>     the proxy closes the connection
//	B< STAGE: WHAT  the backend's next answer at that stage of mailsink: TEXT, or some of <close>, <reset>, <hang> and
//	                <commit>; TEXT and <close> or <reset>: closed behind the answer. B< lines before all other
//	                steps are in place before the connection is made
//	B: TEXT         the next line the backend got, in any of its sessions
//	B: ...          lines are passed over up to the next B: line
//	B: <none>       the backend got no further line as yet
//	N: NUMBER       that many messages are committed
//	M: TEXT         a line of the last message's content; M: lines in a row are the whole content
//	M: <trace>      header fields a proxy puts on top, one or more
//	R: PATH=TEXT    a field of the record (JSON): names and indexes joined by dots
//
// In the TEXT of C:, B: and M: lines \r \n \t \0 \\ and \xNN stand for octets. A backslash at the very end means that no CR
// LF follows (C: and M:). In that of S:, B: and R:, [REF] matches ten letters A-Z and digits in brackets, and ... at the
// end matches any rest.
package dialogue

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gatepost/internal/mailsink"
)

// Setting is one line of the head of a file.
type Setting struct{ Key, Value string }

// Script is a dialogue ready to run.
type Script struct {
	Settings []Setting // in the order of the file
	steps    []step
}

// step is one line, or several in a row that belong together. kind is that of the line: C, S, B, <, N, M or R.
type step struct {
	line  int // of the file, the first one
	kind  byte
	texts []string
}

// Parse reads a dialogue. An error names the line.
func Parse(r io.Reader) (*Script, error) {
	s := new(Script)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		if err := s.add(n, lines.Text()); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return s, lines.Err()
}

func (s *Script) add(n int, line string) error {
	mark, text, _ := strings.Cut(line, " ")
	switch {
	case line == "" || line[0] == '#':
		return nil
	case mark == "=":
		return s.set(text)
	case mark == "B<":
		s.steps = append(s.steps, step{n, '<', []string{text}})
		_, _, err := fault(text)
		return err
	case len(mark) != 2 || mark[1] != ':' || !strings.Contains("CSBNMR", mark[:1]):
		return fmt.Errorf("%q is no step", line)
	}
	return s.addStep(n, mark[0], text)
}

func (s *Script) set(text string) error {
	if len(s.steps) > 0 {
		return fmt.Errorf("a setting behind the first step")
	}
	key, value, _ := strings.Cut(text, " ")
	s.Settings = append(s.Settings, Setting{key, strings.TrimSpace(value)})
	return nil
}

// addStep checks text and adds the step, to the one before where lines of this kind go together.
func (s *Script) addStep(n int, kind byte, text string) (err error) {
	switch kind {
	case 'C', 'M':
		text, err = wire(text)
	case 'B':
		text, err = unescape(text)
	case 'N':
		_, err = strconv.Atoi(text)
	case 'R':
		if !strings.Contains(text, "=") {
			err = fmt.Errorf("want PATH=TEXT")
		}
	}
	if err != nil {
		return err
	}
	if last := len(s.steps) - 1; (kind == 'C' || kind == 'M') && last >= 0 && s.steps[last].kind == kind {
		s.steps[last].texts = append(s.steps[last].texts, text)
		return nil
	}
	s.steps = append(s.steps, step{n, kind, []string{text}})
	return nil
}

// wire gives the octets of a C: or M: line, its end included.
func wire(text string) (string, error) {
	end := "\r\n"
	if slashes := len(text) - len(strings.TrimRight(text, `\`)); slashes%2 == 1 {
		text, end = text[:len(text)-1], ""
	}
	text, err := unescape(text)
	return text + end, err
}

func unescape(text string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			b.WriteByte(text[i])
			continue
		}
		octet, width, err := escape(text[i+1:])
		if err != nil {
			return "", err
		}
		b.WriteByte(octet)
		i += width
	}
	return b.String(), nil
}

// escape reads what stands behind a backslash, and says how long that is.
func escape(s string) (octet byte, width int, err error) {
	if s == "" {
		return 0, 0, fmt.Errorf("nothing behind a backslash")
	}
	if i := strings.IndexByte(`rnt0\`, s[0]); i >= 0 {
		return "\r\n\t\x00\\"[i], 1, nil
	}
	if s[0] == 'x' && len(s) >= 3 {
		if n, err := strconv.ParseUint(s[1:3], 16, 8); err == nil {
			return byte(n), 3, nil
		}
	}
	return 0, 0, fmt.Errorf(`unknown escape \%c`, s[0])
}

// fault reads the rest of a B< line.
func fault(text string) (stage mailsink.Stage, a mailsink.Action, err error) {
	name, what, ok := strings.Cut(text, ":")
	if !ok || what == "" {
		return "", a, fmt.Errorf("want B< STAGE: TEXT")
	}
	var reply []string
	for _, word := range strings.Fields(what) {
		switch word {
		case "<close>":
			a.Close = true
		case "<reset>":
			a.Reset = true
		case "<hang>":
			a.Hang = true
		case "<commit>":
			a.Commit = true
		default:
			reply = append(reply, word)
		}
	}
	if a.Reply = strings.Join(reply, " "); a.Reply != "" {
		// An answer was asked for, so the end comes behind it.
		a.Close, a.CloseAfter = false, a.Close
		a.Reset, a.ResetAfter = false, a.Reset
	}
	return mailsink.Stage(name), a, nil
}

// Setting gives the value of the last setting with that key; ok is false where there is none.
func (s *Script) Setting(key string) (value string, ok bool) {
	for _, x := range s.Settings {
		if x.Key == key {
			value, ok = x.Value, true
		}
	}
	return value, ok
}

// Sink makes the backend the settings ask for: backend-ext (its lines, with commas between), users (addresses, with
// spaces between), backend-size (octets) and backend-lenient (true). Without them it announces
// mailsink.DefaultExtensions and takes every recipient. The error is about a value.
func (s *Script) Sink() (*mailsink.Server, error) {
	sink := &mailsink.Server{Extensions: mailsink.DefaultExtensions()}
	if ext, ok := s.Setting("backend-ext"); ok {
		sink.Extensions = strings.FieldsFunc(ext, func(r rune) bool { return r == ',' })
	}
	if users, ok := s.Setting("users"); ok {
		sink.Users = make(map[string]bool)
		for _, u := range strings.Fields(users) {
			sink.Users[strings.ToLower(u)] = true
		}
	}
	lenient, _ := s.Setting("backend-lenient")
	sink.Lenient = lenient == "true"
	size, ok := s.Setting("backend-size")
	if !ok {
		return sink, nil
	}
	n, err := strconv.ParseInt(size, 10, 64)
	sink.MaxSize = n
	return sink, err
}
