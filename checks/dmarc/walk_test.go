package dmarc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestSteps(t *testing.T) {
	for _, c := range []struct{ domain, want string }{
		{"example", "example"},
		{"mail.example.com", "mail.example.com example.com com"},
		{"a.b.c.d.e.f.g", "a.b.c.d.e.f.g b.c.d.e.f.g c.d.e.f.g d.e.f.g e.f.g f.g g"},
		{"a.b.c.d.e.f.g.h", "a.b.c.d.e.f.g.h b.c.d.e.f.g.h c.d.e.f.g.h d.e.f.g.h e.f.g.h f.g.h g.h h"},
		{"a.b.c.d.e.f.g.h.i.j.mail.example.com", "a.b.c.d.e.f.g.h.i.j.mail.example.com g.h.i.j.mail.example.com " +
			"h.i.j.mail.example.com i.j.mail.example.com j.mail.example.com mail.example.com example.com com"},
	} {
		if got := strings.Join(steps(c.domain), " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.domain, got, c.want)
		}
	}
}

func TestOrganization(t *testing.T) {
	for _, c := range []struct {
		name    string
		records map[string]string
		domain  string
		want    string
	}{
		{"no record: the domain itself", nil, "a.mail.example.com", "a.mail.example.com"},
		{"the fewest labels", map[string]string{"mail.example.com": "v=DMARC1", "example.com": "v=DMARC1"}, "a.mail.example.com", "example.com"},
		{"psd=n ends the walk", map[string]string{"mail.example.com": "v=DMARC1; psd=n", "example.com": "v=DMARC1"}, "a.mail.example.com", "mail.example.com"},
		{"psd=n of the domain itself", map[string]string{"a.example.com": "v=DMARC1; psd=n", "example.com": "v=DMARC1"}, "a.example.com", "a.example.com"},
		{"one label below psd=y", map[string]string{"com": "v=DMARC1; psd=y"}, "a.mail.example.com", "example.com"},
		{"psd=y of the domain itself", map[string]string{"bank.example": "v=DMARC1; psd=y", "example": "v=DMARC1"}, "bank.example", "bank.example"},
		{"psd=y above the jump", map[string]string{"d.e.f.g.h.i.j": "v=DMARC1; psd=y"}, "a.b.c.d.e.f.g.h.i.j", "c.d.e.f.g.h.i.j"},
		{"a record that the jump passes over", map[string]string{"b.c.d.e.f.g.h.i.j": "v=DMARC1; psd=n"}, "a.b.c.d.e.f.g.h.i.j", "a.b.c.d.e.f.g.h.i.j"},
		{"two records are none", map[string]string{"mail.example.com": "v=DMARC1", "example.com": "v=DMARC1 | v=DMARC1; p=reject"}, "a.mail.example.com", "mail.example.com"},
		{"a record of something else beside it", map[string]string{"example.com": "v=spf1 -all | v=DMARC1"}, "a.example.com", "example.com"},
	} {
		got, err := newRecords(dmarcZone(c.records)).organizationOf(t.Context(), c.domain)
		if err != nil || got != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestWishOfARecord(t *testing.T) {
	const all = "v=DMARC1; p=none; sp=quarantine; np=reject"
	for _, c := range []struct {
		name    string
		records map[string]string
		author  string
		want    string // where the record stands, and what it asks for
	}{
		{"the author's own", map[string]string{"example.com": all}, "example.com", "example.com none"},
		{"a subdomain that exists", map[string]string{"example.com": all, "x.a.example.com": ""}, "a.example.com", "example.com quarantine"},
		{"a subdomain that doesn't exist", map[string]string{"example.com": all}, "a.example.com", "example.com reject"},
		{"sp in place of np", map[string]string{"example.com": "v=DMARC1; p=none; sp=reject"}, "a.example.com", "example.com reject"},
		{"p in place of sp", map[string]string{"example.com": "v=DMARC1; p=reject"}, "a.example.com", "example.com reject"},
		{"p in place of sp where np doesn't apply", map[string]string{"example.com": "v=DMARC1; p=quarantine; np=reject", "x.a.example.com": ""}, "a.example.com", "example.com quarantine"},
		{"a subdomain with a record of its own", map[string]string{"example.com": all, "a.example.com": "v=DMARC1; p=none; sp=reject"}, "a.example.com", "a.example.com none"},
		{"the organization's, not one between", map[string]string{"example.com": "v=DMARC1; p=reject", "a.example.com": "v=DMARC1"}, "b.a.example.com", "example.com reject"},
		{"psd=n makes one between the organization's", map[string]string{"example.com": "v=DMARC1; p=reject", "a.example.com": "v=DMARC1; psd=n"}, "b.a.example.com", "a.example.com none"},
		{"the public suffix's", map[string]string{"com": "v=DMARC1; psd=y; p=none; sp=quarantine"}, "a.example.com", "com quarantine"},
		{"the organization's before the public suffix's", map[string]string{"com": "v=DMARC1; psd=y; p=reject", "example.com": "v=DMARC1"}, "a.example.com", "example.com none"},
		{"testing softens reject", map[string]string{"example.com": "v=DMARC1; p=reject; t=y"}, "example.com", "example.com quarantine"},
		{"testing softens quarantine", map[string]string{"example.com": "v=DMARC1; p=quarantine; t=y"}, "example.com", "example.com none"},
		{"testing leaves none", map[string]string{"example.com": "v=DMARC1; p=none; t=y"}, "example.com", "example.com none"},
		{"none at all", nil, "example.com", "nothing"},
	} {
		r := newRecords(dmarcZone(c.records))
		got := "nothing"
		n, err := r.policyRecord(t.Context(), c.author)
		if n != nil && err == nil {
			var wish string
			wish, err = r.wish(t.Context(), c.author, n)
			got = n.domain + " " + wish
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestALongNameCostsEightQueries(t *testing.T) {
	long := strings.Repeat("a.", 98) + "example.com"
	z := dmarcZone(map[string]string{"com": "v=DMARC1; psd=y; p=reject"})
	r := newRecords(z)
	n, err := r.policyRecord(t.Context(), long)
	if err != nil || n == nil || n.domain != "com" {
		t.Errorf("got %v, %v", n, err)
	}
	if _, err := r.organizationOf(t.Context(), long); err != nil {
		t.Error(err)
	}
	if len(z.asked) != 8 { // RFC 9989 section 4.10
		t.Errorf("%d queries: %s", len(z.asked), z.asked)
	}
}

func TestWalkStops(t *testing.T) {
	z := dmarcZone(map[string]string{"b.c.d": "v=DMARC1; psd=n"})
	if _, err := newRecords(z).organizationOf(t.Context(), "a.b.c.d"); err != nil {
		t.Error(err)
	}
	if want := []string{"_dmarc.a.b.c.d", "_dmarc.b.c.d"}; !slices.Equal(z.asked, want) {
		t.Errorf("asked %s, want %s", z.asked, want)
	}
}

func TestANameTooLongForAQueryIsNotAsked(t *testing.T) {
	z := dmarcZone(nil)
	name := strings.Repeat("a.", 124) + "b"
	if rec, err := newRecords(z).at(t.Context(), name); rec != nil || err != nil || len(z.asked) > 0 {
		t.Errorf("got %v, %v after %d queries", rec, err, len(z.asked))
	}
}

func TestAFailedQueryIsAnError(t *testing.T) {
	for _, domain := range []string{"a.example.com", "example.com", "com"} {
		r := newRecords(dmarcZone(map[string]string{domain: "SERVFAIL"}))
		if n, err := r.policyRecord(t.Context(), "a.example.com"); err == nil {
			t.Errorf("%s: got %v", domain, fmt.Sprint(n))
		}
	}
}
