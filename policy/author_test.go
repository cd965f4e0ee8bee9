package policy

import (
	"errors"
	"net/mail"
	"slices"
	"strings"
	"testing"
)

// authors renders what Authors says of a header block: its mailboxes, or its error.
func authors(head string) string {
	boxes, err := Authors(&Message{Head: []byte(head)})
	if err != nil {
		return "error: " + err.Error()
	}
	var s []string
	for _, b := range boxes {
		s = append(s, b.Local+" at "+b.Domain)
	}
	return strings.Join(s, ", ")
}

func TestAuthorsReads(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"an address alone", "a@x.example", "a at x.example"},
		{"in angle brackets", "<a@x.example>", "a at x.example"},
		{"a name", "Ann Bee <a@x.example>", "a at x.example"},
		{"a name with a full stop", "Ann B. Bee <a@x.example>", "a at x.example"},
		{"a quoted name", `"Bee, Ann" <a@x.example>`, "a at x.example"},
		{"an empty quoted name", `"" <a@x.example>`, "a at x.example"},
		{"a quoted name with an address", `"b@y.example" <a@x.example>`, "a at x.example"},
		{"a quoted name with quotes", `"Ann \"<b@y.example>\" Bee" <a@x.example>`, "a at x.example"},
		{"an encoded name", "=?utf-8?q?Ann_B=C3=A9?= <a@x.example>", "a at x.example"},
		{"a name in UTF-8", "Ann Bé <a@x.example>", "a at x.example"},
		{"the old form, with the name in a comment", "a@x.example (Ann Bee)", "a at x.example"},
		{"comments in comments", "(a (b (c))) a@x.example (d \\) (e))", "a at x.example"},
		{"a comment with an address", "Ann (<b@y.example>) <a@x.example>", "a at x.example"},
		{"the address as its own name", "a@x.example <a@x.example>", "a at x.example"},
		{"upper case", "<Ann@X.EXAMPLE>", "Ann at x.example"},
		{"a U-label keeps its case for IDNA", "<a@BÜCHER.Example>", "a at bÜcher.example"},
		{"a capital whose small letter is ASCII stays", "<a@b\u0130g.example>", "a at b\u0130g.example"},
		{"a local part in UTF-8", "<jö@x.example>", "jö at x.example"},
		{"a quoted local part", `<"ann bee"@x.example>`, "ann bee at x.example"},
		{"a quoted pair in a local part", `<"a\"b"@x.example>`, `a"b at x.example`},
		{"odd dots in a local part", "<a..b.@x.example>", "a..b. at x.example"},
		{"white space in the brackets", "Ann < a@x.example >", "a at x.example"},
		{"folded", "\r\n Ann\r\n\tBee\r\n <a@x.example>", "a at x.example"},
		{"no white space at all", "Ann<a@x.example>", "a at x.example"},
		{"an address literal", "a@[192.0.2.1]", "a at [192.0.2.1]"},
		{"an IPv6 address literal", "<a@[IPv6:2001:DB8::1]>", "a at [ipv6:2001:db8::1]"},
		{"two authors", "Ann <a@x.example>, b@y.example", "a at x.example, b at y.example"},
		{"two authors of whom one has brackets", "a@x.example,<b@y.example>", "a at x.example, b at y.example"},
	} {
		if got := authors("From: " + c.body + "\r\nTo: z@z.example\r\n"); got != c.want {
			t.Errorf("%s: %q: got %q, want %q", c.name, c.body, got, c.want)
		}
	}
}

