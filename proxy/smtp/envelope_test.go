package smtp

import (
	"bytes"
	"strings"
	"testing"
)

// The widest offer, and a server that can do all of it.
var (
	offerAll = Offer{Size: true, EightBit: true, UTF8: true, Chunking: true, Binary: true, DSN: true, RequireTLS: true}
	capsAll  = Caps{EightBit: true, UTF8: true, Chunking: true, Binary: true, DSN: true, RequireTLS: true, HasSize: true}
)

func TestParseMailAddress(t *testing.T) {
	local64, label63 := strings.Repeat("l", 64), strings.Repeat("d", 63)
	tests := []struct {
		arg           string
		local, domain string
		err           string
	}{
		{"FROM:<>", "", "", ""},
		{"FROM:<a@example.com>", "a", "example.com", ""},
		{"from: \t<A.b+c@Example.COM>", "A.b+c", "Example.COM", ""},
		{"FROM:<!#$%&'*+-/=?^_`{|}~@x>", "!#$%&'*+-/=?^_`{|}~", "x", ""},
		{`FROM:<"a b"@x>`, `"a b"`, "x", ""},
		{`FROM:<"a\"\\>@b"@x>`, `"a\"\\>@b"`, "x", ""},
		{`FROM:<""@x>`, `""`, "x", ""},
		{"FROM:<a@my_host.example>", "a", "my_host.example", ""},
		{"FROM:<a@[192.0.2.1]>", "a", "[192.0.2.1]", ""},
		{"FROM:<a@[IPv6:2001:db8::1]>", "a", "[IPv6:2001:db8::1]", ""},
		{"FROM:<a@[ipv6:::ffff:192.0.2.1]>", "a", "[ipv6:::ffff:192.0.2.1]", ""},
		{"FROM:<@a,@b.c:u@x>", "u", "x", ""},
		{`FROM:<@us:"u@y"@x>`, `"u@y"`, "x", ""},
		{"FROM:<" + local64 + "@x>", local64, "x", ""},
		{"FROM:<a..b@x>", "a..b", "x", ""},
		{"FROM:<.a@x>", ".a", "x", ""},
		{"FROM:<a.@x>", "a.", "x", ""},
		{"FROM:<a@" + label63 + ".x>", "a", label63 + ".x", ""},
		{"FROM:<a@" + strings.Repeat("d.", 125) + "dd>", "a", strings.Repeat("d.", 125) + "dd", ""},

		{"", "", "", "501 5.5.4"},
		{"FROM", "", "", "501 5.5.4"},
		{"FROM:", "", "", "501 5.5.4"},
		{"FROM :<a@x>", "", "", "501 5.5.4"},
		{"TO:<a@x>", "", "", "501 5.5.4"},
		{"FROM:a@x", "", "", "501 5.5.4"},
		{"FROM:<a@x>SIZE=1", "", "", "501 5.5.4"},
		{"FROM:<a@x>>", "", "", "501 5.5.4"},
		{"FROM:<a@x\r\nRCPT TO:<b@y>", "", "", "500 5.5.2"},
		{"FROM:<\xff@x>", "", "", "500 5.5.2"},

		{"FROM:<", "", "", "501 5.1.7"},
		{"FROM:<a", "", "", "501 5.1.7"},
		{"FROM:<a@", "", "", "501 5.1.7"},
		{"FROM:<" + local64 + "l@x>", "", "", "501 5.1.7"},
		{"FROM:<a@x", "", "", "501 5.1.7"},
		{"FROM:<a>", "", "", "501 5.1.7"},
		{"FROM:<postmaster>", "", "", "501 5.1.7"},
		{"FROM:<@x>", "", "", "501 5.1.7"},
		{"FROM:<a@>", "", "", "501 5.1.7"},
		{"FROM:<u@x@us>", "", "", "501 5.1.7"},
		{"FROM:<<a@x>>", "", "", "501 5.1.7"},
		{"FROM:< a@x>", "", "", "501 5.1.7"},
		{"FROM:<a@x >", "", "", "501 5.1.7"},
		{"FROM:<a b@x>", "", "", "501 5.1.7"},
		{"FROM:<a;b@x>", "", "", "501 5.1.7"},
		{`FROM:<a"b"@x>`, "", "", "501 5.1.7"},
		{`FROM:<"b"a@x>`, "", "", "501 5.1.7"},
		{`FROM:<"a@x>`, "", "", "501 5.1.7"},
		{`FROM:<"a\`, "", "", "501 5.1.7"},
		{"FROM:<\"a\tb\"@x>", "", "", "501 5.1.7"},
		{"FROM:<\"a\\\tb\"@x>", "", "", "501 5.1.7"},
		{"FROM:<a@x.>", "", "", "501 5.1.7"},
		{"FROM:<a@.x>", "", "", "501 5.1.7"},
		{"FROM:<a@x..y>", "", "", "501 5.1.7"},
		{"FROM:<a@-x>", "", "", "501 5.1.7"},
		{"FROM:<a@x-.y>", "", "", "501 5.1.7"},
		{"FROM:<a@x/y>", "", "", "501 5.1.7"},
		{"FROM:<a@[]>", "", "", "501 5.1.7"},
		{"FROM:<a@[192.0.2.1>", "", "", "501 5.1.7"},
		{"FROM:<a@[192.0.2.1]x>", "", "", "501 5.1.7"},
		{"FROM:<a@[192.0.2.256]>", "", "", "501 5.1.7"},
		{"FROM:<a@[2001:db8::1]>", "", "", "501 5.1.7"},
		{"FROM:<a@[IPv6:192.0.2.1]>", "", "", "501 5.1.7"},
		{"FROM:<a@[IPv6:fe80::1%eth0]>", "", "", "501 5.1.7"},
		{"FROM:<a@[X400:abc]>", "", "", "501 5.1.7"},
		{"FROM:<@a:>", "", "", "501 5.1.7"},
		{"FROM:<@a:u>", "", "", "501 5.1.7"},
		{"FROM:<@a,b:u@x>", "", "", "501 5.1.7"},
		{"FROM:<@a,:u@x>", "", "", "501 5.1.7"},
		{"FROM:<@a.:u@x>", "", "", "501 5.1.7"},
		{"FROM:<@a", "", "", "501 5.1.7"},
		{"FROM:<@a,", "", "", "501 5.1.7"},
		{"FROM:<a@" + label63 + "d.x>", "", "", "501 5.1.7"},
		{"FROM:<a@" + strings.Repeat("d.", 126) + "dd>", "", "", "501 5.1.7"},
		{"FROM:<@" + strings.Repeat("d.", 125) + "d:a@x>", "", "", "501 5.1.7"},

		{"FROM:<ü@x>", "", "", "553 5.6.7"},
		{"FROM:<a@ü>", "", "", "553 5.6.7"},
		{"FROM:<@ü:a@x>", "", "", "553 5.6.7"},
		{"FROM:<ü@@x>", "", "", "501 5.1.7"},
		{"FROM:<ü@x> SMTPUTF8", "ü", "x", ""},
		{`FROM:<"ü ü"@ü.example> smtputf8`, `"ü ü"`, "ü.example", ""},
		{"FROM:<\"\\ü\"@x> SMTPUTF8", "", "", "501 5.1.7"},
		{"FROM:<a\u0085@x> SMTPUTF8", "", "", "500 5.5.2"},
	}
	for _, tt := range tests {
		got, _, err := ParseMail([]byte(tt.arg), offerAll)
		if want := (Address{tt.local, tt.domain}); got != want || code(err) != tt.err {
			t.Errorf("%q: %+v, %v, want %+v, %s", tt.arg, got, err, want, tt.err)
		}
	}
}

func TestParseMailParams(t *testing.T) {
	none := MailParams{Size: -1}
	with := func(set func(*MailParams)) MailParams { p := none; set(&p); return p }
	tests := []struct {
		params string
		want   MailParams
		err    string
	}{
		{"", none, ""},
		{"SIZE=0", with(func(p *MailParams) { p.Size = 0 }), ""},
		{"size=9223372036854775807", with(func(p *MailParams) { p.Size = 1<<63 - 1 }), ""},
		{"SIZE=00000000000000000012", with(func(p *MailParams) { p.Size = 12 }), ""},
		{"BODY=7bit", with(func(p *MailParams) { p.Body = Body7Bit }), ""},
		{"BODY=8BITMIME", with(func(p *MailParams) { p.Body = Body8BitMIME }), ""},
		{"BODY=BINARYMIME", with(func(p *MailParams) { p.Body = BodyBinaryMIME }), ""},
		{"RET=hdrs ENVID=a+2Bb", with(func(p *MailParams) { p.Ret, p.EnvID = "HDRS", "a+2Bb" }), ""},
		{"REQUIRETLS  SMTPUTF8", with(func(p *MailParams) { p.RequireTLS, p.UTF8 = true, true }), ""},

		{"SIZE", MailParams{}, "501 5.5.4"},
		{"SIZE=", MailParams{}, "501 5.5.4"},
		{"SIZE=-1", MailParams{}, "501 5.5.4"},
		{"SIZE=1k", MailParams{}, "501 5.5.4"},
		{"SIZE=18446744073709551616", MailParams{}, "501 5.5.4"},
		{"SIZE=9223372036854775808", MailParams{}, "501 5.5.4"},
		{"SIZE=000000000000000000012", MailParams{}, "501 5.5.4"},
		{"SIZE=1 SIZE=1", MailParams{}, "501 5.5.4"},
		{"SIZE=1=1", MailParams{}, "501 5.5.4"},
		{"BODY=9BIT", MailParams{}, "501 5.5.4"},
		{"BODY=7BIT body=7BIT", MailParams{}, "501 5.5.4"},
		{"SMTPUTF8=1", MailParams{}, "501 5.5.4"},
		{"SMTPUTF8 SMTPUTF8", MailParams{}, "501 5.5.4"},
		{"RET=ALL", MailParams{}, "501 5.5.4"},
		{"RET=FULL RET=FULL", MailParams{}, "501 5.5.4"},
		{"ENVID=a ENVID=b", MailParams{}, "501 5.5.4"},
		{"ENVID=a+0Ab", MailParams{}, "501 5.5.4"},
		{"ENVID=a+0", MailParams{}, "501 5.5.4"},
		{"ENVID=a+zz", MailParams{}, "501 5.5.4"},
		{"ENVID=ü", MailParams{}, "501 5.5.4"},
		{"ENVID=" + strings.Repeat("x", 101), MailParams{}, "501 5.5.4"},
		{"REQUIRETLS=yes", MailParams{}, "501 5.5.4"},
		{"AUTH=x+0ARCPT", MailParams{}, "501 5.5.4"},
		{"AUTH=x+0dRCPT", MailParams{}, "501 5.5.4"},
		{"=1", MailParams{}, "501 5.5.4"},
		{"-A=1", MailParams{}, "501 5.5.4"},
		{"A;B=1", MailParams{}, "501 5.5.4"},
		{"AUTH=<>", MailParams{}, "555 5.5.4"},
		{"AUTH=a+40x", MailParams{}, "555 5.5.4"},
		{"XFOO", MailParams{}, "555 5.5.4"},
		{"XFOO=bar", MailParams{}, "555 5.5.4"},
		{"NOTIFY=NEVER", MailParams{}, "555 5.5.4"},
	}
	for _, tt := range tests {
		_, got, err := ParseMail([]byte("FROM:<a@x> "+tt.params), offerAll)
		if got != tt.want || code(err) != tt.err {
			t.Errorf("%q: %+v, %v", tt.params, got, err)
		}
	}
}

func TestParseMailOffer(t *testing.T) {
	for _, param := range []string{"SIZE=1", "BODY=7BIT", "SMTPUTF8", "RET=FULL", "ENVID=a", "REQUIRETLS"} {
		if _, _, err := ParseMail([]byte("FROM:<a@x> "+param), Offer{}); code(err) != "555 5.5.4" {
			t.Errorf("%s: %v", param, err)
		}
	}
	if _, p, err := ParseMail([]byte("FROM:<a@x> BODY=BINARYMIME"), Offer{EightBit: true}); err != nil || p.Body != BodyBinaryMIME {
		t.Error(err)
	}
}

func TestParseRcpt(t *testing.T) {
	tests := []struct {
		arg    string
		utf8   bool
		want   Address
		params RcptParams
		err    string
	}{
		{"TO:<a@x>", false, Address{"a", "x"}, RcptParams{}, ""},
		{"to:  <a@x>", false, Address{"a", "x"}, RcptParams{}, ""},
		{"TO:<Postmaster>", false, Address{"Postmaster", ""}, RcptParams{}, ""},
		{"TO:<PostMaster@x>", false, Address{"PostMaster", "x"}, RcptParams{}, ""},
		{`TO:<"x@victim"@us>`, false, Address{`"x@victim"`, "us"}, RcptParams{}, ""},
		{"TO:<x!u%y@us>", false, Address{"x!u%y", "us"}, RcptParams{}, ""},
		{"TO:<@us:u@x>", false, Address{"u", "x"}, RcptParams{}, ""},
		{"TO:<ü@x>", true, Address{"ü", "x"}, RcptParams{}, ""},
		{"TO:<ü@x>", false, Address{}, RcptParams{}, "553 5.6.7"},
		{"TO:<ü@x> FOO", false, Address{}, RcptParams{}, "553 5.6.7"},
		{"TO:<>", false, Address{}, RcptParams{}, "501 5.1.3"},
		{"TO:<a>", false, Address{}, RcptParams{}, "501 5.1.3"},
		{"TO:<@us:postmaster>", false, Address{}, RcptParams{}, "501 5.1.3"},
		{"TO:<u@x@us>", false, Address{}, RcptParams{}, "501 5.1.3"},
		{"TO:<p\u017fostmaster>", true, Address{}, RcptParams{}, "501 5.1.3"},
		{"FROM:<a@x>", false, Address{}, RcptParams{}, "501 5.5.4"},
		{"TO:a@x", false, Address{}, RcptParams{}, "501 5.5.4"},

		{"TO:<a@x> NOTIFY=never", false, Address{"a", "x"}, RcptParams{Notify: "NEVER"}, ""},
		{"TO:<a@x> NOTIFY=delay,Success,FAILURE", false, Address{"a", "x"}, RcptParams{Notify: "SUCCESS,FAILURE,DELAY"}, ""},
		{"TO:<a@x> ORCPT=rfc822;a+2Bb@x NOTIFY=FAILURE", false, Address{"a", "x"}, RcptParams{"FAILURE", "rfc822;a+2Bb@x"}, ""},
		{`TO:<a@x> ORCPT=utf-8;a\x{FC}@x`, false, Address{"a", "x"}, RcptParams{ORcpt: `utf-8;a\x{FC}@x`}, ""},
		{"TO:<a@x> ORCPT=utf-8;ü@x", true, Address{"a", "x"}, RcptParams{ORcpt: "utf-8;ü@x"}, ""},
		{"TO:<a@x> NOTIFY=NEVER,DELAY", false, Address{}, RcptParams{}, "501 5.5.4"},
		{"TO:<a@x> NOTIFY=DELAY,", false, Address{}, RcptParams{}, "501 5.5.4"},
		{"TO:<a@x> NOTIFY", false, Address{}, RcptParams{}, "501 5.5.4"},
		{"TO:<a@x> NOTIFY=DELAY NOTIFY=DELAY", false, Address{}, RcptParams{}, "501 5.5.4"},
		{"TO:<a@x> ORCPT=rfc822;a ORCPT=rfc822;a", false, Address{}, RcptParams{}, "501 5.5.4"},
		{"TO:<a@x> ORCPT=rfc822;a+0Db", false, Address{}, RcptParams{}, "501 5.5.4"},
		{"TO:<a@x> ORCPT=rfc822;ü", true, Address{}, RcptParams{}, "501 5.5.4"},
		{"TO:<a@x> ORCPT=utf-8;ü", false, Address{}, RcptParams{}, "501 5.5.4"},
		{`TO:<a@x> ORCPT=utf-8;a\x{D}b`, false, Address{}, RcptParams{}, "501 5.5.4"},
		{`TO:<a@x> ORCPT=utf-8;a\x{D800}b`, false, Address{}, RcptParams{}, "501 5.5.4"},
		{`TO:<a@x> ORCPT=utf-8;a\x{}`, false, Address{}, RcptParams{}, "501 5.5.4"},
		{`TO:<a@x> ORCPT=utf-8;a\x{FC`, false, Address{}, RcptParams{}, "501 5.5.4"},
		{`TO:<a@x> ORCPT=utf-8;a\y`, false, Address{}, RcptParams{}, "501 5.5.4"},
		{`TO:<a@x> ORCPT=utf-8;a+0A`, false, Address{}, RcptParams{}, "501 5.5.4"},
		{"TO:<a@x> ORCPT=rfc822", false, Address{}, RcptParams{}, "501 5.5.4"},
		{"TO:<a@x> ORCPT=;a", false, Address{}, RcptParams{}, "501 5.5.4"},
		{"TO:<a@x> ORCPT=rfc822;", false, Address{}, RcptParams{}, "501 5.5.4"},
		{"TO:<a@x> ORCPT=rfc(822;a", false, Address{}, RcptParams{}, "501 5.5.4"},
		{"TO:<a@x> ORCPT=rfc822;" + strings.Repeat("a", 500), false, Address{}, RcptParams{}, "501 5.5.4"},
		{"TO:<a@x> SIZE=1", false, Address{}, RcptParams{}, "555 5.5.4"},
	}
	for _, tt := range tests {
		got, params, err := ParseRcpt([]byte(tt.arg), offerAll, tt.utf8)
		if got != tt.want || params != tt.params || code(err) != tt.err {
			t.Errorf("%q: %+v, %+v, %v", tt.arg, got, params, err)
		}
	}
	for _, param := range []string{"NOTIFY=NEVER", "ORCPT=rfc822;a"} {
		if _, _, err := ParseRcpt([]byte("TO:<a@x> "+param), Offer{}, false); code(err) != "555 5.5.4" {
			t.Errorf("%s without DSN: %v", param, err)
		}
	}
}

func TestAddress(t *testing.T) {
	tests := []struct {
		a                   Address
		text, unquoted      string
		null, literal, utf8 bool
	}{
		{Address{}, "", "", true, false, false},
		{Address{"a", "x"}, "a@x", "a", false, false, false},
		{Address{"postmaster", ""}, "postmaster", "postmaster", false, false, false},
		{Address{`"a b"`, "x"}, `"a b"@x`, "a b", false, false, false},
		{Address{`"a\"\\\@b"`, "x"}, `"a\"\\\@b"@x`, `a"\@b`, false, false, false},
		{Address{`""`, "x"}, `""@x`, "", false, false, false},
		{Address{"a", "[192.0.2.1]"}, "a@[192.0.2.1]", "a", false, true, false},
		{Address{"ü", "x"}, "ü@x", "ü", false, false, true},
		{Address{"a", "ü"}, "a@ü", "a", false, false, true},
	}
	for _, tt := range tests {
		if tt.a.String() != tt.text || tt.a.Unquoted() != tt.unquoted {
			t.Errorf("%+v: %s, %s", tt.a, tt.a.String(), tt.a.Unquoted())
		}
		if tt.a.IsNull() != tt.null || tt.a.IsLiteral() != tt.literal || tt.a.NeedsUTF8() != tt.utf8 {
			t.Errorf("%+v: %v, %v, %v", tt.a, tt.a.IsNull(), tt.a.IsLiteral(), tt.a.NeedsUTF8())
		}
	}
}

func TestAppendMail(t *testing.T) {
	a := Address{"a", "x"}
	full := MailParams{Size: 10, Body: Body8BitMIME, UTF8: true, Ret: "HDRS", EnvID: "e", RequireTLS: true}
	tests := []struct {
		name string
		from Address
		p    MailParams
		caps Caps
		size int64
		want string
	}{
		{"null sender", Address{}, MailParams{Size: -1}, capsAll, 0, "<>"},
		{"a server that can do nothing", a, full, Caps{}, 7, "<a@x>"},
		{"a server that can do all", a, full, capsAll, 0, "<a@x> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e REQUIRETLS"},
		{"the size we know goes first", a, MailParams{Size: 10}, capsAll, 12, "<a@x> SIZE=12"},
		{"a size where the sender gave none", a, MailParams{Size: -1}, capsAll, 12, "<a@x> SIZE=12"},
		{"BINARYMIME wants its own keyword", a, MailParams{Size: -1, Body: BodyBinaryMIME}, Caps{EightBit: true}, 0, "<a@x>"},
		{"BINARYMIME", a, MailParams{Size: -1, Body: BodyBinaryMIME}, Caps{Binary: true}, 0, "<a@x> BODY=BINARYMIME"},
		{"7BIT", a, MailParams{Size: -1, Body: Body7Bit}, Caps{EightBit: true}, 0, "<a@x> BODY=7BIT"},
	}
	for _, tt := range tests {
		want := "MAIL FROM:" + tt.want + "\r\n"
		if got := string(AppendMail(nil, tt.from, tt.p, tt.caps, tt.size)); got != want {
			t.Errorf("%s: %q, want %q", tt.name, got, want)
		}
	}
}

func TestAppendRcpt(t *testing.T) {
	p := RcptParams{Notify: "NEVER", ORcpt: "rfc822;a"}
	tests := []struct {
		name string
		to   Address
		p    RcptParams
		caps Caps
		want string
	}{
		{"DSN", Address{"a", "x"}, p, Caps{DSN: true}, "<a@x> NOTIFY=NEVER ORCPT=rfc822;a"},
		{"no DSN", Address{"a", "x"}, p, Caps{UTF8: true}, "<a@x>"},
		{"postmaster", Address{"postmaster", ""}, RcptParams{}, Caps{DSN: true}, "<postmaster>"},
		{"UTF-8 in ORCPT", Address{"a", "x"}, RcptParams{ORcpt: "utf-8;ü"}, Caps{DSN: true, UTF8: true}, "<a@x> ORCPT=utf-8;ü"},
		{"UTF-8 in ORCPT without SMTPUTF8", Address{"a", "x"}, RcptParams{ORcpt: "utf-8;ü"}, Caps{DSN: true}, "<a@x>"},
	}
	for _, tt := range tests {
		want := "RCPT TO:" + tt.want + "\r\n"
		if got := string(AppendRcpt(nil, tt.to, tt.p, tt.caps)); got != want {
			t.Errorf("%s: %q, want %q", tt.name, got, want)
		}
	}
}

// checkLine: one command line, nothing that could be another.
func checkLine(t *testing.T, line []byte) []byte {
	t.Helper()
	text, found := bytes.CutSuffix(line, []byte("\r\n"))
	if !found || !isLegal(text) || bytes.IndexByte(text, '\t') >= 0 {
		t.Fatalf("bad line %q", line)
	}
	return text
}

func FuzzParseMail(f *testing.F) {
	for _, seed := range []string{
		"FROM:<>", "FROM:<a@x> SIZE=1 BODY=8BITMIME", `FROM:<@a,@b:"a\" b"@[IPv6:::1]> SMTPUTF8 RET=FULL ENVID=+41`,
		"from: <ü@ü> smtputf8 requiretls", "FROM:<a@[192.0.2.1]> AUTH=<>",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, arg []byte) {
		a, p, err := ParseMail(arg, offerAll)
		if err != nil {
			if a != (Address{}) || p != (MailParams{}) || err.(Reply).Enhanced() == "" {
				t.Errorf("%+v, %+v, %v", a, p, err)
			}
			return
		}
		line := checkLine(t, AppendMail(nil, a, p, capsAll, 0))
		again, params, err := ParseMail(bytes.TrimPrefix(line, []byte("MAIL ")), offerAll)
		if again != a || params != p || err != nil {
			t.Errorf("%q: %+v, %+v came back as %+v, %+v, %v", line, a, p, again, params, err)
		}
	})
}

func FuzzParseRcpt(f *testing.F) {
	for _, seed := range []string{
		"TO:<postmaster>", "TO:<a@x> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb", `TO:<"a@b"@x> ORCPT=utf-8;\x{FC}ü+41`, "to:<ü@ü>",
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, arg []byte, utf8 bool) {
		a, p, err := ParseRcpt(arg, offerAll, utf8)
		if err != nil {
			if a != (Address{}) || p != (RcptParams{}) || err.(Reply).Enhanced() == "" {
				t.Errorf("%+v, %+v, %v", a, p, err)
			}
			return
		}
		if a.IsNull() || a.NeedsUTF8() && !utf8 {
			t.Errorf("%q gave %+v", arg, a)
		}
		line := checkLine(t, AppendRcpt(nil, a, p, capsAll))
		again, params, err := ParseRcpt(bytes.TrimPrefix(line, []byte("RCPT ")), offerAll, utf8)
		if again != a || params != p || err != nil {
			t.Errorf("%q: %+v, %+v came back as %+v, %+v, %v", line, a, p, again, params, err)
		}
	})
}

func TestEnvelopeAllocates(t *testing.T) {
	mail, rcpt := []byte("FROM:<a.b@example.com> SIZE=1 BODY=8BITMIME"), []byte("TO:<a.b@example.com> NOTIFY=SUCCESS,DELAY")
	dst := make([]byte, 0, 512)
	n := testing.AllocsPerRun(100, func() {
		a, p, _ := ParseMail(mail, offerAll)
		dst = AppendMail(dst[:0], a, p, capsAll, 10)
		to, q, _ := ParseRcpt(rcpt, offerAll, false)
		dst = AppendRcpt(dst, to, q, capsAll)
	})
	if n > 2 { // the two address strings
		t.Errorf("%v allocations", n)
	}
}
