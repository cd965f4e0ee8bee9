package resolver

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"blitiri.com.ar/go/spf"
	msgauth "github.com/emersion/go-msgauth/dkim"

	"gatepost/checks/dkim"
	"gatepost/internal/dnstest"
	"gatepost/policy"
)

// The mail libraries must see what may be different later as temporary. These are the ways in which a query fails.
var troubles = []struct {
	name     string
	settings Settings
	ctx      func() context.Context
	make     func(s *dnstest.Server, name string)
	lasting  bool // the name is not there: no temporary error
}{
	{"SERVFAIL", Settings{}, background, func(s *dnstest.Server, n string) { s.ServFail(n) }, false},
	{"REFUSED", Settings{}, background, func(s *dnstest.Server, n string) { s.Refuse(n) }, false},
	{"no answer", Settings{Timeout: brief}, background, func(s *dnstest.Server, n string) { s.Drop(n, -1) }, false},
	{"no server", Settings{}, background, func(s *dnstest.Server, _ string) { s.Close() }, false},
	{"TCP refused", Settings{}, background, func(s *dnstest.Server, n string) { s.Truncate(n); s.RefuseTCP() }, false},
	{"broken answer", Settings{}, background, func(s *dnstest.Server, n string) {
		s.Raw(n, func(query []byte, _ bool) []byte { // An answer that should have one record more.
			query[2], query[7] = query[2]|0x80, 1
			return query
		})
	}, false},
	{"context canceled", Settings{}, canceled, func(*dnstest.Server, string) {}, false},
	{"context expired", Settings{}, expired, func(*dnstest.Server, string) {}, false},
	{"NXDOMAIN", Settings{}, background, func(s *dnstest.Server, _ string) { _ = s.SetZone("") }, true},
}

func expired() context.Context {
	ctx, cancel := context.WithTimeout(background(), 0)
	cancel()
	return ctx
}

func TestContractSPF(t *testing.T) {
	const zone = `$ORIGIN example.com.
@     IN TXT "v=spf1 a:host.example.com mx:mail.example.com exists:there.example.com include:other.example.com -all"
host  IN A 192.0.2.1
host  IN AAAA 2001:db8::1
mail  IN MX 10 host
there IN AAAA 2001:db8::1
other IN TXT "v=spf1 ?all"
`
	for _, trouble := range troubles {
		for _, name := range []string{"example.com", "host.example.com", "mail.example.com", "there.example.com", "other.example.com"} {
			for _, client := range []string{"192.0.2.9", "2001:db8::9"} {
				t.Run(trouble.name+"/"+name+"/"+client, func(t *testing.T) {
					s := dnstest.Start(t, zone)
					trouble.make(s, name)
					r := over(t, s, trouble.settings)
					ctx := trouble.ctx()
					got, err := spf.CheckHostWithSender(net.ParseIP(client), "example.com", "a@example.com",
						spf.WithContext(ctx), spf.WithResolver(r.SPF(netip.MustParseAddr(client))))
					want := spf.TempError
					if trouble.lasting {
						want = spf.None
					}
					if got != want {
						t.Errorf("got %s (%v), want %s", got, err, want)
					}
				})
			}
		}
	}
}

func TestSPF(t *testing.T) {
	const zone = `$ORIGIN example.com.
a4     IN TXT "v=spf1 a:host.example.com -all"
mx     IN TXT "v=spf1 mx:mail.example.com -all"
ptr    IN TXT "v=spf1 ptr:example.com -all"
there  IN TXT "v=spf1 exists:%{i}.seen.example.com -all"
gone   IN TXT "v=spf1 include:none.example.com -all"
null   IN TXT "v=spf1 mx:nullmx.example.com -all"
host   IN A 192.0.2.1
host   IN AAAA 2001:db8::1
mail   IN MX 10 host
nullmx IN MX 0 .
192.0.2.1.seen IN A 127.0.0.2
1.2.0.192.in-addr.arpa. IN PTR host
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. IN PTR host
2.0.0.1.0.d.b.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.seen IN A 127.0.0.2
`
	s := dnstest.Start(t, zone)
	r := over(t, s, Settings{})
	for _, c := range []struct {
		domain, client string
		want           spf.Result
	}{
		{"a4", "192.0.2.1", spf.Pass},
		{"a4", "2001:db8::1", spf.Pass},
		{"a4", "192.0.2.2", spf.Fail},
		{"mx", "192.0.2.1", spf.Pass},
		{"mx", "2001:db8::1", spf.Pass},
		{"null", "192.0.2.1", spf.Fail},
		{"ptr", "192.0.2.1", spf.Pass},
		{"ptr", "2001:db8::1", spf.Pass},
		{"ptr", "192.0.2.2", spf.Fail},
		{"there", "192.0.2.1", spf.Pass},
		{"there", "2001:db8::1", spf.Pass}, // by an A record: RFC 7208 section 5.7
		{"there", "192.0.2.2", spf.Fail},
		{"gone", "192.0.2.1", spf.PermError},
		{"none", "192.0.2.1", spf.None},
	} {
		got, err := spf.CheckHostWithSender(net.ParseIP(c.client), "x.example.com", "a@"+c.domain+".example.com",
			spf.WithContext(background()), spf.WithResolver(r.SPF(netip.MustParseAddr(c.client))))
		if got != c.want {
			t.Errorf("%s from %s: got %s (%v), want %s", c.domain, c.client, got, err, c.want)
		}
	}
	if _, err := r.SPF(netip.Addr{}).LookupAddr(background(), "nonsense"); sort(err) != "not found" {
		t.Errorf("got %v", err)
	}
}

// For an IPv4 client nobody is asked for AAAA records.
func TestSPFAsksForTheClientsFamily(t *testing.T) {
	s := dnstest.Start(t, zone)
	r := over(t, s, Settings{})
	if got, err := r.SPF(netip.MustParseAddr("::ffff:192.0.2.9")).LookupIPAddr(background(), "mx1.example.com"); len(got) != 2 || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if s.Queries()["mx1.example.com AAAA"] != 0 {
		t.Errorf("got %v", s.Queries())
	}
}

func TestContractDKIM(t *testing.T) {
	const name = "s1._domainkey.example.com"
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	zone := name + `. IN TXT "v=DKIM1\; k=ed25519\; " "p=` + public + `"`
	mail := signed(t, key)
	for _, trouble := range troubles {
		t.Run(trouble.name, func(t *testing.T) {
			s := dnstest.Start(t, zone)
			trouble.make(s, name)
			want := policy.TempError
			if trouble.lasting {
				want = policy.PermError
			}
			if got := verify(over(t, s, trouble.settings), trouble.ctx(), mail); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	t.Run("no trouble", func(t *testing.T) {
		if got := verify(over(t, dnstest.Start(t, zone), Settings{}), background(), mail); got != policy.Pass {
			t.Error(got)
		}
	})
}

func signed(t *testing.T, key ed25519.PrivateKey) string {
	t.Helper()
	const mail = "From: a@example.com\r\nSubject: x\r\n\r\nHello\r\n"
	var b strings.Builder
	options := msgauth.SignOptions{Domain: "example.com", Selector: "s1", Signer: key}
	if err := msgauth.Sign(&b, strings.NewReader(mail), &options); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// verify gives the outcome of the check that asks.
func verify(r *Resolver, ctx context.Context, mail string) policy.Outcome {
	check := dkim.New(dkim.Kind().Settings().(*dkim.Settings), r)
	return check.Run(ctx, policy.View{Time: time.Now(), Content: strings.NewReader(mail)}).Outcome
}
