package senderdomain

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost/internal/dnstest"
	"gatepost/policy"
	"gatepost/resolver"
)

const zone = `
$ORIGIN example.
@           60 IN SOA ns hostmaster 1 3600 600 86400 60
good           IN MX  20 mx2.good
good           IN MX  10 mx1.good
implicit       IN A   192.0.2.1
implicit6      IN AAAA 2001:db8::1
nomail         IN MX  0 .
both           IN MX  0 .
both           IN MX  10 mx1.good
nothing        IN TXT "only text"
below.empty    IN TXT "the name above has no records of its own"
`

func TestRun(t *testing.T) {
	tests := []struct {
		name    string
		domain  string
		outcome policy.Outcome
		reply   policy.Reply // where the outcome is made to refuse: with 4xx for temperror, else 5xx
		facts   []policy.Fact
	}{
		{"MX records", "good.example", policy.Pass, policy.Reply{},
			[]policy.Fact{{Key: "domain", Value: "good.example"}, {Key: "mx", Value: "mx1.good.example"}, {Key: "mx", Value: "mx2.good.example"}}},
		{"the implicit MX", "implicit.example", policy.Pass, policy.Reply{},
			[]policy.Fact{{Key: "domain", Value: "implicit.example"}, {Key: "address", Value: "192.0.2.1"}}},
		{"the implicit MX by IPv6", "implicit6.example", policy.Pass, policy.Reply{},
			[]policy.Fact{{Key: "domain", Value: "implicit6.example"}, {Key: "address", Value: "2001:db8::1"}}},
		{"a null MX", "nomail.example", NullMX, policy.Reply{Code: 550, Text: "5.7.27 The sender's domain nomail.example takes no mail"}, nil},
		{"a null MX beside a real one", "both.example", policy.Pass, policy.Reply{},
			[]policy.Fact{{Key: "domain", Value: "both.example"}, {Key: "mx", Value: "mx1.good.example"}}},
		{"no such domain", "gone.example", Nonexistent, policy.Reply{Code: 550, Text: "5.1.8 The sender's domain gone.example does not exist"}, nil},
		{"a domain without mail", "nothing.example", NoMail, policy.Reply{Code: 550, Text: "5.1.8 The sender's domain nothing.example has no mail server"}, nil},
		{"a name with names below it alone", "empty.example", NoMail, policy.Reply{Code: 550, Text: "5.1.8 The sender's domain empty.example has no mail server"}, nil},
		{"a literal", "[192.0.2.1]", Literal, policy.Reply{Code: 550, Text: "5.1.8 The sender's address has no domain name"}, nil},
		{"the null reverse-path", "", policy.Pass, policy.Reply{}, nil},
		{"all look-ups fail", "dead.example", policy.TempError,
			policy.Reply{Code: 451, Text: "4.1.8 The sender's domain dead.example cannot be looked up, please try again later"}, nil},
		{"bytes of no name are not repeated", "a\r\nb\x1b.example", Nonexistent, policy.Reply{Code: 550, Text: "5.1.8 The sender's domain does not exist"}, nil},
	}
	s := dnstest.Start(t, zone)
	s.ServFail("dead.example")
	r, err := resolver.New(resolver.Settings{Servers: []string{s.Addr()}, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := New(r).Run(t.Context(), policy.View{Sender: policy.Mailbox{Local: "a", Domain: tt.domain}, NullPath: tt.domain == ""})
			if f.Outcome != tt.outcome {
				t.Fatalf("got %s, want %s", f.Outcome, tt.outcome)
			}
			if tt.outcome == policy.Pass {
				if diff := cmp.Diff(tt.facts, f.Facts); diff != "" {
					t.Error(diff)
				}
				return
			}
			action := policy.Reject
			if tt.outcome == policy.TempError {
				action = policy.Defer
			}
			if got := policy.ReplyFor(action, f.Status, f.Text); got != tt.reply || f.Fact("domain") != tt.domain {
				t.Errorf("got %v, want %v", got, tt.reply)
			}
		})
	}
}

