package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"gatepost/policy"
)

// keys is a DNS that holds keys by the name they are published under.
type keys map[string]string

func (k keys) TXT(_ context.Context, name string) ([]string, error) {
	if text, ok := k[name]; ok {
		return []string{text}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// signed is a message with a signature by go-msgauth, and the record of its key.
func signed(t testing.TB, domain, body string, key crypto.Signer) (message string, dns keys) {
	t.Helper()
	var b strings.Builder
	err := msgauth.Sign(&b, strings.NewReader("From: amy@shop.example\r\nSubject: Hello\r\n\r\n"+body), &msgauth.SignOptions{
		Domain: domain, Selector: "k", Signer: key, HeaderCanonicalization: "relaxed", BodyCanonicalization: "relaxed"})
	if err != nil {
		t.Fatal(err)
	}
	name := "k._domainkey." + domainName(domain)
	if pub, ok := key.Public().(ed25519.PublicKey); ok {
		return b.String(), keys{name: "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(pub)}
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), keys{name: "v=DKIM1; p=" + base64.StdEncoding.EncodeToString(pub)}
}

func edKey() crypto.Signer {
	return ed25519.NewKeyFromSeed([]byte("a seed that is 32 octets long..."))
}

func checkWith(r Resolver) *Check { return New(Kind().Settings().(*Settings), r) }

func TestAuthenticationResults(t *testing.T) {
	c, _ := goldenCheck(t)
	b := func(message string, n int) string {
		_, rest, _ := strings.Cut(strings.SplitAfterN(message, "\r\n b=", n+1)[n], "")
		return rest[:8]
	}
	two := golden(t, "two")
	f := run(t, c, two)
	want := []policy.AuthResult{
		{Method: "dkim", Result: "pass", Comment: "256-bit key", Props: []policy.Fact{{Key: "header.d", Value: "shop.example"},
			{Key: "header.i", Value: "@shop.example"}, {Key: "header.s", Value: "ed"}, {Key: "header.a", Value: "ed25519-sha256"}, {Key: "header.b", Value: b(two, 1)}}},
		{Method: "dkim", Result: "pass", Comment: "2048-bit key", Props: []policy.Fact{{Key: "header.d", Value: "shop.example"},
			{Key: "header.i", Value: "@shop.example"}, {Key: "header.s", Value: "r2048"}, {Key: "header.a", Value: "rsa-sha256"}, {Key: "header.b", Value: b(two, 2)}}},
	}
	if d := cmp.Diff(want, f.Auth); d != "" {
		t.Error(d)
	}
	f = run(t, c, golden(t, "unsigned"))
	if d := cmp.Diff([]policy.AuthResult{{Method: "dkim", Result: "none"}}, f.Auth); d != "" {
		t.Error(d)
	}
}

func TestStatusAndText(t *testing.T) {
	c, server := goldenCheck(t)
	server.ServFail("r1024._domainkey.shop.example")
	for _, x := range []struct {
		file   string
		want   policy.Outcome
		detail uint16
		text   string
	}{
		{"rsa2048", policy.Pass, 20, "DKIM: the signature of shop.example is valid"},
		{"unsigned", policy.NoneFound, 20, "DKIM: the message is not signed"},
		{"no-key", policy.PermError, 20, "DKIM: no signature is valid; that of shop.example: there is no key"},
		{"length", byPolicy, 21, "DKIM: no signature is acceptable; that of shop.example: it covers a part of the body alone (l=)"},
		{"rsa1024", policy.TempError, 5, "DKIM: the signature of shop.example could not be checked, please try again later"},
	} {
		f := run(t, c, golden(t, x.file))
		want := policy.Status{Subject: 7, Detail: x.detail}
		if f.Outcome != x.want || f.Status != want || f.Text != x.text {
			t.Errorf("%s: %s %v %q\n%s", x.file, f.Outcome, f.Status, f.Text, evidence(f))
		}
	}
}

// strangers are signatures by others that have no key.
func strangers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "DKIM-Signature: v=1; a=rsa-sha256; d=list%d.example; s=k; h=from; bh=AAAA; b=AAAA\r\n", i)
	}
	return b.String()
}

