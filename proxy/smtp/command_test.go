package smtp

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// code is the code and the enhanced code of a refusal: "501 5.5.4"; "" for none.
func code(err error) string {
	if err == nil {
		return ""
	}
	r := err.(Reply)
	return r.Error()[:4] + r.Enhanced()
}

func TestParseCommand(t *testing.T) {
	tests := []struct {
		line string
		verb Verb
		arg  string
		err  string
	}{
		{"EHLO mx.example.com", Ehlo, "mx.example.com", ""},
		{"mail from:<a@x>  \t", Mail, "from:<a@x>", ""},
		{"RcPt  TO:<a@x> NOTIFY=NEVER", Rcpt, "TO:<a@x> NOTIFY=NEVER", ""},
		{"QUIT", Quit, "", ""},
		{"QUIT ", Quit, "", ""},
		{"NOOP\tx", Noop, "x", ""},
		{"STARTTLS", StartTLS, "", ""},
		{"STARTTLSxyz", StartTLS, "", "501 5.5.4"},
		{"mailfrom:<a@x>", Mail, "", "501 5.5.4"},
		{"DATA.", Data, "", "501 5.5.4"},
		{"STARTTL", Unknown, "", ""},
		{"GET / HTTP/1.1", Unknown, "/ HTTP/1.1", ""},
		{"", Unknown, "", ""},
		{" NOOP", Unknown, "NOOP", ""},
		{"VRFY müller", Vrfy, "müller", ""},
		{"VRFY m\xfcller", Unknown, "", "500 5.5.2"},
		{"NOOP \x1b[2J", Unknown, "", "500 5.5.2"},
		{"NOOP \u009b2J", Unknown, "", "500 5.5.2"},
		{"NOOP\x00", Unknown, "", "500 5.5.2"},
		{"NOOP\x7f", Unknown, "", "500 5.5.2"},
		{"NOOP\nRSET", Unknown, "", "500 5.5.2"},
		{"QUIT\u212a", Quit, "", "501 5.5.4"},
		{"BDAT 10 LAST", Bdat, "10 LAST", ""},
	}
	for _, tt := range tests {
		verb, arg, err := ParseCommand([]byte(tt.line))
		if verb != tt.verb || string(arg) != tt.arg || code(err) != tt.err {
			t.Errorf("%q: %v, %q, %v", tt.line, verb, arg, err)
		}
	}
}

func TestVerbs(t *testing.T) {
	for v := Helo; v <= Xclient; v++ {
		for _, line := range []string{v.String(), strings.ToLower(v.String()) + " x"} {
			if got, _, err := ParseCommand([]byte(line)); got != v || err != nil {
				t.Errorf("%q: %v, %v", line, got, err)
			}
		}
	}
	if Unknown.String() != "UNKNOWN" || Verb(200).String() != "UNKNOWN" {
		t.Error("what is no verb is UNKNOWN")
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{"EHLO a", "mail FROM:<a@x> ", "STARTTLSx", "\x00", "BDAT 1 LAST", "RCPT\t\xc3\xbc"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		verb, arg, err := ParseCommand(line)
		if !bytes.Equal(line, before) {
			t.Error("the line was changed")
		}
		if err == nil && (!utf8.Valid(line) || bytes.ContainsAny(line, "\x00\r\n\x1b\x7f")) {
			t.Errorf("%q passed", line)
		}
		if err == nil && verb != Unknown && !strings.EqualFold(string(line[:len(verb.String())]), verb.String()) {
			t.Errorf("%q is %v", line, verb)
		}
		if len(arg) > 0 && (isBlank(arg[0]) || isBlank(arg[len(arg)-1])) {
			t.Errorf("%q has white space around it", arg)
		}
		name, err := ParseHelo(arg)
		if err == nil && (name != string(arg) || name == "" || strings.ContainsAny(name, " <>\"'&%\x1b")) {
			t.Errorf("%q passed as a host name", name)
		}
		if size, _, err := ParseBdat(arg); size < 0 || err != nil && size != 0 {
			t.Errorf("%q: size %d, %v", arg, size, err)
		}
	})
}

func TestParseHelo(t *testing.T) {
	tests := []struct {
		arg, err string
	}{
		{"mx.example.com", ""},
		{"my_pc", ""},
		{"-mx-.example", ""},
		{"mx.example.com.", ""},
		{"mx.müller.example", ""},
		{"192.0.2.1", ""},
		{"2001:db8::1", ""},
		{"[192.0.2.1]", ""},
		{"[IPv6:2001:db8::1]", ""},
		{"[ipv6:2001:DB8::1]", ""},
		{"[2001:db8::1]", ""},
		{strings.Repeat("a.", 127) + "a", ""},
		{strings.Repeat("a.", 127) + "aa", "501 5.5.2"},
		{"", "501 5.5.2"},
		{".", "501 5.5.2"},
		{".example", "501 5.5.2"},
		{"a..b", "501 5.5.2"},
		{"a b", "501 5.5.2"},
		{"a\tb", "501 5.5.2"},
		{"<script>alert(1)</script>", "501 5.5.2"},
		{"fe80::1%<b>", "501 5.5.2"},
		{"[fe80::1%eth0]", "501 5.5.2"},
		{"[", "501 5.5.2"},
		{"[]", "501 5.5.2"},
		{"[192.0.2.1", "501 5.5.2"},
		{"[192.0.2.256]", "501 5.5.2"},
		{"[IPv6:192.0.2.1]", "501 5.5.2"},
		{"[host]", "501 5.5.2"},
	}
	for _, tt := range tests {
		name, err := ParseHelo([]byte(tt.arg))
		if code(err) != tt.err || err == nil && name != tt.arg || err != nil && name != "" {
			t.Errorf("%q: %q, %v", tt.arg, name, err)
		}
	}
}

func TestParseBdat(t *testing.T) {
	tests := []struct {
		arg  string
		size int64
		last bool
		err  string
	}{
		{"0", 0, false, ""},
		{"10", 10, false, ""},
		{"0 LAST", 0, true, ""},
		{"86  last", 86, true, ""},
		{"9223372036854775807", 1<<63 - 1, false, ""},
		{"9223372036854775808", 0, false, "501 5.5.4"},
		{"9999999999999999999", 0, false, "501 5.5.4"},
		{"00000000000000000001", 0, false, "501 5.5.4"},
		{"", 0, false, "501 5.5.4"},
		{"-1", 0, false, "501 5.5.4"},
		{"+1", 0, false, "501 5.5.4"},
		{"1e3", 0, false, "501 5.5.4"},
		{"0x10", 0, false, "501 5.5.4"},
		{"LAST", 0, false, "501 5.5.4"},
		{"1 LASTS", 0, false, "501 5.5.4"},
		{"1 LAST LAST", 0, false, "501 5.5.4"},
		{"1 2", 0, false, "501 5.5.4"},
	}
	for _, tt := range tests {
		size, last, err := ParseBdat([]byte(tt.arg))
		if size != tt.size || last != tt.last || code(err) != tt.err {
			t.Errorf("%q: %d, %v, %v", tt.arg, size, last, err)
		}
	}
}

func TestParseCommandAllocates(t *testing.T) {
	for _, line := range []string{"RCPT TO:<a@example.com>", "STARTTLSxyz", "NOOP \x00", "VRFY ü"} {
		b := []byte(line)
		if n := testing.AllocsPerRun(100, func() { _, _, _ = ParseCommand(b) }); n > 0 {
			t.Errorf("%q: %v allocations", line, n)
		}
	}
}