// TestHazard59 is a DNS that is dead: no outcome that comes of it refuses.
func TestHazard59(t *testing.T) {
	s := dnstest.Start(t, zone)
	s.ServFail("")
	r, err := resolver.New(resolver.Settings{Servers: []string{s.Addr()}, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for _, domain := range []string{"good.example", "gone.example", "nomail.example"} {
		f := New(r).Run(t.Context(), policy.View{Sender: policy.Mailbox{Local: "a", Domain: domain}})
		if a := Kind().Outcomes[f.Outcome]; a != policy.None || f.Outcome != policy.TempError || f.Fact("error") == "" {
			t.Errorf("%s: %s leads to %s", domain, f.Outcome, a)
		}
	}
}

// answers is a resolver that gives the same to every name.
type answers struct{ mx, addrs, exists error }

func (a answers) MX(context.Context, string) ([]resolver.MX, error) { return nil, a.mx }
func (a answers) Addrs(context.Context, string, resolver.Family) ([]netip.Addr, error) {
	return nil, a.addrs
}
func (a answers) Exists(context.Context, string) (bool, error) { return false, a.exists }

// TestEachLookUpMayFail is a failure at each step: whatever the others say, nothing is known for good.
func TestEachLookUpMayFail(t *testing.T) {
	notFound, failed := &net.DNSError{IsNotFound: true}, &net.DNSError{IsTemporary: true}
	for _, tt := range []struct {
		name string
		r    answers
		want policy.Outcome
	}{
		{"none", answers{notFound, notFound, nil}, Nonexistent},
		{"MX", answers{failed, notFound, nil}, policy.TempError},
		{"addresses", answers{notFound, failed, nil}, policy.TempError},
		{"the name", answers{notFound, notFound, failed}, policy.TempError},
		{"an error of another kind", answers{errors.New("odd"), notFound, nil}, policy.TempError},
	} {
		f := New(tt.r).Run(t.Context(), policy.View{Sender: policy.Mailbox{Local: "a", Domain: "x.example"}})
		if f.Outcome != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, f.Outcome, tt.want)
		}
	}
}

// slowDNS knows no name, and takes 3 s to say so.
type slowDNS struct{}

func (slowDNS) answer(ctx context.Context) error {
	select {
	case <-time.After(3 * time.Second):
		return &net.DNSError{IsNotFound: true}
	case <-ctx.Done():
		return &net.DNSError{IsTimeout: true, IsTemporary: true}
	}
}

func (d slowDNS) MX(ctx context.Context, _ string) ([]resolver.MX, error) { return nil, d.answer(ctx) }
func (d slowDNS) Addrs(ctx context.Context, _ string, _ resolver.Family) ([]netip.Addr, error) {
	return nil, d.answer(ctx)
}
func (d slowDNS) Exists(ctx context.Context, _ string) (bool, error) {
	if err := d.answer(ctx); !resolver.IsNotFound(err) {
		return false, err
	}
	return false, nil
}

// TestSlowDNS: all look-ups together end in time, and what they did not come to is not held against the sender.
func TestSlowDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f := New(slowDNS{}).Run(t.Context(), policy.View{Sender: policy.Mailbox{Local: "a", Domain: "x.example"}})
		if took := time.Since(began); f.Outcome != policy.TempError || took != budget {
			t.Errorf("%s after %v", f.Outcome, took)
		}
	})
}

// TestEvidenceIsBounded is a domain with a hundred MX records.
func TestEvidenceIsBounded(t *testing.T) {
	names := strings.Split(strings.Repeat("mx.example ", 100), " ")
	if f := passed("many.example", "mx", names); len(f.Facts) != 1+maxShown {
		t.Errorf("%d facts", len(f.Facts))
	}
	if f := passed("few.example", "address", []netip.Addr{netip.MustParseAddr("192.0.2.1")}); len(f.Facts) != 2 {
		t.Errorf("%d facts", len(f.Facts))
	}
}

func TestDefaultActions(t *testing.T) {
	for o, a := range Kind().Outcomes {
		if refuses := o == NullMX || o == Nonexistent; refuses != (a == policy.Reject) || !refuses && a != policy.None {
			t.Errorf("%s leads to %s", o, a)
		}
	}
	if c := New(nil); c.Name() != Kind().Name || c.Stage() != policy.StageMail {
		t.Errorf("%s at %s", c.Name(), c.Stage())
	}
}
