package greylist

import (
	"strings"
	"testing"

	"gatepost/policy"
)

// TestNormal: senders that differ from mail to mail, and what they are counted as.
func TestNormal(t *testing.T) {
	for _, c := range []struct{ name, local, want string }{
		{"plain", "amy", "amy"},
		{"case", "Amy.Jones", "amy.jones"},
		{"tag", "amy+orders", "amy"},
		{"a tag alone stays", "+orders", "+orders"},
		{"BATV", "prvs=2153ab47f6=amy", "amy"},
		{"BATV of another day", "prvs=3154cc81d0=amy", "amy"},
		{"BATV in capitals", "PRVS=2153AB47F6=Amy", "amy"},
		{"BATV of Barracuda", "btv1==0537f1d53dd==amy", "amy"},
		{"BATV without a local part", "prvs=2153ab47f6=", "prvs=#="},
		{"SRS0", "SRS0=7Qhc=2H=shop.example=amy", "srs=shop.example=amy"},
		{"SRS0 of another day", "SRS0=xTr9=4K=shop.example=amy", "srs=shop.example=amy"},
		{"SRS0 with a plus", "SRS0+7Qhc=2H=shop.example=amy", "srs=shop.example=amy"},
		{"SRS1", "SRS1=ab12=fwd.example==7Qhc=2H=shop.example=amy", "srs=shop.example=amy"},
		{"no SRS", "srs0=short", "#=short"},
		{"VERP with a number", "news-return-1234-user=home.example", "news-return-#-user=home.example"},
		{"VERP of the next number", "news-return-1235-user=home.example", "news-return-#-user=home.example"},
		{"VERP behind a plus", "bounces+1234-ab12-user=home.example", "bounces"},
		{"a hash", "bounce-0101018f3c2b7a11-d4e5", "bounce-#-#"},
		{"a long word without digits", "m.abcdefghijklmnopqrstuvwxyz", "m.#"},
		{"a name with a digit", "amy7", "#"},
		{"controls", "a\r\nb\x00", "a\r\nb\x00"},
		{"empty", "", ""},
	} {
		if got := normal(policy.Mailbox{Local: c.local, Domain: "Shop.example"}); got != c.want+"@shop.example" {
			t.Errorf("%s: %q is counted as %q, want %q", c.name, c.local, got, c.want+"@shop.example")
		}
	}
}

// FuzzNormal: the case of a sender changes nothing, the domain stays, and nothing grows, but that an octet which is no UTF-8 becomes a mark for it.
func FuzzNormal(f *testing.F) {
	for _, s := range []string{"amy", "SRS0=a=b=c=d", "srs1=x==a=b=c=d", "prvs=1=prvs=2=x", "btv1==x==", "a+b", "+", "é1", strings.Repeat("a-", 600)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, local string) {
		got := normal(policy.Mailbox{Local: local, Domain: "shop.example"})
		if !strings.HasSuffix(got, "@shop.example") {
			t.Errorf("%q lost its domain: %q", local, got)
		}
		if lower := strings.ToLower(local); normal(policy.Mailbox{Local: lower, Domain: "SHOP.example"}) != got && strings.ToLower(lower) == lower {
			t.Errorf("%q is counted apart from its lower case", local)
		}
		if len(got) > 3*len(local)+len("@shop.example") {
			t.Errorf("%q grew to %q", local, got)
		}
		for _, part := range []string{newLabel(Identity{}, got, local).Sender, clean(local)} {
			if len(part) > longestLabel || strings.ContainsAny(part, " \r\n\x00\x1b") {
				t.Errorf("a label of %q: %q", local, part)
			}
		}
	})
}
