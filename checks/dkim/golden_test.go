package dkim

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"gatepost/internal/dnstest"
	"gatepost/policy"
	"gatepost/resolver"
)

const folder = "../../testdata/dkim"

func newCheck(t testing.TB, zone string) (*Check, *dnstest.Server) {
	t.Helper()
	server := dnstest.Start(t, zone)
	r, err := resolver.New(resolver.Settings{Servers: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	return New(Kind().Settings().(*Settings), r), server
}

func goldenCheck(t testing.TB) (*Check, *dnstest.Server) {
	t.Helper()
	zone, err := os.ReadFile(filepath.Join(folder, "keys.zone"))
	if err != nil {
		t.Fatal(err)
	}
	return newCheck(t, string(zone))
}

func golden(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(folder, name+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// run judges a message whose author is amy@shop.example.
func run(t testing.TB, c *Check, message string) policy.Finding {
	t.Helper()
	return c.Run(t.Context(), policy.View{Time: time.Unix(1800000000, 0), Content: strings.NewReader(message),
		Message: &policy.Message{FromDomain: "shop.example"}})
}

var goldens = []struct {
	file string
	want policy.Outcome
	says string // a part of the evidence
}{
	{"rsa1024", policy.Pass, "a=rsa-sha256 bits=1024"},
	{"rsa2048", policy.Pass, "a=rsa-sha256 bits=2048"},
	{"rsa4096", policy.Pass, "a=rsa-sha256 bits=4096"},
	{"ed25519", policy.Pass, "a=ed25519-sha256 bits=256"},
	{"folded-simple-simple", policy.Pass, ""},
	{"folded-simple-relaxed", policy.Pass, ""},
	{"folded-relaxed-simple", policy.Pass, ""},
	{"folded-relaxed-relaxed", policy.Pass, ""},
	{"blank-simple-simple", policy.Pass, ""},
	{"blank-simple-relaxed", policy.Pass, ""},
	{"blank-relaxed-simple", policy.Pass, ""},
	{"blank-relaxed-relaxed", policy.Pass, ""},
	{"eight-bit", policy.Pass, ""},
	{"empty-body", policy.Pass, ""},
	{"oversigned", policy.Pass, ""},
	{"two", policy.Pass, "s=ed"},
	{"over-signature", policy.Pass, "s=ed"},
	{"identity", policy.Pass, "i=amy@news.shop.example"},
	{"testing", policy.Pass, "testing=yes"},
	{"opendkim-plain-simple", policy.Pass, ""},
	{"opendkim-plain-relaxed", policy.Pass, ""},
	{"opendkim-folded-simple", policy.Pass, ""},
	{"opendkim-folded-relaxed", policy.Pass, ""},
	{"opendkim-eight-bit-simple", policy.Pass, ""},
	{"opendkim-eight-bit-relaxed", policy.Pass, ""},
	{"opendkim-blank-simple", policy.Pass, ""},
	{"opendkim-blank-relaxed", policy.Pass, ""},

	{"testing-identity", policy.NoneFound, "reason=its key allows no i= below the domain"},
	{"length", byPolicy, "reason=it covers a part of the body alone (l=)"},
	{"rsa512", policy.PermError, "bits=512 result=permerror reason=key is too short"},
	{"sha1", policy.PermError, "reason=rsa-sha1 is not secure"},
	{"revoked", policy.PermError, "reason=key revoked"},
	{"other-key", policy.Fail, "reason=signature did not verify"},
	{"no-key", policy.PermError, "reason=there is no key"},
	{"unsigned", policy.NoneFound, ""},
}

func TestSignaturesOfOthers(t *testing.T) {
	c, _ := goldenCheck(t)
	for _, g := range goldens {
		t.Run(g.file, func(t *testing.T) {
			f := run(t, c, golden(t, g.file))
			if f.Outcome != g.want || !strings.Contains(evidence(f), g.says) {
				t.Errorf("got %s, want %s with %q:\n%s", f.Outcome, g.want, g.says, evidence(f))
			}
			if signed := f.Fact(policy.FactSigned); (signed == "shop.example") != (g.want == policy.Pass) {
				t.Errorf("signed is %q at %s", signed, f.Outcome)
			}
		})
	}
}

// TestEveryGoldenHasItsCase finds messages that no test looks at.
func TestEveryGoldenHasItsCase(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(folder, "*.eml"))
	if len(files) != len(goldens) {
		t.Errorf("%d messages, %d cases", len(files), len(goldens))
	}
}

// TestOneOctetAtATime reads messages in the smallest parts.
func TestOneOctetAtATime(t *testing.T) {
	c, _ := goldenCheck(t)
	for _, file := range []string{"blank-simple-simple", "blank-relaxed-relaxed", "two", "empty-body"} {
		f := c.Run(t.Context(), policy.View{Content: iotest.OneByteReader(strings.NewReader(golden(t, file)))})
		if f.Outcome != policy.Pass {
			t.Errorf("%s: %s\n%s", file, f.Outcome, evidence(f))
		}
	}
}

// TestSpoiltMessages changes messages that were signed well.
func TestSpoiltMessages(t *testing.T) {
	c, _ := goldenCheck(t)
	for _, x := range []struct {
		name, file, from, to string
		want                 policy.Outcome
		says                 string
	}{
		{"the body", "rsa2048", "5 EUR", "6 EUR", policy.Fail, "the body hash did not verify"},
		{"a signed header", "rsa2048", "An offer", "An order", policy.Fail, "signature did not verify"},
		{"a header that is not signed", "rsa2048", "To: bob", "X-New: 1\r\nTo: bob", policy.Pass, ""},
		{"space in the body, relaxed", "rsa2048", "Dear  Bob", "Dear Bob", policy.Pass, ""},
		{"space in the body, simple", "folded-simple-simple", "Dear  Bob", "Dear Bob", policy.Fail, "body hash"},
		{"empty lines at the end", "rsa2048", "with a dot\r\n", "with a dot\r\n\r\n\r\n", policy.Pass, ""},
		{"a second Subject on top of an oversigned one", "oversigned", "From: Amy", "Subject: x\r\nFrom: Amy", policy.Fail, "signature did not"},
		{"a Reply-To that was signed as missing", "oversigned", "From: Amy", "Reply-To: x@y\r\nFrom: Amy", policy.Fail, "signature did not"},
		{"the signature that another one covers", "over-signature", "s=r2048; t=", "s=r1024; t=", policy.Fail, "s=ed a=ed25519-sha256 bits=256 result=fail"},
		{"a domain above, which has no key", "rsa2048", "d=shop.example", "d=example", policy.PermError, "there is no key"},
		{"a tag twice", "rsa2048", "q=dns/txt", "v=1", policy.PermError, "a tag stands twice"},
		{"a tag without a value sign", "rsa2048", "q=dns/txt", "q", policy.PermError, "its tags cannot be read"},
		{"another version", "rsa2048", "v=1", "v=2", policy.PermError, "its version is not 1"},
		{"From not covered", "rsa2048", "h=from", "h=frog", policy.Fail, "signature did not verify"}, // dkimpy names From twice
		{"From not covered at all", "opendkim-plain-simple", "h=From", "h=Frog", policy.PermError, "it does not cover From"},
		{"expired", "rsa2048", "q=dns/txt", "x=1799999999", policy.Fail, "it has expired"},
		{"not expired, but x= was added", "rsa2048", "q=dns/txt", "x=9999999999", policy.Fail, "signature did not verify"},
		{"x= is no number", "rsa2048", "q=dns/txt", "x=soon", policy.PermError, "malformed expiration time"},
		{"an algorithm that nobody knows", "rsa2048", "rsa-sha256", "rsa-sha3", policy.PermError, "its algorithm is not known"},
		{"the key is of another kind", "rsa2048", "rsa-sha256", "ed25519-sha256", policy.PermError, "inappropriate key algorithm"},
		{"a selector that is no name", "rsa2048", "s=r2048", "s=r 2048..", policy.PermError, "its domain or selector is no name"},
		{"base64 that is none", "rsa2048", "bh=", "bh=!", policy.PermError, "malformed body hash"},
		{"base64 that is none, of the signature", "rsa2048", "\r\n b=", "\r\n b=!", policy.PermError, "malformed signature"},
		{"no body hash", "rsa2048", " bh=", " zh=", policy.PermError, "signature missing required tag"},
		{"no signature", "rsa2048", "\r\n b=", "\r\n z=", policy.PermError, "signature missing required tag"},
		{"t= is no number", "rsa2048", "; t=", "; t=x", policy.PermError, "malformed time"},
		{"t= is negative", "rsa2048", "; t=", "; t=-", policy.PermError, "malformed time"},
		{"x= is empty", "rsa2048", "q=dns/txt", "x=", policy.PermError, "malformed expiration time"},
		{"x= has 13 digits", "rsa2048", "q=dns/txt", "x=9999999999999", policy.PermError, "malformed expiration time"},
		{"x= is zero", "rsa2048", "q=dns/txt", "x=0", policy.PermError, "it expired before it was made"},
		{"x= is before t=", "rsa2048", "q=dns/txt", "x=1795299516", policy.PermError, "it expired before it was made"},
		{"space inside d=", "rsa2048", "d=shop", "d=sh op", policy.PermError, "its domain or selector is no name"},
		{"space inside a name of h=", "rsa2048", "h=from", "h=fr om", policy.PermError, "malformed list of header fields"},
		{"an empty element of h=", "rsa2048", "h=from :", "h=from : :", policy.Fail, "signature did not verify"},
		{"i= without an @", "rsa2048", "i=@shop", "i=shop", policy.PermError, "domain mismatch"},
		{"c= without the header's form", "rsa2048", "c=relaxed/", "c=/", policy.PermError, "unsupported canonicalization"},
		{"c= without the body's form", "rsa2048", "c=relaxed/relaxed", "c=relaxed/", policy.PermError, "unsupported canonicalization"},
		{"another canonical form", "rsa2048", "c=relaxed/relaxed", "c=relaxed/nofws", policy.PermError, "unsupported canonicalization"},
		{"another way to the key", "rsa2048", "q=dns/txt", "q=https", policy.PermError, "unsupported public key query method"},
		{"a second way to the key", "rsa2048", "q=dns/txt", "q=https : dns/txt", policy.Fail, "signature did not verify"},
		{"i= of someone else", "rsa2048", "i=@shop", "i=@chop", policy.PermError, "domain mismatch"},
		{"space around From:", "rsa2048", "From: Amy", "From : Amy", policy.Pass, ""}, // RFC 6376 section 3.4.2
		{"From: behind a NUL", "rsa2048", "From: Amy", "\x00From: Amy", policy.PermError, "the header has a line that is no field"},
		{"a line above the body that is no field", "rsa2048", "\r\n\r\n", "\r\nPay at once !\r\n\r\n", policy.PermError, "the header has a line that is no field"},
		{"one with a colon", "rsa2048", "\r\n\r\n", "\r\nPay at http://evil.test !\r\n\r\n", policy.PermError, "the header has a line that is no field"},
		{"one of a mailbox", "rsa2048", "DKIM-", "From amy Sat Nov 28 2026\r\nDKIM-", policy.PermError, "the header has a line that is no field"},
		{"a bare CR in the header, relaxed", "rsa2048", "An offer", "An\roffer", policy.PermError, "the header has a bare CR or LF"},
		{"a bare LF in the header, relaxed", "rsa2048", "An offer", "An\noffer", policy.PermError, "the header has a bare CR or LF"},
		{"bare LFs at its end", "rsa2048", "\r\n\r\n", "\n\n", policy.PermError, "the header has a bare CR or LF"},
		{"a bare LF in the body", "rsa2048", "with a dot\r\n", "with a dot\n", policy.Fail, "the body hash did not verify"},
	} {
		t.Run(x.name, func(t *testing.T) {
			good := golden(t, x.file)
			if !strings.Contains(good, x.from) {
				t.Fatalf("no %q in the message", x.from)
			}
			f := run(t, c, strings.Replace(good, x.from, x.to, 1))
			if x.file == "over-signature" { // the other signature is not what is meant
				f.Outcome = policy.Outcome(f.Auth[0].Result)
			}
			if f.Outcome != x.want || !strings.Contains(evidence(f), x.says) {
				t.Errorf("got %s, want %s with %q:\n%s", f.Outcome, x.want, x.says, evidence(f))
			}
		})
	}
}

// evidence is all of a finding that an admin sees.
func evidence(f policy.Finding) string {
	var b bytes.Buffer
	for _, x := range f.Facts {
		b.WriteString(x.Key + ": " + x.Value + "\n")
	}
	return b.String()
}