func TestTheAuthorsSignatureComesFirst(t *testing.T) {
	c, server := goldenCheck(t)
	f := run(t, c, strangers(99)+golden(t, "rsa2048"))
	if f.Outcome != policy.Pass || f.Fact("signatures") != "5 of 100" || len(f.Auth) != 5 {
		t.Errorf("%s, %d results\n%s", f.Outcome, len(f.Auth), evidence(f))
	}
	if n := server.Total(); n != 5 {
		t.Errorf("%d queries", n)
	}
}

// TestTheRestIsCounted has more signatures than are read.
func TestTheRestIsCounted(t *testing.T) {
	c, _ := goldenCheck(t)
	for before, want := range map[int]policy.Outcome{maxRead - 1: policy.Pass, maxRead: policy.PermError} {
		f := run(t, c, strangers(before)+golden(t, "rsa2048"))
		if f.Outcome != want || f.Fact("signatures") != fmt.Sprintf("5 of %d", before+1) {
			t.Errorf("behind %d: %s\n%s", before, f.Outcome, evidence(f))
		}
	}
}

func TestChoice(t *testing.T) {
	for _, x := range []struct {
		name, from, domains, want string
		n                         int
	}{
		{"in their order", "a.example", "x.test y.test z.test", "x.test y.test", 2},
		{"the author's own", "a.example", "x.test a.example", "a.example", 1},
		{"above the author's", "mail.a.example", "b.example a.example", "a.example", 1},
		{"below the author's", "a.example", "b.example news.a.example", "news.a.example", 1},
		{"the author's own before others of it", "a.example", "x.a.example a.example", "a.example x.a.example", 2},
		{"no author", "", "x.test a.example", "x.test", 1},
		{"a name that only ends alike", "a.example", "b.example nota.example a.example", "a.example b.example nota.example", 3},
	} {
		t.Run(x.name, func(t *testing.T) {
			var all []*signature
			for d := range strings.FieldsSeq(x.domains) {
				all = append(all, &signature{domain: d})
			}
			var got []string
			for _, s := range choose(all, x.from, x.n) {
				got = append(got, s.domain)
			}
			if s := strings.Join(got, " "); s != x.want {
				t.Errorf("got %q, want %q", s, x.want)
			}
		})
	}
}

// TestBrokenOnesComeLast: no number of them keeps one from being looked at that may pass.
func TestBrokenOnesComeLast(t *testing.T) {
	for _, from := range []string{"", "shop.example"} {
		good := &signature{domain: "shop.example"}
		list := []*signature{{result: policy.PermError}, {domain: "shop.example", result: policy.PermError}, good}
		if choose(list, from, 1)[0] != good {
			t.Errorf("from %q another one was chosen", from)
		}
	}
}

func TestWhatStandsForAll(t *testing.T) {
	for _, x := range []struct{ name, signatures, want string }{
		{"one that passed, whoever it is of", "shop.example fail, list.test pass", "pass"},
		{"the author's before better ones of others", "list.test temperror, shop.example fail", "fail"},
		{"a parent of the author's counts as its own", "list.test policy, example permerror", "permerror"},
		{"what may pass later, before failures", "shop.example fail, shop.example temperror", "temperror"},
		{"the author's trial, before strangers", "shop.example fail trial, list.test fail", "fail"},
		{"trials alone", "shop.example fail trial, a.test permerror trial", "none"},
		{"a trial that passed", "a.test fail, shop.example pass trial", "pass"},
		{"the best of strangers", "a.test permerror, b.test fail", "fail"},
	} {
		t.Run(x.name, func(t *testing.T) {
			var list []*signature
			for s := range strings.SplitSeq(x.signatures, ", ") {
				words := strings.Fields(s)
				list = append(list, &signature{domain: words[0], result: policy.Outcome(words[1]), key: key{testing: len(words) > 2}})
			}
			if f := finding(list, len(list), "shop.example", nil); string(f.Outcome) != x.want {
				t.Errorf("got %s, want %s", f.Outcome, x.want)
			}
		})
	}
}

