package spf

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	blitiri "blitiri.com.ar/go/spf"
	"github.com/google/go-cmp/cmp"

	"gatepost/internal/dnstest"
	"gatepost/policy"
	"gatepost/resolver"
)

const zone = `
shop.example.      TXT "v=spf1 ip4:203.0.113.0/24 -all"
soft.example.      TXT "v=spf1 ip4:203.0.113.0/24 ~all"
perhaps.example.   TXT "v=spf1 ?all"
list.example.      TXT "v=spf1 include:shop.example include:soft.example -all"
both.example.      TXT "v=spf1 include:shop.example ip4:203.0.113.9 -all"
six.example.       TXT "v=spf1 ip6:2001:db8::/32 a:only4.example -all"
only4.example.     A 203.0.113.9
nothing.example.   TXT "some other text"
broken.example.    TXT "v=spf1 frog -all"
twice.example.     TXT "v=spf1 -all"
twice.example.     TXT "v=spf1 +all"
loop.example.      TXT "v=spf1 redirect=loop.example"
void.example.      TXT "v=spf1 a:n1.example a:n2.example a:n3.example +all"
mail.example.      TXT "v=spf1 a -all"
mail.example.      A 203.0.113.9
byuser.example.    TXT "v=spf1 exists:%{l}.ok.example -all"
amy.ok.example.    A 127.0.0.2
postmaster.ok.example. A 127.0.0.2
dead.example.      TXT "v=spf1 +all"
far.example.       TXT "v=spf1 include:dead.example -all"
long.example.      TXT "v=spf1 exists:%{l}.%{l}.%{l}.%{l}.%{l}.ok.example -all"
binary.example.    TXT "v=spf1 +all \200"
`

func newCheck(t testing.TB, zone string) (*Check, *dnstest.Server) {
	t.Helper()
	server := dnstest.Start(t, zone)
	r, err := resolver.New(resolver.Settings{Servers: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	return New(Kind().Settings().(*Settings), r), server
}

func TestSenders(t *testing.T) {
	c, server := newCheck(t, zone)
	server.ServFail("dead.example")
	for _, x := range []struct {
		name, client, sender string
		want                 policy.Outcome
		says                 string // a part of the evidence
	}{
		{"a network that may send", "203.0.113.9", "amy@shop.example", policy.Pass, "matched: ip4:203.0.113.0/24\n"},
		{"one that may not", "192.0.2.1", "amy@shop.example", policy.Fail, "matched: -all\n"},
		{"one that perhaps may not", "192.0.2.1", "amy@soft.example", softFail, "matched: ~all\n"},
		{"a domain that does not say", "192.0.2.1", "amy@perhaps.example", neutral, "matched: ?all\n"},
		{"another domain's network", "203.0.113.9", "amy@list.example", policy.Pass, "matched: ip\n"},
		{"another domain's network, though its own record has the client too", "203.0.113.9", "amy@both.example", policy.Pass, "matched: ip\n"},
		{"IPv6", "2001:db8::1", "amy@six.example", policy.Pass, "matched: ip6:2001:db8::/32\n"},
		{"an IPv4 address does not hold an IPv6 client", "2001:db9::1", "amy@six.example", policy.Fail, "matched: -all\n"},
		{"no record", "192.0.2.1", "amy@nothing.example", policy.NoneFound, "lookups: 1\n"},
		{"no such domain", "192.0.2.1", "amy@nowhere.example", policy.NoneFound, "lookups: 1\n"},
		{"an address literal", "192.0.2.1", "amy@[192.0.2.1]", policy.NoneFound, "lookups: 0\n"},
		{"one label", "192.0.2.1", "amy@localhost", policy.NoneFound, "lookups: 0\n"},
		{"an unknown term", "192.0.2.1", "amy@broken.example", policy.PermError, "error: it has an unknown term\n"},
		{"two records", "192.0.2.1", "amy@twice.example", policy.PermError, "error: there are several records\n"},
		{"a redirect to itself", "192.0.2.1", "amy@loop.example", policy.PermError, "error: it takes more than ten look-ups\n"},
		{"three void look-ups", "192.0.2.1", "amy@void.example", policy.PermError, "error: it names more than two hosts that do not exist\n"},
		{"octets over 127", "192.0.2.1", "amy@binary.example", policy.PermError, "error: it has octets that are not printable ASCII\n"},
		{"the DNS fails", "192.0.2.1", "amy@dead.example", policy.TempError, "error: the DNS gave no answer\n"},
		{"the DNS fails further on", "192.0.2.1", "amy@far.example", policy.TempError, "error: the DNS gave no answer\n"},
		{"a record for each user", "192.0.2.1", "amy@byuser.example", policy.Pass, "matched: exists\n"},
		{"another user", "192.0.2.1", "bob@byuser.example", policy.Fail, ""},
		{"no user stands for postmaster", "192.0.2.1", "@byuser.example", policy.Pass, "matched: exists\n"},
		// RFC 5321 section 4.1.2: a quoted local part may hold an "@". The domain is what follows the last one.
		{"a quoted @ does not make another domain", "203.0.113.9", "amy@shop.example@twice.example", policy.PermError, "domain: twice.example\n"},
		{"nor another user", "192.0.2.1", "amy@x@byuser.example", policy.Fail, ""},
		{"a name that a macro makes too long loses labels", "192.0.2.1", strings.Repeat("a.", 25) + "amy@long.example", policy.Fail, "matched: -all\n"},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := c.Run(t.Context(), view(x.client, "", x.sender))
			if f.Outcome != x.want || !strings.Contains(evidence(f), x.says) {
				t.Errorf("got %s, want %s with %q:\n%s", f.Outcome, x.want, x.says, evidence(f))
			}
			if f.Fact("identity") != "mailfrom" || f.Fact("client") != x.client {
				t.Errorf("evidence:\n%s", evidence(f))
			}
		})
	}
}

