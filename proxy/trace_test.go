package proxy

import (
	"net/netip"
	"strings"
	"testing"

	"gatepost/policy"
	"gatepost/proxy/smtp"
)

// TestStrip takes out the fields that only we may write (hazard 42).
func TestStrip(t *testing.T) {
	const from = "From: a@x.example\r\n"
	tests := []struct{ name, in, want string }{
		{"nothing to take out", from, from},
		{"no header", "", ""},
		{"X-Spam", "X-Spam: No\r\n" + from, from},
		{"X-Spam in another case, folded", from + "x-SPAM:\r\n No\r\n", from},
		{"X-Spam-Reason", "X-Spam-Reason: x\r\n\ty\r\n" + from + "X-Spam: a\r\n", from},
		{"a name that starts alike", "X-Spam-Level: *\r\n", "X-Spam-Level: *\r\n"},
		{"our results", from + "Authentication-Results: mx.example.com; none\r\n", from},
		{"white space before the colon", "Authentication-Results \t: mx.example.com; none\r\n" + from, from},
		{"much of it", "Authentication-Results" + strings.Repeat(" ", 900) + ": mx.example.com\r\n" + from, from},
		{"a fold before the colon", "Authentication-Results\r\n : mx.example.com\r\n" + from, from},
		{"many folds before the colon", "Authentication-Results" + strings.Repeat("\r\n ", 300) + ": mx.example.com\r\n" + from, from},
		{"results of another", "Authentication-Results: mx.other.example; none\r\n", "Authentication-Results: mx.other.example; none\r\n"},
		{"a chain of trust is no concern of ours", "ARC-Authentication-Results: i=1; mx.example.com; none\r\n",
			"ARC-Authentication-Results: i=1; mx.example.com; none\r\n"},
		{"a line that is no field", "no colon here\r\nX-Spam: x\r\n", "no colon here\r\n"},
		{"the last line without an end", from + "X-Spam: x", from},
	}
	for _, test := range tests {
		head, changed := strip([]byte(test.in), "mx.example.com")
		if string(head) != test.want || changed != (test.in != test.want) {
			t.Errorf("%s: %q (changed %v), want %q", test.name, head, changed, test.want)
		}
	}
}

// TestNames reads the authserv-id of an Authentication-Results body (RFC 8601 section 2.2).
func TestNames(t *testing.T) {
	tests := []struct {
		name, body string
		want       bool
	}{
		{"ours", " mx.example.com; none", true},
		{"no space", "mx.example.com;none", true},
		{"another case", " Mx.Example.Com; none", true},
		{"with a version", " mx.example.com 1; none", true},
		{"alone", " mx.example.com\r\n", true},
		{"folded", "\r\n\tmx.example.com;\r\n\tnone", true},
		{"a comment before it", " (c) mx.example.com; none", true},
		{"nested comments", " (a (b) \\) c)(d) mx.example.com; none", true},
		{"a comment behind it", " mx.example.com(c); none", true},
		{"quoted", ` "mx.example.com"; none`, true},
		{"quoted with a backslash", ` "mx\.example.com"; none`, true},
		{"a dot at the end", " mx.example.com.; none", true},
		{"a comment that never ends", " (c mx.example.com; none", true},
		{"a comment that never ends, without us", " (c mx.other.example; none", false},
		{"another's", " mx.other.example; none", false},
		{"ours in a comment of another's", " (mx.example.com) mx.other.example; none", false},
		{"ours at the front of another's", " mx.example.com.other.example; none", false},
		{"ours at the end of another's", " xmx.example.com; none", false},
		{"nothing", "", false},
	}
	for _, test := range tests {
		if got := names([]byte(test.body), "mx.example.com"); got != test.want {
			t.Errorf("%s: %q: %v", test.name, test.body, got)
		}
	}
}