// TestEverySignatureOfAnAuthorIsNamed has two domains that pass, one of them twice.
func TestEverySignatureOfAnAuthorIsNamed(t *testing.T) {
	list := []*signature{{domain: "a.test", result: policy.Pass}, {domain: "b.test", result: policy.Pass}, {domain: "a.test", result: policy.Pass}}
	var got []string
	for _, x := range finding(list, 3, "", nil).Facts {
		if x.Key == policy.FactSigned {
			got = append(got, x.Value)
		}
	}
	if d := cmp.Diff([]string{"a.test", "b.test"}, got); d != "" {
		t.Error(d)
	}
}

func TestKeysThatAreNotAccepted(t *testing.T) {
	good, _ := signed(t, "shop.example", "Hello\r\n", edKey())
	own := base64.StdEncoding.EncodeToString(edKey().Public().(ed25519.PublicKey))
	for _, x := range []struct {
		name, record string
		want         policy.Outcome
		says         string
	}{
		{"good", "v=DKIM1; k=ed25519; p=" + own, policy.Pass, "bits=256"},
		{"half a key", "k=ed25519; p=" + own[:20], policy.PermError, "invalid Ed25519 public key size"},
		{"no base64", "k=ed25519; p=!", policy.PermError, "key syntax error"},
		{"no key", "k=ed25519", policy.PermError, "key syntax error"},
		{"revoked", "k=ed25519; p=", policy.PermError, "key revoked"},
		{"a tag twice", "k=ed25519; k=ed25519; p=" + own, policy.PermError, "key record error"},
		{"not for mail", "k=ed25519; s=web; p=" + own, policy.PermError, "inappropriate service"},
		{"not for sha256", "k=ed25519; h=sha1; p=" + own, policy.PermError, "inappropriate hash algorithm"},
		{"of an unknown kind", "k=dsa; p=" + own, policy.PermError, "unsupported key algorithm"},
		{"another version", "v=DKIM2; k=ed25519; p=" + own, policy.PermError, "incompatible public key version"},
		{"of another domain, on trial", "v=DKIM1; t=y; k=ed25519; p=" + strings.Repeat("A", 43) + "=", policy.NoneFound, "testing=yes result=fail"},
		{"a record of 64 KiB", "k=ed25519; n=" + strings.Repeat("x", 64<<10) + "; p=" + own, policy.PermError, "its key record is larger than 8 KiB"},
		{"octets over 127", "k=ed25519; n=\xff\x80; p=" + own, policy.Pass, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := run(t, checkWith(keys{"k._domainkey.shop.example": x.record}), good)
			if f.Outcome != x.want || !strings.Contains(evidence(f), x.says) {
				t.Errorf("got %s, want %s with %q:\n%s", f.Outcome, x.want, x.says, evidence(f))
			}
		})
	}
}

func TestSeveralKeysAtOneName(t *testing.T) {
	good, dns := signed(t, "shop.example", "Hello\r\n", edKey())
	zone := ""
	for name, text := range dns {
		zone = fmt.Sprintf("%s. TXT %q\n%[1]s. TXT \"v=DKIM1; p=\"\n", name, text)
	}
	c, _ := newCheck(t, zone)
	if f := run(t, c, good); f.Outcome != policy.PermError { // RFC 6376 section 3.6.2.2
		t.Errorf("%s\n%s", f.Outcome, evidence(f))
	}
	c, _ = newCheck(t, strings.Replace(zone, "v=DKIM1; p=", "v=spf1 -all", 1))
	if f := run(t, c, good); f.Outcome != policy.Pass { // RFC 6376 section 3.6.1: one of another version is discarded
		t.Errorf("%s\n%s", f.Outcome, evidence(f))
	}
}

// TestKeySize has keys that are too short for the settings, and too long for anyone.
func TestKeySize(t *testing.T) {
	c, _ := goldenCheck(t)
	c.settings.MinRSABits = 2048
	f := run(t, c, golden(t, "rsa1024"))
	if f.Outcome != byPolicy || !strings.Contains(evidence(f), "its key has 1024 bits, 2048 are asked for") {
		t.Errorf("%s\n%s", f.Outcome, evidence(f))
	}
	if f := run(t, c, golden(t, "ed25519")); f.Outcome != policy.Pass {
		t.Errorf("ed25519: %s\n%s", f.Outcome, evidence(f))
	}
	long, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: nextOdd(16384), E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readKey([]string{"p=" + base64.StdEncoding.EncodeToString(long)}); err != errLongKey {
		t.Error(err)
	}
}