func TestHelo(t *testing.T) {
	c, server := newCheck(t, zone)
	server.ServFail("dead.example")
	for _, x := range []struct {
		name, helo, sender string
		want               policy.Outcome
		identity, result   string // what decided; the fact helo_result
		auth               string
	}{
		{"beside the sender", "mail.example", "amy@shop.example", policy.Pass, "mailfrom", "pass", "pass smtp.mailfrom=shop.example, pass smtp.helo=mail.example"},
		{"it fails, and leads to nothing", "Twice.Example.", "amy@shop.example", policy.Pass, "mailfrom", "permerror", "pass smtp.mailfrom=shop.example, permerror smtp.helo=twice.example"},
		{"it passes, and leads to nothing", "mail.example", "amy@perhaps.example", neutral, "mailfrom", "pass", "neutral smtp.mailfrom=perhaps.example, pass smtp.helo=mail.example"},
		{"a null sender is postmaster of it", "byuser.example", "", policy.Pass, "helo", "", "pass smtp.helo=byuser.example"},
		{"a null sender, and it fails", "shop.example", "", policy.Pass, "helo", "", "pass smtp.helo=shop.example"},
		{"a null sender, and the DNS fails", "dead.example", "", policy.TempError, "helo", "", "temperror smtp.helo=dead.example"},
		{"a null sender, and it is an address literal", "[203.0.113.9]", "", policy.NoneFound, "helo", "", "none"},
		{"an address", "203.0.113.9", "amy@shop.example", policy.Pass, "mailfrom", "", "pass smtp.mailfrom=shop.example"},
		{"one label", "laptop", "amy@shop.example", policy.Pass, "mailfrom", "", "pass smtp.mailfrom=shop.example"},
		{"markup", "<b>.example", "amy@shop.example", policy.Pass, "mailfrom", "", "pass smtp.mailfrom=shop.example"},
		{"none yet", "", "amy@shop.example", policy.Pass, "mailfrom", "", "pass smtp.mailfrom=shop.example"},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := c.Run(t.Context(), view("203.0.113.9", x.helo, x.sender))
			if f.Outcome != x.want || f.Fact("identity") != x.identity || f.Fact("helo_result") != x.result || results(f) != x.auth {
				t.Errorf("%s by %s\n%s\n%s", f.Outcome, f.Fact("identity"), results(f), evidence(f))
			}
		})
	}
}