// TestPlainName lets nothing into a header that could break out of its place (hazard 43).
func TestPlainName(t *testing.T) {
	tests := []struct {
		name string
		utf8 bool
		want string
	}{
		{"mail.example.com", false, "mail.example.com"},
		{"under_score-1", false, "under_score-1"},
		{"[192.0.2.1]", false, "[192.0.2.1]"},
		{"[IPv6:2001:db8::1]", false, "[IPv6:2001:db8::1]"},
		{"", false, "unknown"},
		{"a b", false, "unknown"},
		{"a)b", false, "unknown"},
		{"a;b", false, "unknown"},
		{"a\r\nX: y", false, "unknown"},
		{"a\x00", false, "unknown"},
		{"a\"b", false, "unknown"},
		{"<a>", false, "unknown"},
		{"bücher.example", false, "unknown"},
		{"bücher.example", true, "bücher.example"},
	}
	for _, test := range tests {
		if got := plainName(test.name, test.utf8); got != test.want {
			t.Errorf("%q: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestReceived has the parts of RFC 5321 section 4.4 that are known, and no more than one recipient.
func TestReceived(t *testing.T) {
	one := []recipient{{addr: smtp.Address{Local: `"a )b"`, Domain: "example.com"}, taken: true}, {addr: smtp.Address{Local: "no", Domain: "x"}}}
	tests := []struct {
		name string
		s    *session
		want string
	}{
		{"one recipient", &session{helo: "h.example", esmtp: true, client: netip.MustParseAddrPort("192.0.2.7:1"), tx: &transaction{rcpts: one, taken: 1}},
			"Received: from h.example ([192.0.2.7])\r\n\tby mx.example.com (gatepost) with ESMTP id 0123456789\r\n\tfor <\"a )b\"@example.com>;\r\n\t"},
		{"two recipients: neither learns of the other", &session{helo: "h.example", client: netip.MustParseAddrPort("192.0.2.7:1"),
			tx: &transaction{rcpts: one, taken: 2}}, "Received: from h.example ([192.0.2.7])\r\n\tby mx.example.com (gatepost) with SMTP id 0123456789;\r\n\t"},
		{"a name, IPv6 and TLS", &session{helo: "a b", name: "n.example", esmtp: true, tls: "TLS 1.3 X", client: netip.MustParseAddrPort("[2001:db8::1]:1"),
			tx: &transaction{}}, "Received: from unknown (n.example [IPv6:2001:db8::1])\r\n\tby mx.example.com (gatepost) with ESMTPS id 0123456789\r\n\t(TLS 1.3 X);\r\n\t"},
		{"SMTPUTF8 over TLS", &session{helo: "bücher", esmtp: true, tls: "T", client: netip.MustParseAddrPort("192.0.2.7:1"),
			tx: &transaction{params: smtp.MailParams{UTF8: true}}}, "Received: from bücher ([192.0.2.7])\r\n\tby mx.example.com (gatepost) with UTF8SMTPS id 0123456789\r\n\t(T);\r\n\t"},
	}
	for _, test := range tests {
		test.s.set, test.s.refID = &Settings{Hostname: "mx.example.com"}, "0123456789"
		got := string(test.s.appendReceived(nil))
		if !strings.HasPrefix(got, test.want) || !strings.HasSuffix(got, "\r\n") {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestAuthResults: whatever a finding holds, it stays one field whose words are of the grammar of RFC 8601 section 2.2.
func TestAuthResults(t *testing.T) {
	result := func(r policy.AuthResult) []policy.Finding { return []policy.Finding{{Auth: []policy.AuthResult{r}}} }
	tests := []struct {
		name string
		in   []policy.Finding
		want string
	}{
		{"no results", nil, "; none\r\n"},
		{"plain", result(policy.AuthResult{Method: "spf", Result: "pass"}), ";\r\n\tspf=pass\r\n"},
		{"a comment that would end itself", result(policy.AuthResult{Method: "spf", Result: "fail", Comment: "a) \\ x\r\nB: c"}),
			";\r\n\tspf=fail (a? ? x??B: c)\r\n"},
		{"a value that would end the field", result(policy.AuthResult{Method: "spf", Result: "fail", Reason: "x\"\r\n\r\nEvil: \\"}),
			";\r\n\tspf=fail reason=\"x\\\"????Evil: \\\\\"\r\n"},
		{"a value that would turn the text around, or end the line for some", result(policy.AuthResult{Method: "spf", Result: "fail",
			Reason: "\x7f\u009b\u2028\u2029\u202a\u202e\u2066\u2069\xff"}), ";\r\n\tspf=fail reason=\"?????????\"\r\n"},
		{"a method that would", result(policy.AuthResult{Method: "s;p f\r\n", Result: "p=ass"}), ";\r\n\tspf=pass\r\n"},
	}
	for _, test := range tests {
		if got := string(appendAuthResults(nil, "mx.example.com", test.in)); got != "Authentication-Results: mx.example.com"+test.want {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}

// TestIdentify reads what finds a message again.
func TestIdentify(t *testing.T) {
	tests := []struct{ name, head, id, domain, list string }{
		{"all three", "Message-ID: <1@x>\r\nFrom: A <a@X.example>\r\nList-Id: <l.x>\r\n", "<1@x>", "x.example", "<l.x>"},
		{"folded", "Message-ID:\r\n <1@x>\r\nFrom: A\r\n\t<a@x.example>\r\n", "<1@x>", "x.example", ""},
		{"none", "Subject: x\r\n", "", "", ""},
		{"no address", "From: nobody\r\n", "", "", ""},
		{"a long one is cut", "Message-ID: " + strings.Repeat("x", 300) + "\r\n", strings.Repeat("x", 200), "", ""},
	}
	for _, test := range tests {
		id, domain, list := identify(&policy.Message{Head: []byte(test.head)})
		if id != test.id || domain != test.domain || list != test.list {
			t.Errorf("%s: %q %q %q", test.name, id, domain, list)
		}
	}
}

// FuzzStrip: what is left holds none of our fields, all that is left was there before, and a second time changes nothing.
func FuzzStrip(f *testing.F) {
	f.Add([]byte("Authentication-Results: (x) mx.example.com\r\nFrom: x\r\n"))
	f.Add([]byte("X-Spam\r\n : x\r\n y\r\nB: c"))
	f.Fuzz(func(t *testing.T, in []byte) {
		head, changed := strip(in, "mx.example.com")
		if changed != (len(head) < len(in)) {
			t.Fatalf("changed %v, %d octets of %d", changed, len(head), len(in))
		}
		if again, changed := strip(head, "mx.example.com"); changed {
			t.Fatalf("%q gave %q, then %q", in, head, again)
		}
	})
}