func TestAuthorsNeverGuesses(t *testing.T) {
	for _, c := range []struct{ name, body string }{
		{"nothing", ""},
		{"white space", "  "},
		{"no address", "Ann Bee"},
		{"an empty address", "<>"},
		{"no domain", "<ann>"},
		{"no domain behind the @", "<ann@>"},
		{"no local part", "<@x.example>"},
		{"a route", "<@a.example,@b.example:c@d.example>"},
		{"a comma hidden by a backslash", `<a@x.example>\,<b@y.example>`},
		{"two addresses in brackets", "<a@x.example> <b@y.example>"},
		{"an address behind the brackets", "<a@x.example>b@y.example"},
		{"text behind the brackets", "<a@x.example> Ann"},
		{"an address as the name of another", "a@x.example <b@y.example>"},
		{"an address among the words of a name", "Ann a@x.example <a@x.example>"},
		{"brackets in brackets", "<<a@x.example>>"},
		{"brackets that stay open", "<a@x.example"},
		{"brackets that were not opened", "a@x.example>"},
		{"two @", "a@x.example@y.example"},
		{"a quoted @ before the @", `"a@x.example"@y.example`},
		{"a quoted address before the @", `<"<a@x.example>"@y.example>`},
		{"an encoded word for a local part", "=?utf-8?q?a?=@x.example"},
		{"an encoded word for a local part in brackets", "<=?utf-8?b?YQ==?=@x.example>"},
		{"an encoded word for an address", "=?utf-8?b?PGFAeC5leGFtcGxlPg==?=, <b@y.example>"},
		{"an encoded word in the domain", "<a@=?utf-8?q?x?=.example>"},
		{"a comment in the address", "<a@x.example(.y.example)>"},
		{"a comment before the @", "a(b)@x.example"},
		{"a comment behind the @", "a@(b)x.example"},
		{"white space before the @", "a @x.example"},
		{"white space behind the @", "a@ x.example"},
		{"white space in the domain", "<a@x.example .y>"},
		{"text behind a comment", "a@x.example(c)y"},
		{"an open comment", "a@x.example (Ann"},
		{"a comment closed twice", "a@x.example (Ann))"},
		{"a backslash at the end of a comment", `a@x.example (Ann\`},
		{"a comment too deep", strings.Repeat("(", 17) + strings.Repeat(")", 17) + " a@x.example"},
		{"an open quote", `"Ann <a@x.example>`},
		{"a backslash at the end of a quote", `"Ann\`},
		{"an unquoted comma in a name", "Bee, Ann <a@x.example>"},
		{"an unquoted colon in a name", "Bee: Ann <a@x.example>"},
		{"an empty element", "a@x.example,,b@y.example"},
		{"a comma at the end", "a@x.example,"},
		{"a semicolon", "a@x.example;b@y.example"},
		{"an empty label", "a@x..example"},
		{"a dot at the end", "a@x.example."},
		{"a dot at the start", "a@.x.example"},
		{"a long domain", "a@" + strings.Repeat("x.", 127) + "xx"},
		{"what no domain has", "a@x!y.example"},
		{"an open literal", "a@[192.0.2.1"},
		{"a literal that is none", "a@[x.example]"},
		{"a literal of the wrong family", "a@[2001:db8::1]"},
		{"a NUL", "a@x.example\x00"},
		{"a bare CR", "<a@x.example>\r,<b@y.example>"},
		{"an escape", "\x1b(B <a@x.example>"},
		{"no UTF-8", "Ann \xff <a@x.example>"},
		{"a line of white space", "<a@x.example>\r\n \r\n ,<b@y.example>"},
		{"too many authors", strings.Repeat("a@x.example,", 64) + "a@x.example"},
	} {
		if got := authors("From: " + c.body + "\r\n"); got != "error: "+string(MalformedFrom) {
			t.Errorf("%s: %q: got %q", c.name, c.body, got)
		}
	}
}

func TestAuthorsFindsTheField(t *testing.T) {
	const ok = "a at x.example"
	for _, c := range []struct{ name, head, want string }{
		{"none", "To: a@x.example\r\n", "error: " + string(NoFrom)},
		{"no header", "", "error: " + string(NoFrom)},
		{"one, in odd case", "fRoM:a@x.example\r\n", ok},
		{"others that start or end like it", "X-From: b@y\r\nFrom-X: b@y\r\nFrom: a@x.example\r\nResent-From: b@y\r\n", ok},
		{"a line of another field", "Subject: hi\r\n From: b@y\r\nFrom: a@x.example\r\n", ok},
		{"a mailbox file's separator", "From b@y Mon Jan  1 00:00:00 2026\r\nFrom: a@x.example\r\n", ok},
		{"two", "From: a@x.example\r\nTo: c@z\r\nFrom: b@y\r\n", "error: " + string(SeveralFrom)},
		{"two that say the same", "From: a@x.example\r\nfrom: a@x.example\r\n", "error: " + string(SeveralFrom)},
		{"white space before the first", " From: b@y\r\nFrom: a@x.example\r\n", "error: " + string(SeveralFrom)},
		{"among folded lines at the top", " X: b\r\n\tFrom: b@y\r\nFrom: a@x.example\r\n", "error: " + string(SeveralFrom)},
		{"behind a line that is no field", "nonsense\r\n From: b@y\r\nFrom: a@x.example\r\n", "error: " + string(SeveralFrom)},
		{"white space before the colon", "From : b@y\r\nFrom: a@x.example\r\n", "error: " + string(SeveralFrom)},
		{"a fold before the colon", "From\r\n : b@y\r\nFrom: a@x.example\r\n", "error: " + string(SeveralFrom)},
		{"a NUL before the name", "\x00From: b@y\r\nFrom: a@x.example\r\n", "error: " + string(SeveralFrom)},
		{"a NUL in the name", "Fr\x00om: b@y\r\nFrom: a@x.example\r\n", "error: " + string(SeveralFrom)},
		{"a byte order mark", "\uFEFFFrom: b@y\r\nFrom: a@x.example\r\n", "error: " + string(SeveralFrom)},
		{"a no-break space", "From\u00a0: b@y\r\nFrom: a@x.example\r\n", "error: " + string(SeveralFrom)},
		{"only a disguised one", "From : a@x.example\r\n", "error: " + string(MalformedFrom)},
		{"only one with white space before it", " From: a@x.example\r\n", "error: " + string(MalformedFrom)},
		{"a group", "From: us: a@x.example, b@y.example;\r\n", "error: " + string(GroupFrom)},
		{"an empty group", "From: Undisclosed senders:;\r\n", "error: " + string(GroupFrom)},
	} {
		if got := authors(c.head); got != c.want {
			t.Errorf("%s: %q: got %q, want %q", c.name, c.head, got, c.want)
		}
	}
}

func TestAuthorErrorIsTold(t *testing.T) {
	_, err := Authors(&Message{})
	if reason, ok := errors.AsType[AuthorError](err); !ok || reason != NoFrom {
		t.Errorf("got %v", err)
	}
}

// hostileFroms are fields of 256 KiB that make a careless parser quadratic, or its stack deep.
func hostileFroms() map[string]string {
	fill := func(s string) string { return strings.Repeat(s, 256<<10/len(s)) }
	return map[string]string{
		"letters": fill("a"), "quotes": fill(`"`), "open comments": fill("("), "comments": fill("()"), "spaces": fill(" "),
		"commas": fill(","), "brackets": fill("<"), "ats": fill("a@"), "folds": fill("\r\n a"), "backslashes": fill(`\`),
		"authors": fill("a@x.example,"), "dots": fill("."), "words": fill("a "), "quoted words": fill(`"a" `),
	}
}

func TestHostileFromsAreMalformed(t *testing.T) {
	for name, body := range hostileFroms() {
		if got := authors("From: " + body + "\r\n"); got != "error: "+string(MalformedFrom) {
			t.Errorf("%s: got %.80q", name, got)
		}
	}
}

// Octets a second are the same for a small field and a large one where the parser is linear.
func BenchmarkAuthors(b *testing.B) {
	cases := hostileFroms()
	cases["plain"] = "Ann Bee <a@x.example>"
	for name, body := range cases {
		b.Run(name, func(b *testing.B) {
			m := &Message{Head: []byte("Subject: hi\r\nFrom: " + body + "\r\n")}
			b.ReportAllocs()
			b.SetBytes(int64(len(m.Head)))
			for b.Loop() {
				Authors(m)
			}
		})
	}
}

// plainForms are bodies that net/mail reads as well.
var plainForms = []string{
	"a@x.example", "Ann Bee <a@x.example>", `"Bee, Ann" <a@x.example>, b@y.example`, "a@x.example (Ann)", `"ann bee"@x.example`,
}

func FuzzAuthors(f *testing.F) {
	for _, s := range plainForms {
		f.Add("From: " + s + "\r\n")
	}
	for _, s := range []string{
		" From: b@y\r\nFrom: a@x\r\n", "From\r\n : a@x\r\n", "\x00From: a@x\r\n", "From: <@a,@b:c@d>\r\n", "From: <a@b>\\,<c@d>\r\n",
		"From: us: a@x;\r\n", "From: (a(b)\\)) \"c\\\"\" <a@[192.0.2.1]>\r\n", "From: a@x <a@x>\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, head string) {
		boxes, err := Authors(&Message{Head: []byte(head)})
		if _, ok := errors.AsType[AuthorError](err); err != nil && !ok {
			t.Fatalf("%v is no AuthorError", err)
		}
		if err == nil && len(boxes) == 0 {
			t.Fatal("no author and no error")
		}
		for _, b := range boxes {
			if b.Local == "" && !strings.Contains(head, `""`) || b.Domain == "" || strings.ContainsAny(b.Domain, "@<>\"\\,; \t\r\n\x00") {
				t.Fatalf("%q gives %q", head, b)
			}
		}
		f, _ := (&Message{Head: []byte(head)}).Field("from")
		if theirs, ok := netMail(f); ok && err == nil && !slices.Equal(boxes, theirs) {
			t.Fatalf("%q gives %q, and by net/mail %q", head, boxes, theirs)
		}
	})
}

func TestAuthorsAgreesWithNetMail(t *testing.T) {
	for _, s := range plainForms {
		m := &Message{Head: []byte("From: " + s + "\r\n")}
		f, _ := m.Field("from")
		ours, err := Authors(m)
		if theirs, ok := netMail(f); !ok || err != nil || !slices.Equal(ours, theirs) {
			t.Errorf("%q gives %q, %v, and by net/mail %q", s, ours, err, theirs)
		}
	}
}

// netMail reads a field with net/mail; false where it can't.
func netMail(f Field) ([]Mailbox, bool) {
	list, err := mail.ParseAddressList(strings.ReplaceAll(string(f.Body()), "\r\n", ""))
	var boxes []Mailbox
	for _, a := range list {
		i := strings.LastIndexByte(a.Address, '@')
		boxes = append(boxes, Mailbox{Local: a.Address[:i], Domain: lowerASCII(a.Address[i+1:])})
	}
	return boxes, err == nil
}
