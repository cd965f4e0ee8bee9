package helo

import (
	"net/netip"
	"testing"
	"time"

	"gatepost/internal/dnstest"
	"gatepost/policy"
	"gatepost/resolver"
)

const zone = `
$ORIGIN example.
@           60 IN SOA ns hostmaster 1 3600 600 86400 60
host           IN A    192.0.2.1
host6          IN AAAA 2001:db8::1
mxonly         IN MX   10 host
text           IN TXT  "no host"
xn--bcher-kva  IN A    192.0.2.7
`

const stranger = "203.0.113.9"

func TestRun(t *testing.T) {
	tests := []struct {
		name    string
		helo    string
		client  string
		outcome policy.Outcome
	}{
		{"a host", "host.example", stranger, policy.Pass},
		{"a host by IPv6", "host6.example", stranger, policy.Pass},
		{"a domain with MX records alone", "mxonly.example", stranger, policy.Pass},
		{"any case, and a final dot", "HOST.Example.", stranger, policy.Pass},
		{"a name in UTF-8", "bücher.example", stranger, policy.Pass},
		{"its own literal", "[203.0.113.9]", stranger, policy.Pass},
		{"its own IPv6 literal", "[IPv6:2001:DB8::1]", "2001:db8::1", policy.Pass},
		{"the same without its tag", "[2001:db8::1]", "2001:db8::1", policy.Pass},

		{"our name", "mx.our.example", stranger, OwnName},
		{"our name in another case with a dot", "MX.Our.Example.", stranger, OwnName},
		{"another name of ours", "mail.our.example", stranger, OwnName},
		{"our name from the loopback", "mx.our.example", "127.0.0.1", Unresolvable},
		{"our name from a private network", "mx.our.example", "10.0.0.1", Unresolvable},
		{"our name from our own address", "mx.our.example", "198.51.100.7", Unresolvable},
		{"a name below ours", "pc1.mx.our.example", stranger, Unresolvable},

		{"our address", "[198.51.100.7]", stranger, OwnAddress},
		{"our address without brackets", "198.51.100.7", stranger, OwnAddress},
		{"our address as a mapped one", "[IPv6:::ffff:198.51.100.7]", stranger, OwnAddress},
		{"our address from ourselves", "[198.51.100.7]", "198.51.100.7", policy.Pass},

		{"localhost", "localhost", stranger, Localhost},
		{"localhost.localdomain", "localhost.localdomain", stranger, Localhost},
		{"below localhost", "x.localhost", stranger, Localhost},
		{"the loopback in brackets", "[127.0.0.1]", stranger, Localhost},
		{"the IPv6 loopback", "[IPv6:::1]", stranger, Localhost},
		{"localhost from the loopback", "localhost", "127.0.0.1", NoDots},

		{"a bare address", "203.0.113.9", stranger, BareIP},
		{"a bare address of another", "192.0.2.1", stranger, BareIP},
		{"a literal of another", "[192.0.2.1]", stranger, ForeignLiteral},
		{"a windows name", "DESKTOP-1A2B3C", stranger, NoDots},
		{"an underscore", "my_host.example", stranger, Malformed},
		{"a hyphen first", "-host.example", stranger, Malformed},
		{"a dot first", ".host.example", stranger, Malformed},
		{"nothing in brackets", "[]", stranger, Malformed},
		{"no such name", "gone.example", stranger, Unresolvable},
		{"a name that is no host", "text.example", stranger, Unresolvable},
		{"the look-up fails", "dead.example", stranger, policy.TempError},
	}
	s := dnstest.Start(t, zone)
	s.ServFail("dead.example")
	r, err := resolver.New(resolver.Settings{Servers: []string{s.Addr()}, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	c := New(&Settings{Own: []string{"Mail.our.example", "198.51.100.7"}}, r)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := c.Run(t.Context(), policy.View{Hostname: "mx.our.example", Helo: tt.helo, Client: netip.MustParseAddr(tt.client)})
			if f.Outcome != tt.outcome || f.Fact("helo") != tt.helo {
				t.Errorf("got %s %v, want %s", f.Outcome, f.Facts, tt.outcome)
			}
			if (f.Text == "") != (f.Outcome == policy.Pass) {
				t.Errorf("%s says %q", f.Outcome, f.Text)
			}
		})
	}
}

func TestReplies(t *testing.T) {
	p := policy.Policy{Mode: policy.Enforce, Slots: []policy.Slot{{Check: &Check{}, Mode: policy.Enforce,
		Actions: map[policy.Outcome]policy.Action{OwnName: policy.Reject, Malformed: policy.Reject, policy.TempError: policy.Defer}}}}
	c := New(&Settings{}, nil)
	for helo, want := range map[string]policy.Reply{
		"mx.our.example": {Code: 550, Text: "5.7.1 Your server greets by our own name"},
		"a_b.example":    {Code: 501, Text: "5.5.2 The name that your server greets by is no host name"},
	} {
		f := c.Run(t.Context(), policy.View{Hostname: "mx.our.example", Helo: helo, Client: netip.MustParseAddr(stranger)})
		f.Check = "helo"
		if got := p.Judge(policy.Case{Findings: []policy.Finding{f}}).Reply; got != want {
			t.Errorf("%s: got %v, want %v", helo, got, want)
		}
	}
}

func TestDefaultActions(t *testing.T) {
	for o, a := range Kind().Outcomes {
		if own := o == OwnName || o == OwnAddress; own != (a == policy.Reject) || !own && a != policy.None {
			t.Errorf("%s leads to %s", o, a)
		}
	}
	if c := New(&Settings{}, nil); c.Name() != Kind().Name || c.Stage() != policy.StageHelo {
		t.Errorf("%s at %s", c.Name(), c.Stage())
	}
}

func TestValidate(t *testing.T) {
	for own, ok := range map[string]bool{
		"mail.example.com": true, "Mail.Example.com.": true, "198.51.100.7": true, "2001:db8::1": true,
		"": false, "mail": false, "a_b.example": false, "198.51.100.0/24": false, "[198.51.100.7]": false, "a b.example": false,
	} {
		told := 0
		(&Settings{Own: []string{own}}).Validate(func(string, string) { told++ })
		if (told == 0) != ok {
			t.Errorf("%q: %d problems", own, told)
		}
	}
}

func FuzzForm(f *testing.F) {
	for _, s := range []string{"host.example", "[203.0.113.9]", "[IPv6:::1]", "[", "[]", "]", ".", "..", "a_b", "::1%eth0", "MX.our.example."} {
		f.Add(s)
	}
	c := New(&Settings{Own: []string{"198.51.100.7"}}, nil)
	kinds := Kind().Outcomes
	f.Fuzz(func(t *testing.T, helo string) {
		o := c.form(canonical(helo), policy.View{Hostname: "mx.our.example", Client: netip.MustParseAddr(stranger)})
		if _, known := kinds[o]; !known {
			t.Errorf("%q: %q is no outcome", helo, o)
		}
	})
}