func TestHeloIsNotLookedAtWhereItIsSwitchedOff(t *testing.T) {
	c, server := newCheck(t, zone)
	c.settings.Helo = false
	f := c.Run(t.Context(), view("203.0.113.9", "mail.example", "amy@shop.example"))
	if results(f) != "pass smtp.mailfrom=shop.example" || server.Total() != 1 {
		t.Errorf("%s, %d queries", results(f), server.Total())
	}
	if f = c.Run(t.Context(), view("203.0.113.9", "mail.example", "")); results(f) != "pass smtp.helo=mail.example" {
		t.Error(results(f))
	}
}

func TestReplies(t *testing.T) {
	c, server := newCheck(t, zone)
	server.ServFail("dead.example")
	for _, x := range []struct{ sender, reject, deferred string }{
		{"amy@shop.example", "550 5.7.23 SPF: 192.0.2.1 is not allowed to send for shop.example", "451 4.7.23 SPF: 192.0.2.1 is not allowed to send for shop.example"},
		{"amy@soft.example", "550 5.7.23 SPF: 192.0.2.1 is probably not allowed to send for soft.example", ""},
		{"amy@perhaps.example", "550 5.7.23 SPF: perhaps.example does not say whether 192.0.2.1 may send for it", ""},
		{"amy@nothing.example", "550 5.7.23 SPF: nothing.example has no record", ""},
		{"amy@localhost", "550 5.7.23 SPF: the sender has no domain that could have a record", ""},
		{"amy@broken.example", "550 5.7.24 SPF: the record of broken.example is broken: it has an unknown term", ""},
		{"amy@dead.example", "", "451 4.7.24 SPF: the record of dead.example could not be looked up, please try again later"},
	} {
		f := c.Run(t.Context(), view("192.0.2.1", "", x.sender))
		for action, want := range map[policy.Action]string{policy.Reject: x.reject, policy.Defer: x.deferred} {
			r := policy.ReplyFor(action, f.Status, f.Text)
			if got := fmt.Sprint(r.Code, " ", r.Text); want != "" && got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	}
}

// TestEvidence has all of it for one sender.
func TestEvidence(t *testing.T) {
	c, _ := newCheck(t, zone)
	f := c.Run(t.Context(), view("192.0.2.1", "mail.example", "amy@shop.example"))
	want := []policy.Fact{{Key: "identity", Value: "mailfrom"}, {Key: "domain", Value: "shop.example"}, {Key: "client", Value: "192.0.2.1"},
		{Key: "record", Value: "v=spf1 ip4:203.0.113.0/24 -all"}, {Key: "matched", Value: "-all"}, {Key: "lookups", Value: "1"},
		{Key: "helo", Value: "mail.example"}, {Key: "helo_result", Value: "fail"}}
	if d := cmp.Diff(want, f.Facts); d != "" {
		t.Error(d)
	}
}

// TestDeadDNS is a temporary error, whatever else: never a permanent refusal.
func TestDeadDNS(t *testing.T) {
	c, server := newCheck(t, zone)
	server.Close()
	if f := c.Run(t.Context(), view("192.0.2.1", "mail.example", "amy@shop.example")); f.Outcome != policy.TempError {
		t.Errorf("%s\n%s", f.Outcome, evidence(f))
	}
}

// fake is a DNS with one record at every name. What is asked beside that is answered by wait.
type fake struct {
	record string
	wait   func(ctx context.Context) error
}

func (f fake) LookupTXT(context.Context, string) ([]string, error) { return []string{f.record}, nil }

func (f fake) LookupMX(ctx context.Context, _ string) ([]*net.MX, error) { return nil, f.wait(ctx) }

func (f fake) LookupIPAddr(ctx context.Context, _ string) ([]net.IPAddr, error) {
	return nil, f.wait(ctx)
}

func (f fake) LookupAddr(ctx context.Context, _ string) ([]string, error) { return nil, f.wait(ctx) }

func (f fake) check() *Check {
	return &Check{dns: func(netip.Addr) blitiri.DNSResolver { return f }}
}

// TestTimeIsUp ends the time in a look-up whose failure the library takes for "no match", with -all behind it.
func TestTimeIsUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := fake{"v=spf1 ptr -all", func(ctx context.Context) error {
		cancel()
		return &net.DNSError{Err: ctx.Err().Error(), IsTimeout: true}
	}}.check()
	if f := c.Run(ctx, view("192.0.2.1", "", "amy@shop.example")); f.Outcome != policy.TempError {
		t.Errorf("%s\n%s", f.Outcome, evidence(f))
	}
}

