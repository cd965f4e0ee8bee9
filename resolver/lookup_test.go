package resolver

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"gatepost/internal/dnstest"
)

func TestLookups(t *testing.T) {
	s := dnstest.Start(t, zone)
	r := over(t, s, Settings{})
	txt := func(name string) func() (any, error) {
		return func() (any, error) { return r.TXT(background(), name) }
	}
	addrs := func(name string, f Family) func() (any, error) {
		return func() (any, error) { return r.Addrs(background(), name, f) }
	}
	mx := func(name string) func() (any, error) {
		return func() (any, error) { return r.MX(background(), name) }
	}
	ptr := func(a string) func() (any, error) {
		return func() (any, error) { return r.PTR(background(), netip.MustParseAddr(a)) }
	}
	exists := func(name string) func() (any, error) {
		return func() (any, error) { return r.Exists(background(), name) }
	}
	listing := func(name string) func() (any, error) {
		return func() (any, error) {
			a, text, err := r.Listing(background(), name)
			return fmt.Sprintf("%v %q", a, text), err
		}
	}
	for _, c := range []struct {
		name string
		ask  func() (any, error)
		want string // of fmt.Sprint
		sort string
	}{
		{"strings are joined, escapes undone", txt("Example.COM."), "[v=spf1 -all a \"quoted\" \\ \xc8 string]", "ok"},
		{"an underscore is a letter", txt("_dmarc.example.com"), "[v=DMARC1]", "ok"},
		{"no TXT", txt("mx1.example.com"), "[]", "not found"},
		{"no such name", txt("nobody.example.com"), "[]", "not found"},
		{"no such top", txt("nobody.nowhere"), "[]", "not found"},

		{"A", addrs("mx1.example.com", IPv4), "[192.0.2.1 192.0.2.2]", "ok"},
		{"AAAA", addrs("mx1.example.com", IPv6), "[2001:db8::1]", "ok"},
		{"both", addrs("mx1.example.com", Both), "[192.0.2.1 192.0.2.2 2001:db8::1]", "ok"},
		{"one of both", addrs("mx2.example.com", Both), "[192.0.2.3]", "ok"},
		{"not that one", addrs("mx2.example.com", IPv6), "[]", "not found"},
		{"neither", addrs("example.com", Both), "[]", "not found"},
		{"an alias of an alias", addrs("c1.example.com", IPv4), "[192.0.2.1 192.0.2.2]", "ok"},
		{"an alias of nothing", addrs("tonone.example.com", IPv4), "[]", "not found"},
		{"aliases of each other", addrs("loop1.example.com", IPv4), "[]", "temporary"},
		{"a U-label", addrs("Bücher.example.com", IPv4), "[192.0.2.7]", "ok"},

		{"by preference, lower case", mx("example.com"), "[{mx1.example.com 10} {mx2.example.com 20}]", "ok"},
		{"null MX", mx("null.example.com"), "[{ 0}]", "ok"},
		{"no host can be called so", mx("odd.example.com"), "[{mx1.example.com 20}]", "ok"},

		{"names of an address", ptr("192.0.2.1"), "[mx1.example.com]", "ok"},
		{"of one that is mapped", ptr("::ffff:192.0.2.1"), "[mx1.example.com]", "ok"},
		{"control bytes in one", ptr("192.0.2.2"), "[mx1.example.com]", "ok"},
		{"IPv6", ptr("2001:db8::1"), "[mx1.example.com]", "ok"},
		{"no name", ptr("192.0.2.3"), "[]", "not found"},

		{"has A", exists("mx1.example.com"), "true", "ok"},
		{"has others", exists("example.com"), "true", "ok"},
		{"has names below", exists("b.deep.example.com"), "true", "ok"},
		{"an alias exists, if its target doesn't", exists("tonone.example.com"), "true", "ok"},
		{"doesn't exist", exists("none.example.com"), "false", "ok"},
		{"can't exist", exists("a..b"), "false", "ok"},

		{"listed", listing("2.0.0.127.list.example"), `[127.0.0.2] "see there twice"`, "ok"},
		{"listed without a word", listing("3.0.0.127.list.example"), `[127.0.0.3] ""`, "ok"},
		{"not listed", listing("1.0.0.127.list.example"), `[] ""`, "ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.ask()
			wantSort(t, err, c.sort)
			if fmt.Sprint(got) != c.want {
				t.Errorf("got %q, want %q", fmt.Sprint(got), c.want)
			}
		})
	}
}

func TestNoAddress(t *testing.T) {
	r := over(t, dnstest.Start(t, zone), Settings{})
	_, err := r.PTR(background(), netip.Addr{})
	wantSort(t, err, "not found")
}

func TestOneFamilyFails(t *testing.T) {
	s := dnstest.Start(t, zone)
	s.Raw("mx1.example.com", servFailFor("AAAA"))
	r := over(t, s, Settings{})
	if got, err := r.Addrs(background(), "mx1.example.com", Both); fmt.Sprint(got) != "[192.0.2.66]" || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	// RFC 7208 section 5: for an IPv6 client it is a temporary error all the same, for an IPv4 client it doesn't matter.
	_, err := r.SPF(netip.MustParseAddr("2001:db8::1")).LookupIPAddr(background(), "mx1.example.com")
	wantSort(t, err, "temporary")
	_, err = r.SPF(netip.MustParseAddr("192.0.2.1")).LookupIPAddr(background(), "mx1.example.com")
	wantSort(t, err, "ok")
}

func TestNotAsked(t *testing.T) {
	s := dnstest.Start(t, zone)
	r := over(t, s, Settings{})
	for _, name := range []string{
		"", ".", "..", ".example.com", "a..example.com", "example.com..", "a\nb.example.com", "a\x00b", "\xff.example.com",
		strings.Repeat("a", 64) + ".example.com", strings.Repeat("a.", 126) + "aa",
	} {
		_, err := r.TXT(background(), name)
		wantSort(t, err, "not found")
		for _, c := range err.Error() {
			if c < ' ' || c > '~' {
				t.Errorf("%q: control byte in %q", name, err)
			}
		}
	}
	if n := s.Total(); n != 0 {
		t.Errorf("%d queries: %v", n, s.Queries())
	}
}

// What a caller does with an answer is no matter of the next one.
func TestAnswersAreCopies(t *testing.T) {
	s := dnstest.Start(t, zone)
	r := over(t, s, Settings{})
	for range 2 {
		txts, _ := r.TXT(background(), "_dmarc.example.com")
		if len(txts) != 1 || txts[0] != "v=DMARC1" {
			t.Fatalf("got %q", txts)
		}
		txts[0] = "changed"
		mxs, _ := r.MX(background(), "example.com")
		if mxs[0].Host != "mx1.example.com" {
			t.Fatalf("got %v", mxs)
		}
		mxs[0].Host = "changed"
		for _, f := range []Family{IPv4, Both} {
			addrs, _ := r.Addrs(background(), "mx2.example.com", f)
			if addrs[0].String() != "192.0.2.3" {
				t.Fatalf("got %v", addrs)
			}
			addrs[0] = netip.Addr{}
		}
		names, _ := r.PTR(background(), netip.MustParseAddr("192.0.2.1"))
		if names[0] != "mx1.example.com" {
			t.Fatalf("got %v", names)
		}
		names[0] = "changed"
		listed, _, _ := r.Listing(background(), "2.0.0.127.list.example")
		if listed[0].String() != "127.0.0.2" {
			t.Fatalf("got %v", listed)
		}
		listed[0] = netip.Addr{}
	}
}
