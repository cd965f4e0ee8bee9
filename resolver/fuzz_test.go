package resolver

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// FuzzAnswer reads whatever comes as the answer to a query, of each type that is ever asked.
func FuzzAnswer(f *testing.F) {
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypePTR}
	for _, c := range []struct {
		which uint8
		rrs   []string
	}{
		{0, []string{"a.example. 9 IN CNAME b.example.", "b.example. 9 IN A 192.0.2.1"}},
		{0, []string{"a.example. 9 IN CNAME a.example."}},
		{1, []string{"a.example. 9 IN AAAA 2001:db8::1", soaText}},
		{2, []string{`a.example. 9 IN TXT "a\"\\\200" "b"`}},
		{3, []string{`a.example. 9 IN MX 10 a\010\.b.example.`, "a.example. 9 IN MX 0 ."}},
		{4, []string{"a.example. 9 IN PTR B.example."}},
	} {
		m := reply(f, question{"a.example", types[c.which]}, 0, c.rrs...)
		m.Compress = true
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c.which, raw)
	}
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		q := question{"a.example", types[int(which)%len(types)]}
		query, err := pack(q, withEDNS)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) > 1 {
			copy(raw, query[:2]) // The id is beyond guessing.
		}
		m, err := read(raw, query, q)
		if err != nil || m.Truncated {
			return
		}
		at := alias{name: q.name, ttl: defaultMaxTTL}
		if err := at.follow(m.Answer, q.qtype); err != nil {
			return
		}
		dangling(m, at, q.qtype)
		if _, err := pack(question{at.name, q.qtype}, withEDNS); err != nil {
			t.Errorf("the target %q can't be asked for: %v", at.name, err)
		}
		if a, err := distil(m, q, at); err == nil {
			wantTame(t, a)
		}
	})
}

// wantTame says what holds for every answer.
func wantTame(t *testing.T, a *answer) {
	t.Helper()
	n, octets := len(a.txts)+len(a.addrs)+len(a.mxs)+len(a.hosts), 0
	for _, text := range a.txts {
		octets += len(text)
	}
	if n > maxRecords || octets > 1<<16 || len(a.hosts) > maxPTR {
		t.Errorf("%d records, %d octets of text", n, octets)
	}
	if (n == 0) != (a.missing != nil) || (n > 0 && !a.exists) {
		t.Errorf("%d records, missing: %v, exists: %v", n, a.missing, a.exists)
	}
	if a.ttl < 0 || a.ttl > defaultMaxTTL {
		t.Errorf("TTL %v", a.ttl)
	}
	hosts := a.hosts
	for _, mx := range a.mxs {
		hosts = append(hosts, mx.Host)
	}
	for _, h := range hosts {
		if h != "" && !wellFormed(h) || strings.ContainsAny(h, "\\\"() ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			t.Errorf("host %q", h)
		}
	}
}

// FuzzName asks for whatever someone takes for a name.
func FuzzName(f *testing.F) {
	for _, name := range []string{"example.com", "Bücher.example.", `a\046b."(x)".example`, "a..b", "xn--a.example", "\xff", "。", strings.Repeat("a.", 127)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		clean, ok := canonical(name)
		if !ok {
			return
		}
		q := question{clean, dns.TypeA}
		raw, err := pack(q, withEDNS)
		if err != nil {
			t.Fatalf("%q: %q can't be asked: %v", name, clean, err)
		}
		raw[2] |= 0x80 // An answer without records now.
		if _, err := read(raw, raw, q); err != nil {
			t.Errorf("%q: the answer to %q isn't taken: %v", name, clean, err)
		}
	})
}