// TestTheTimeIsBounded by 20 s, the least that RFC 7208 section 4.6.4 allows.
func TestTheTimeIsBounded(t *testing.T) {
	var left time.Duration
	c := fake{"v=spf1 a -all", func(ctx context.Context) error {
		until, _ := ctx.Deadline()
		left = time.Until(until)
		return nil
	}}.check()
	c.Run(t.Context(), view("192.0.2.1", "", "amy@shop.example"))
	if left <= 0 || left > 20*time.Second || timeout < 20*time.Second {
		t.Errorf("%s of %s left", left, timeout)
	}
}

func TestALargeRecord(t *testing.T) {
	nothing := func(context.Context) error { return nil }
	c := fake{"v=spf1 exists:%{" + strings.Repeat("s", 64<<10) + " -all", nothing}.check()
	f := c.Run(t.Context(), view("192.0.2.1", "", "amy@shop.example"))
	if f.Outcome != policy.PermError || f.Fact("error") != "it is larger than 8 KiB" || len(f.Fact("record")) != 500 {
		t.Errorf("%s\n%s", f.Outcome, evidence(f))
	}
}

func TestFit(t *testing.T) {
	long := strings.Repeat("a.", 130) + "example"
	if got := fit(long); len(got) > 253 || len(got) < 251 || !strings.HasSuffix(long, "."+got) {
		t.Errorf("%d octets: %s", len(got), got)
	}
	if got := fit("a.example"); got != "a.example" {
		t.Error(got)
	}
}

func TestDomainNames(t *testing.T) {
	for in, want := range map[string]string{
		"Mail.Example.": "mail.example", "_a.b-c.example": "_a.b-c.example", "": "", ".": "", "laptop": "", "a..b": "", ".a.b": "", "[192.0.2.1]": "",
		"192.0.2.1": "", "a b.example": "", "a\r\n.example": "", "é.example": "", strings.Repeat("a", 64) + ".example": "",
		strings.Repeat("a", 63) + ".example": strings.Repeat("a", 63) + ".example", strings.Repeat("a.", 127) + "b": "",
	} {
		if got := domainName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// FuzzRecord evaluates any record at every name. It must end, and its evidence must be clean.
func FuzzRecord(f *testing.F) {
	for _, seed := range []string{"v=spf1 -all", "v=spf1 include:%{d} ?all", "v=spf1 exists:%{l1r-}.%{i}.x ip4:192.0.2.1/24 ip6:::1", "v=spf1 redirect=%"} {
		f.Add(seed, "amy", "mail.example")
	}
	f.Fuzz(func(t *testing.T, record, local, helo string) {
		v := view("192.0.2.1", helo, "x@shop.example")
		v.Sender.Local = local
		c := fake{record, func(context.Context) error { return nil }}.check()
		c.settings.Helo = true
		got := c.Run(t.Context(), v)
		if _, ok := Kind().Outcomes[got.Outcome]; !ok {
			t.Errorf("outcome %q", got.Outcome)
		}
		if strings.ContainsFunc(strings.ReplaceAll(evidence(got), "\n", "")+got.Text, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("%q %q", evidence(got), got.Text)
		}
	})
}

func BenchmarkRun(b *testing.B) {
	c := fake{"v=spf1 ip4:203.0.113.0/24 ip4:192.0.2.0/24 -all", nil}.check()
	v := view("192.0.2.1", "mail.example", "amy@shop.example")
	b.ReportAllocs()
	for b.Loop() {
		c.Run(b.Context(), v)
	}
}

// evidence is all facts, a line each.
func evidence(f policy.Finding) string {
	var b strings.Builder
	for _, x := range f.Facts {
		b.WriteString(x.Key + ": " + x.Value + "\n")
	}
	return b.String()
}

// results are the results for Authentication-Results.
func results(f policy.Finding) string {
	var all []string
	for _, a := range f.Auth {
		s := a.Result
		for _, p := range a.Props {
			s += " " + p.Key + "=" + p.Value
		}
		all = append(all, s)
	}
	return strings.Join(all, ", ")
}
