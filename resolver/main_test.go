package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"gatepost/internal/dnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = `
$ORIGIN example.com.
@        300 IN SOA   ns hostmaster 1 3600 600 86400 60
@            IN MX    20 mx2
@            IN MX    10 MX1
@            IN TXT   "v=spf1 " "-all"
@            IN TXT   "a \"quoted\" \\ \200 string"
mx1          IN A     192.0.2.1
mx1          IN A     192.0.2.2
mx1          IN AAAA  2001:db8::1
mx2          IN A     192.0.2.3
a.b.deep     IN A     192.0.2.4
short    5   IN A     192.0.2.5
once     0   IN A     192.0.2.6
c1           IN CNAME c2
c2       7   IN CNAME mx1
tonone       IN CNAME none
loop1        IN CNAME loop2
loop2        IN CNAME loop1
null         IN MX    0 .
odd          IN MX    10 a\032b
odd          IN MX    20 mx1
bücher       IN A     192.0.2.99
xn--bcher-kva IN A    192.0.2.7
_dmarc       IN TXT   "v=DMARC1"
1.2.0.192.in-addr.arpa. IN PTR MX1
2.2.0.192.in-addr.arpa. IN PTR a\010b
2.2.0.192.in-addr.arpa. IN PTR mx1
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. IN PTR mx1
$ORIGIN list.example.
@        300 IN SOA   ns hostmaster 1 3600 600 86400 60
2.0.0.127    IN A     127.0.0.2
2.0.0.127    IN TXT   "see" " there"
2.0.0.127    IN TXT   "twice"
3.0.0.127    IN A     127.0.0.3
`

// over gives a Resolver that asks s.
func over(t testing.TB, s *dnstest.Server, more Settings) *Resolver {
	t.Helper()
	more.Servers = append(more.Servers, s.Addr())
	r, err := New(more)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// with gives a Resolver that has exchange for the wire, and the servers 192.0.2.1 and so on.
func with(t testing.TB, servers int, s Settings, exchange exchanger) *Resolver {
	t.Helper()
	a := netip.MustParseAddr("192.0.2.0")
	for range servers {
		a = a.Next()
		s.Servers = append(s.Servers, a.String())
	}
	r, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	r.exchange = exchange
	return r
}

// reply makes an answer to q of records in the format of a zone file.
func reply(t testing.TB, q question, rcode int, rrs ...string) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(q.name+".", q.qtype)
	m.Response, m.Rcode = true, rcode
	for _, text := range rrs {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		if rr.Header().Rrtype == dns.TypeSOA {
			m.Ns = append(m.Ns, rr)
		} else {
			m.Answer = append(m.Answer, rr)
		}
	}
	return m
}

// sort names what an error is to the mail libraries.
func sort(err error) string {
	if err == nil {
		return "ok"
	}
	e, bare := err.(*net.DNSError)
	switch {
	case !bare:
		return "not bare"
	case e.IsNotFound && e.Temporary():
		return "both"
	case e.IsNotFound:
		return "not found"
	case e.IsTimeout && e.Temporary():
		return "timeout"
	case e.IsTemporary:
		return "temporary"
	}
	return "permanent"
}

func wantSort(t testing.TB, err error, want string) {
	t.Helper()
	if got := sort(err); got != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
}

func background() context.Context { return context.Background() }

// canceled gives a context that has ended.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(background())
	cancel()
	return ctx
}

var errNetwork = errors.New("network is unreachable")

// brief is enough for what is dropped to be given up soon.
const brief = 60 * time.Millisecond
