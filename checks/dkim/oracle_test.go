package dkim

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/miekg/dns"

	"gatepost/policy"
)

// bare finds what go-msgauth makes ends of lines of, other than the RFC.
var bare = regexp.MustCompile(`\r([^\n]|\z)|(^|[^\r])\n`)

// FuzzSigned signs messages by go-msgauth, which must pass here, and spoils them at one place: then both must find the same.
func FuzzSigned(f *testing.F) {
	for i, x := range bodies {
		f.Add("Subject: a\r\n  b\r\n", x.in, byte(i), uint16(i*30), "x")
	}
	f.Add("To: bob\r\nTo : carl\r\n", "a\r\n", byte(3), uint16(400), "\r\n \t")
	f.Fuzz(func(t *testing.T, more, body string, forms byte, at uint16, with string) {
		message := "From: amy@shop.example\r\n" + more + "\r\n" + body
		if bare.MatchString(message) {
			return
		}
		names := [...]msgauth.Canonicalization{"simple", "relaxed"}
		var b strings.Builder
		err := msgauth.Sign(&b, strings.NewReader(message), &msgauth.SignOptions{
			Domain: "shop.example", Selector: "k", Signer: edKey(), HeaderCanonicalization: names[forms&1], BodyCanonicalization: names[forms>>1&1]})
		if err != nil {
			return
		}
		_, published := signed(t, "shop.example", "", edKey())
		good := b.String()
		compare(t, published, good)
		cut := min(int(at), len(good))
		if spoilt := good[:cut] + with + good[cut:]; !bare.MatchString(spoilt) {
			compare(t, published, spoilt)
		}
	})
}

// FuzzGolden changes messages that others signed: go-msgauth must find the same in them.
func FuzzGolden(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(folder, "*.eml"))
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			f.Add(string(b))
		}
	}
	published := goldenKeys(f)
	f.Fuzz(func(t *testing.T, message string) {
		if !bare.MatchString(message) {
			compare(t, published, message)
		}
	})
}

// goldenKeys are the keys of the golden messages.
func goldenKeys(t testing.TB) keys {
	zone, err := os.Open(filepath.Join(folder, "keys.zone"))
	if err != nil {
		t.Fatal(err)
	}
	defer zone.Close()
	all := keys{}
	parser := dns.NewZoneParser(zone, "", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		if txt, ok := rr.(*dns.TXT); ok {
			all[strings.TrimSuffix(txt.Hdr.Name, ".")] = strings.Join(txt.Txt, "")
		}
	}
	return all
}

// stricter finds what does not pass here for a reason that go-msgauth does not have.
var stricter = regexp.MustCompile(`its key allows no i= below the domain|\(l=\)|more than 200 header fields|is no name|header is larger|more than 1000|larger than 64 KiB|its tags cannot be read|a tag stands twice|a line that is no field|malformed|unsupported canonicalization|expired before|testing=yes`)

// compare lets go-msgauth verify a message too.
func compare(t *testing.T, published keys, message string) {
	t.Helper()
	if strings.HasPrefix(message, " ") || strings.HasPrefix(message, "\t") { // go-msgauth takes such a first line for a field
		return
	}
	c := checkWith(published)
	c.settings.Signatures = 20
	f := run(t, c, message)
	theirs, err := msgauth.VerifyWithOptions(strings.NewReader(message), &msgauth.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) { return published.TXT(t.Context(), strings.ToLower(name)) }})
	if err != nil {
		return
	}
	pass := false
	for _, v := range theirs {
		pass = pass || v.Err == nil
	}
	if pass != (f.Outcome == policy.Pass) && !(pass && stricter.MatchString(evidence(f))) {
		t.Errorf("we say %s:\n%s\n%s", f.Outcome, evidence(f), bytes.TrimSpace([]byte(message)))
	}
}
