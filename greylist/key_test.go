package greylist

import (
	"net/netip"
	"strings"
	"testing"

	"gatepost/policy"
)

// view is one recipient of a mail.
func view(client, sender, rcpt string, findings ...policy.Finding) policy.View {
	v := policy.View{Client: netip.MustParseAddr(client), NullPath: sender == "<>", Recipient: address(rcpt)}
	if !v.NullPath {
		v.Sender = address(sender)
	}
	return v.With(findings...)
}

func address(s string) policy.Mailbox {
	i := strings.LastIndexByte(s, '@')
	return policy.Mailbox{Local: s[:i], Domain: s[i+1:]}
}

func found(check string, o policy.Outcome) policy.Finding {
	return policy.Finding{Check: check, Outcome: o}
}

// TestSameSender: which mails count as of the same client and triplet, and which do not.
func TestSameSender(t *testing.T) {
	pass := found("spf", policy.Pass)
	long := strings.Repeat("x", 1000)
	for _, c := range []struct {
		name            string
		a, b            policy.View
		client, triplet bool
	}{
		{"a neighbour in the /24", view("192.0.2.1", "a@s.example", "b@r.example"), view("192.0.2.200", "a@s.example", "b@r.example"), true, true},
		{"the next /24", view("192.0.2.1", "a@s.example", "b@r.example"), view("192.0.3.1", "a@s.example", "b@r.example"), false, false},
		{"a neighbour in the /64", view("2001:db8::1", "a@s.example", "b@r.example"), view("2001:db8::ffff:1", "a@s.example", "b@r.example"), true, true},
		{"the next /64", view("2001:db8::1", "a@s.example", "b@r.example"), view("2001:db8:0:1::1", "a@s.example", "b@r.example"), false, false},
		{"IPv4 written as IPv6", view("192.0.2.1", "a@s.example", "b@r.example"), view("::ffff:192.0.2.1", "a@s.example", "b@r.example"), true, true},
		{"a pool whose domain SPF proves", view("192.0.2.1", "a@s.example", "b@r.example", pass), view("2001:db8::1", "a@s.example", "b@r.example", pass), true, true},
		{"proved and not proved", view("192.0.2.1", "a@s.example", "b@r.example", pass), view("192.0.2.1", "a@s.example", "b@r.example"), false, false},
		{"another sender of the domain", view("192.0.2.1", "a@s.example", "b@r.example", pass), view("192.0.2.1", "c@s.example", "b@r.example", pass), true, false},
		{"another recipient", view("192.0.2.1", "a@s.example", "b@r.example"), view("192.0.2.1", "a@s.example", "c@r.example"), true, false},
		{"case", view("192.0.2.1", "A@s.example", "B@r.example"), view("192.0.2.1", "a@s.example", "b@r.example"), true, true},
		{"SRS of two days", view("192.0.2.1", "SRS0=7Qhc=2H=x.example=a@s.example", "b@r.example"),
			view("192.0.2.1", "SRS0=9abc=3K=x.example=a@s.example", "b@r.example"), true, true},
		{"null senders of two clients", view("192.0.2.1", "<>", "b@r.example"), view("198.51.100.1", "<>", "b@r.example"), false, false},
		{"null senders, HELO proved by SPF", view("192.0.2.1", "<>", "b@r.example", pass), view("192.0.2.1", "<>", "b@r.example"), true, true},
		{"null senders to two recipients", view("192.0.2.1", "<>", "b@r.example"), view("192.0.2.1", "<>", "c@r.example"), true, false},
		{"a sender that looks like the null one", view("192.0.2.1", "<>", "b@r.example"), view("192.0.2.1", "<>@s.example", "b@r.example"), true, false},
		{"the end of one part is not the start of the next", view("192.0.2.1", "a@s.example", "bb@r.example"), view("192.0.2.1", "a@s.exampleb", "b@r.example"), true, false},
		{"CR LF and NUL", view("192.0.2.1", "a\r\n@s.example", "b@r.example"), view("192.0.2.1", "a\x00@s.example", "b@r.example"), true, false},
		{"1 kB", view("192.0.2.1", long+"-a@s.example", "b@r.example"), view("192.0.2.1", long+"-b@s.example", "b@r.example"), true, false},
	} {
		s := Defaults()
		a, b := s.sighting(c.a, start), s.sighting(c.b, start)
		if (a.Client == b.Client) != c.client || (a.Triplet == b.Triplet) != c.triplet {
			t.Errorf("%s: same client %v, same triplet %v; want %v, %v", c.name, a.Client == b.Client, a.Triplet == b.Triplet, c.client, c.triplet)
		}
		for _, part := range []string{a.Label.Client, a.Label.Sender, b.Label.Sender, b.Label.Recipient} {
			if len(part) > longestLabel || strings.ContainsAny(part, "\r\n\x00 ") {
				t.Errorf("%s: label %q", c.name, part)
			}
		}
	}
}

func TestLabel(t *testing.T) {
	for _, l := range []Label{{"192.0.2.0/24", "a@s.example", "b@r.example"}, {Client: "s.example"}, {"192.0.2.0/24", "<>", "b@r.example"}} {
		if got := unpack(l.pack()); got != l {
			t.Errorf("%+v came back as %+v", l, got)
		}
	}
	if got := unpack("a\x1b[2J b\u202e c d"); got != (Label{"a?[2J", "b?", "c?d"}) {
		t.Errorf("a label from a foreign hand: %+v", got)
	}
}