// TestNamesInOtherLetters signs for a domain in a U-label: it is asked for, and named, in its A-label (RFC 8616).
func TestNamesInOtherLetters(t *testing.T) {
	message, dns := signed(t, "Bücher.example", "Hello\r\n", edKey())
	f := run(t, checkWith(dns), message)
	if f.Outcome != policy.Pass || f.Fact(policy.FactSigned) != "xn--bcher-kva.example" {
		t.Errorf("%s\n%s\n%v", f.Outcome, evidence(f), maps.Collect(maps.All(dns)))
	}
}

// TestNoQueryForAHopelessSignature makes sure that what cannot pass costs no query.
func TestNoQueryForAHopelessSignature(t *testing.T) {
	c, server := goldenCheck(t)
	for _, file := range []string{"sha1", "length", "unsigned"} {
		run(t, c, golden(t, file))
	}
	if n := server.Total(); n != 0 {
		t.Errorf("%d queries", n)
	}
}

// TestContentThatDoesNotComeWhole ends with an error in the header and in the body, with one signature and with two.
func TestContentThatDoesNotComeWhole(t *testing.T) {
	c, _ := goldenCheck(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), goleak.IgnoreTopFunction("gatepost/internal/workers.(*Pool).work"))
	for _, file := range []string{"rsa2048", "two"} {
		whole := golden(t, file)
		for _, at := range []int{10, len(whole) - 10, len(whole)} {
			content := io.MultiReader(strings.NewReader(whole[:at]), iotest.ErrReader(errors.New("the connection broke")))
			f := c.Run(t.Context(), policy.View{Content: content})
			if f.Outcome != policy.TempError || f.Fact("error") != "the connection broke" {
				t.Errorf("%s at %d: %s\n%s", file, at, f.Outcome, evidence(f))
			}
		}
	}
}

// TestNobodyNeedsTheBody ends with an error in a body whose only signature has no key.
func TestNobodyNeedsTheBody(t *testing.T) {
	c, _ := goldenCheck(t)
	content := io.MultiReader(strings.NewReader(golden(t, "no-key")), iotest.ErrReader(errors.New("the connection broke")))
	if f := c.Run(t.Context(), policy.View{Content: content}); f.Outcome != policy.PermError {
		t.Errorf("%s\n%s", f.Outcome, evidence(f))
	}
}

// endless is content that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, "endless\r\n"), nil }

// TestReadingStopsWhereNothingIsLeftToVerify has no key, so the body is not needed.
func TestReadingStopsWhereNothingIsLeftToVerify(t *testing.T) {
	c, _ := goldenCheck(t)
	for _, file := range []string{"no-key", "unsigned"} {
		f := c.Run(t.Context(), policy.View{Content: io.MultiReader(strings.NewReader(golden(t, file)), endless{})})
		if f.Outcome == policy.Pass {
			t.Errorf("%s: %s\n%s", file, f.Outcome, evidence(f))
		}
	}
}

type broken struct{}

func (broken) TXT(context.Context, string) ([]string, error) { panic("broken") }

// TestAPanicIsATemporaryError panics where the core cannot catch it.
func TestAPanicIsATemporaryError(t *testing.T) {
	f := run(t, checkWith(broken{}), golden(t, "two"))
	if f.Outcome != policy.TempError {
		t.Errorf("%s\n%s", f.Outcome, evidence(f))
	}
}

func TestSettings(t *testing.T) {
	for _, x := range []struct {
		name string
		in   Settings
		want string
	}{
		{"defaults", *Kind().Settings().(*Settings), ""},
		{"none looked at", Settings{0, 1024}, "signatures"},
		{"too many looked at", Settings{21, 1024}, "signatures"},
		{"weak keys", Settings{5, 512}, "min_rsa_bits"},
		{"keys that nobody has", Settings{5, 8192}, "min_rsa_bits"},
	} {
		got := ""
		x.in.Validate(func(key, _ string) { got += key })
		if got != x.want {
			t.Errorf("%s: problem with %q, want %q", x.name, got, x.want)
		}
	}
}
