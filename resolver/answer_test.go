package resolver

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const soaText = "example. 500 IN SOA ns.example. h.example. 1 2 3 4 90"

func TestAnswerTTL(t *testing.T) {
	for _, c := range []struct {
		name  string
		rcode int
		rrs   []string
		want  time.Duration
	}{
		{"of the record", 0, []string{"a.example. 30 IN A 192.0.2.1"}, 30 * time.Second},
		{"the least", 0, []string{"a.example. 30 IN A 192.0.2.1", "a.example. 20 IN A 192.0.2.2"}, 20 * time.Second},
		{"of an alias", 0, []string{"a.example. 10 IN CNAME b.example.", "b.example. 30 IN A 192.0.2.1"}, 10 * time.Second},
		{"of an alias's target", 0, []string{"a.example. 30 IN CNAME b.example.", "b.example. 9 IN A 192.0.2.1"}, 9 * time.Second},
		{"not of what doesn't belong", 0, []string{"a.example. 30 IN A 192.0.2.1", "b.example. 1 IN A 192.0.2.2"}, 30 * time.Second},
		{"zero", 0, []string{"a.example. 0 IN A 192.0.2.1"}, 0},
		{"the first bit set", 0, []string{"a.example. 2147483648 IN A 192.0.2.1"}, 0},
		{"a long one", 0, []string{"a.example. 2147483647 IN A 192.0.2.1"}, time.Hour},
		{"MINIMUM of the SOA record", dns.RcodeNameError, []string{soaText}, 90 * time.Second},
		{"without records", 0, []string{soaText}, 90 * time.Second},
		{"TTL of the SOA record", 0, []string{"example. 50 IN SOA ns.example. h.example. 1 2 3 4 90"}, 50 * time.Second},
		{"nothing after an alias", 0, []string{"a.example. 10 IN CNAME b.example.", soaText}, 10 * time.Second},
		{"without SOA record", dns.RcodeNameError, nil, bareTTL},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := distilled(t, question{"a.example", dns.TypeA}, c.rcode, c.rrs...)
			if a.ttl != c.want {
				t.Errorf("got %v, want %v", a.ttl, c.want)
			}
		})
	}
}

// distilled goes the way of an answer, the wire aside.
func distilled(t *testing.T, q question, rcode int, rrs ...string) *answer {
	t.Helper()
	at := alias{name: q.name, ttl: time.Hour}
	m := reply(t, q, rcode, rrs...)
	if err := at.follow(m.Answer, q.qtype); err != nil {
		t.Fatal(err)
	}
	a, err := distil(m, q, at)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWhichRecordsCount(t *testing.T) {
	for _, c := range []struct {
		name string
		rrs  []string
		want string
	}{
		{"case", []string{"A.EXAMPLE. 9 IN A 192.0.2.1"}, "[192.0.2.1]"},
		{"another name", []string{"b.example. 9 IN A 192.0.2.1"}, "[]"},
		{"another type", []string{"a.example. 9 IN TXT x"}, "[]"},
		{"another class", []string{"a.example. 9 CH A 192.0.2.1"}, "[]"},
		{"aliases in any order", []string{"b.example. 9 IN A 192.0.2.1", "a.example. 9 IN CNAME B.example."}, "[192.0.2.1]"},
		{"an alias beside records", []string{"a.example. 9 IN CNAME b.example.", "a.example. 9 IN A 192.0.2.1", "b.example. 9 IN A 192.0.2.2"}, "[192.0.2.1]"},
		{"the first of two aliases", []string{"a.example. 9 IN CNAME b.example.", "a.example. 9 IN CNAME c.example.", "b.example. 9 IN A 192.0.2.2"}, "[192.0.2.2]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := distilled(t, question{"a.example", dns.TypeA}, 0, c.rrs...)
			if got := fmt.Sprint(a.addrs); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if (a.missing != nil) != (c.want == "[]") {
				t.Errorf("missing: %v", a.missing)
			}
		})
	}
}

// chain gives n aliases, 0.example to n.example, and an address.
func chain(n int) []string {
	rrs := []string{fmt.Sprintf("%d.example. 9 IN A 192.0.2.1", n)}
	for i := range n {
		rrs = append(rrs, fmt.Sprintf("%d.example. 9 IN CNAME %d.example.", i, i+1))
	}
	return rrs
}

func TestChain(t *testing.T) {
	q := question{"0.example", dns.TypeA}
	for n, want := range map[int]error{0: nil, 1: nil, maxChain: nil, maxChain + 1: errChain, 90: errChain} {
		at := alias{name: q.name}
		if err := at.follow(reply(t, q, 0, chain(n)...).Answer, q.qtype); err != want {
			t.Errorf("%d aliases: got %v, want %v", n, err, want)
		}
	}
}

func TestManyRecords(t *testing.T) {
	for _, c := range []struct {
		n     int
		qtype uint16
		want  error
	}{
		{maxRecords, dns.TypeA, nil}, {maxRecords + 1, dns.TypeA, errRecords}, {maxRecords + 1, dns.TypePTR, nil},
	} {
		q := question{"a.example", c.qtype}
		var rrs []string
		for i := range c.n {
			if c.qtype == dns.TypeA {
				rrs = append(rrs, fmt.Sprintf("a.example. 9 IN A 192.0.2.%d", i))
			} else {
				rrs = append(rrs, fmt.Sprintf("a.example. 9 IN PTR %d.example.", i))
			}
		}
		a, err := distil(reply(t, q, 0, rrs...), q, alias{name: q.name})
		if err != c.want {
			t.Errorf("%d records: got %v, want %v", c.n, err, c.want)
		}
		if a != nil && len(a.hosts) > maxPTR {
			t.Errorf("%d names", len(a.hosts))
		}
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		`plain`: "plain", `\"a\\b\"`: `"a\b"`, `\200\000\255`: "\xc8\x00\xff", `\256`: "256", `\`: `\`, `a\1`: "a1", `\12`: "12", `\;\;`: ";;",
	} {
		if got := unescape(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
