package dnsbl

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"gatepost/internal/dnstest"
	"gatepost/policy"
	"gatepost/resolver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lists are zones, each with what it lists. All but the last four prove themselves.
const lists = `
$ORIGIN black.example.
@           60 IN SOA ns hostmaster 1 3600 600 86400 60
2.0.0.127      IN A   127.0.0.2
9.113.0.203    IN A   127.0.0.4
9.113.0.203    IN A   127.0.0.11
9.113.0.203    IN TXT "Seen in a spamtrap" " \010\027[31m; ask https://black.example/"
10.113.0.203   IN A   127.0.0.99
11.113.0.203   IN A   127.0.0.3
12.113.0.203   IN A   192.0.2.66
13.113.0.203   IN A   127.0.0.4
13.113.0.203   IN A   192.0.2.66
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2 IN A 127.0.0.2
$ORIGIN grey.example.
@           60 IN SOA ns hostmaster 1 3600 600 86400 60
2.0.0.127      IN A   127.0.0.2
9.113.0.203    IN A   127.0.0.2
14.113.0.203   IN A   127.0.0.2
$ORIGIN white.example.
@           60 IN SOA ns hostmaster 1 3600 600 86400 60
2.0.0.127      IN A   127.0.0.2
11.113.0.203   IN A   127.0.4.2
15.113.0.203   IN A   127.0.4.2
$ORIGIN names.example.
@           60 IN SOA ns hostmaster 1 3600 600 86400 60
test           IN A   127.0.1.2
spam.test.example IN A 127.0.1.2
$ORIGIN refuses.example.
@           60 IN SOA ns hostmaster 1 3600 600 86400 60
*              IN A   127.255.255.254
$ORIGIN everything.example.
@           60 IN SOA ns hostmaster 1 3600 600 86400 60
*              IN A   127.0.0.2
$ORIGIN parked.example.
@           60 IN SOA ns hostmaster 1 3600 600 86400 60
*              IN A   192.0.2.1
$ORIGIN limited.example.
@           60 IN SOA ns hostmaster 1 3600 600 86400 60
2.0.0.127      IN A   127.0.0.2
9.113.0.203    IN A   127.0.0.255
`

// over gives a resolver that asks s, and gives up soon.
func over(t testing.TB, s *dnstest.Server) *resolver.Resolver {
	t.Helper()
	r, err := resolver.New(resolver.Settings{Servers: []string{s.Addr()}, Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func zoneOf(name string, weight int, codes ...string) Zone {
	z := Zone{Name: name, Weight: weight, TestEntry: true}
	for _, text := range codes {
		var c Codes
		if err := c.UnmarshalText([]byte(text)); err != nil {
			panic(err)
		}
		z.Codes = append(z.Codes, c)
	}
	return z
}

// evidence is the facts of a finding, a line each, without the zones that know nothing: TestAgain looks at those.
func evidence(f policy.Finding) []string {
	var lines []string
	for _, x := range f.Facts {
		if x.Key == "clear" {
			continue
		}
		lines = append(lines, x.Key+": "+x.Value)
	}
	return lines
}

func TestClient(t *testing.T) {
	black, grey, white := zoneOf("black.example", 5, "127.0.0.2-127.0.0.11"), zoneOf("grey.example", 2), zoneOf("white.example", -5)
	tests := []struct {
		name    string
		client  string
		zones   []Zone
		outcome policy.Outcome
		text    string
		facts   []string
	}{
		{"no zone is set up", "203.0.113.9", nil, policy.Pass, "", nil},
		{"nothing lists it", "203.0.113.1", []Zone{black, grey, white}, policy.Pass, "", []string{"score: 0 of 5"}},
		{"two zones list it", "203.0.113.9", []Zone{black, grey}, Listed, "203.0.113.9 is listed at black.example, grey.example",
			[]string{"zone: black.example 127.0.0.4,127.0.0.11 weight 5", "txt: Seen in a spamtrap ??[31m; ask https://black.example/",
				"zone: grey.example 127.0.0.2 weight 2", "score: 7 of 5"}},
		{"below the threshold", "203.0.113.14", []Zone{black, grey}, Some, "203.0.113.14 is listed at grey.example",
			[]string{"zone: grey.example 127.0.0.2 weight 2", "score: 2 of 5"}},
		{"an answer that is not among the codes", "203.0.113.10", []Zone{black}, policy.Pass, "",
			[]string{"other: black.example 127.0.0.99 weight 5", "score: 0 of 5"}},
		{"an allow list outweighs a block list", "203.0.113.11", []Zone{black, white}, policy.Pass, "203.0.113.11 is listed at black.example",
			[]string{"zone: black.example 127.0.0.3 weight 5", "zone: white.example 127.0.4.2 weight -5", "score: 0 of 5"}},
		{"an allow list alone", "203.0.113.15", []Zone{black, white}, Allowed, "",
			[]string{"zone: white.example 127.0.4.2 weight -5", "score: -5 of 5"}},
		{"IPv6, by nibbles", "2001:db8::1", []Zone{black}, Listed, "2001:db8::1 is listed at black.example",
			[]string{"zone: black.example 127.0.0.2 weight 5", "score: 5 of 5"}},
		{"hazard 55: an answer outside 127/8 is no listing", "203.0.113.12", []Zone{black}, policy.Pass, "", []string{"score: 0 of 5"}},
		{"hazard 55: the rest of such an answer counts", "203.0.113.13", []Zone{black}, Listed, "203.0.113.13 is listed at black.example",
			[]string{"zone: black.example 127.0.0.4 weight 5", "score: 5 of 5"}},
		{"hazard 54: a refusal is no listing", "203.0.113.9", []Zone{zoneOf("refuses.example", 5), grey}, Some,
			"203.0.113.9 is listed at grey.example",
			[]string{"silent: refuses.example weight 5: " + refuses(netip.MustParseAddr("127.255.255.254")),
				"zone: grey.example 127.0.0.2 weight 2", "score: 2 of 5"}},
		{"hazard 54: neither is the refusal of some lists", "203.0.113.9", []Zone{zoneOf("limited.example", 5)}, policy.TempError,
			"Block lists cannot be asked at the moment, please try again later",
			[]string{"silent: limited.example weight 5: " + refuses(netip.MustParseAddr("127.0.0.255")), "score: 0 of 5"}},
		{"which may be a listing where the admin says so", "203.0.113.9", []Zone{zoneOf("limited.example", 5, "127.0.0.255")}, Listed,
			"203.0.113.9 is listed at limited.example", []string{"zone: limited.example 127.0.0.255 weight 5", "score: 5 of 5"}},
		{"hazard 55: a zone that lists 127.0.0.1 is not asked", "203.0.113.9", []Zone{zoneOf("everything.example", 5)}, policy.TempError,
			"Block lists cannot be asked at the moment, please try again later",
			[]string{"silent: everything.example weight 5: lists 127.0.0.1, so it may list everything", "score: 0 of 5"}},
		{"hazard 55: a zone that does not list 127.0.0.2 is not asked", "203.0.113.9", []Zone{zoneOf("parked.example", 5), grey}, Some,
			"203.0.113.9 is listed at grey.example",
			[]string{"silent: parked.example weight 5: does not list the test entry 127.0.0.2",
				"zone: grey.example 127.0.0.2 weight 2", "score: 2 of 5"}},
		{"a list of one's own without test entries", "203.0.113.9", []Zone{{Name: "names.example", Weight: 5}}, policy.Pass, "",
			[]string{"score: 0 of 5"}},
		{"a zone with a key in its name is shown without", "203.0.113.14", []Zone{{Name: "grey.example", Show: "grey", Weight: 5, TestEntry: true}},
			Listed, "203.0.113.14 is listed at grey", []string{"zone: grey 127.0.0.2 weight 5", "score: 5 of 5"}},
	}
	r := over(t, dnstest.Start(t, lists))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := New(&Settings{Threshold: 5, Zones: tt.zones}, r, quiet())
			f := c.Run(t.Context(), policy.View{Client: netip.MustParseAddr(tt.client)})
			if f.Outcome != tt.outcome || f.Text != tt.text {
				t.Errorf("got %s %q, want %s %q", f.Outcome, f.Text, tt.outcome, tt.text)
			}
			if diff := cmp.Diff(tt.facts, evidence(f)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPrivateClientsAreNotAsked(t *testing.T) {
	s := dnstest.Start(t, lists)
	c := New(&Settings{Threshold: 5, Zones: []Zone{zoneOf("black.example", 5)}}, over(t, s), quiet())
	for _, client := range []string{"127.0.0.1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "169.254.1.1", "::1", "fe80::1", "fd00::1", "0.0.0.0", "::"} {
		f := c.Run(t.Context(), policy.View{Client: netip.MustParseAddr(client)})
		if f.Outcome != policy.Pass || f.Fact("skipped") == "" {
			t.Errorf("%s: got %s %v", client, f.Outcome, f.Facts)
		}
	}
	if n := s.Total(); n != 0 {
		t.Errorf("%d questions were asked", n)
	}
}

func TestNames(t *testing.T) {
	both := DomainZone{Zone: zoneOf("names.example", 5), Of: []string{"helo", "sender"}}
	sender := DomainZone{Zone: zoneOf("names.example", 5), Of: []string{"sender"}}
	helo := DomainZone{Zone: zoneOf("names.example", 5), Of: []string{"helo"}}
	tests := []struct {
		name         string
		helo, sender string
		zone         DomainZone
		outcome      policy.Outcome
		facts        []string
	}{
		{"the sender is listed", "mx.good.example", "spam.test.example", both, Listed,
			[]string{"zone: names.example 127.0.1.2 weight 5 sender spam.test.example", "score: 5 of 5"}},
		{"both are listed, which counts once", "SPAM.Test.example.", "spam.test.example", both, Listed,
			[]string{"zone: names.example 127.0.1.2 weight 5 helo spam.test.example",
				"zone: names.example 127.0.1.2 weight 5 sender spam.test.example", "score: 5 of 5"}},
		{"a zone for senders only", "spam.test.example", "good.example", sender, policy.Pass, []string{"score: 0 of 5"}},
		{"a null sender and a literal", "[203.0.113.9]", "", both, policy.Pass, []string{"skipped: nothing that a list could know"}},
		{"a null sender and a zone for senders only", "spam.test.example", "", sender, policy.Pass, []string{"skipped: nothing that a list could know"}},
		{"a literal and a zone for HELO only", "[203.0.113.9]", "spam.test.example", helo, policy.Pass, []string{"skipped: nothing that a list could know"}},
		{"a bare address and a name without dots", "203.0.113.9", "test", both, policy.Pass, []string{"skipped: nothing that a list could know"}},
		{"bytes of no name", "a b.example", "x\r\n.example", both, policy.Pass, []string{"skipped: nothing that a list could know"}},
	}
	r := over(t, dnstest.Start(t, lists))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := NewDomain(&DomainSettings{Threshold: 5, Zones: []DomainZone{tt.zone}}, r, quiet())
			f := c.Run(t.Context(), policy.View{Helo: tt.helo, Sender: policy.Mailbox{Local: "a", Domain: tt.sender}})
			if f.Outcome != tt.outcome {
				t.Errorf("got %s, want %s", f.Outcome, tt.outcome)
			}
			if diff := cmp.Diff(tt.facts, evidence(f)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAuthor(t *testing.T) {
	r := over(t, dnstest.Start(t, lists))
	c := NewAuthor(&AuthorSettings{Settings{Threshold: 5, Zones: []Zone{zoneOf("names.example", 5)}}}, r, quiet())
	for domain, want := range map[string]policy.Outcome{"spam.test.example": Listed, "good.example": policy.Pass, "": policy.Pass} {
		f := c.Run(t.Context(), policy.View{Message: &policy.Message{FromDomain: domain}})
		if f.Outcome != want {
			t.Errorf("%q: got %s, want %s", domain, f.Outcome, want)
		}
	}
}

// TestHazard56 is one zone that never answers: the others decide.
func TestHazard56(t *testing.T) {
	s := dnstest.Start(t, lists)
	s.Drop("9.113.0.203.grey.example", -1)
	for _, tt := range []struct {
		name    string
		silent  int // the weight of the zone that is silent
		outcome policy.Outcome
	}{
		{"a block list is silent", 3, Listed},
		{"an allow list is silent that could have saved the mail", -3, policy.TempError},
	} {
		zones := []Zone{zoneOf("black.example", 5), zoneOf("grey.example", tt.silent)}
		c := New(&Settings{Threshold: 5, Zones: zones}, over(t, s), quiet())
		f := c.Run(t.Context(), policy.View{Client: netip.MustParseAddr("203.0.113.9")})
		if f.Outcome != tt.outcome || !strings.HasSuffix(f.Fact("silent"), "no answer in time") {
			t.Errorf("%s: got %s %v", tt.name, f.Outcome, f.Facts)
		}
	}
}

// TestHazard59 is a DNS that is dead altogether: no refusal.
func TestHazard59(t *testing.T) {
	s := dnstest.Start(t, lists)
	s.ServFail("")
	c := New(&Settings{Threshold: 5, Zones: []Zone{zoneOf("black.example", 5)}}, over(t, s), quiet())
	f := c.Run(t.Context(), policy.View{Client: netip.MustParseAddr("203.0.113.9")})
	if f.Outcome != policy.TempError || Kind().Outcomes[f.Outcome] != policy.None {
		t.Errorf("got %s, which leads to %s", f.Outcome, Kind().Outcomes[f.Outcome])
	}
}

func TestRefusal(t *testing.T) {
	c := New(&Settings{Threshold: 5, Zones: []Zone{zoneOf("black.example", 5)}}, over(t, dnstest.Start(t, lists)), quiet())
	f := c.Run(t.Context(), policy.View{Client: netip.MustParseAddr("203.0.113.9")})
	got := policy.ReplyFor(Kind().Outcomes[f.Outcome], f.Status, f.Text)
	if want := (policy.Reply{Code: 550, Text: "5.7.1 203.0.113.9 is listed at black.example"}); got != want || f.Code != 0 {
		t.Errorf("got %v and code %d, want %v", got, f.Code, want)
	}
}

func TestKinds(t *testing.T) {
	for _, tt := range []struct {
		kind  policy.Kind
		check policy.Check
		stage policy.Stage
	}{
		{Kind(), New(Kind().Settings().(*Settings), nil, quiet()), policy.StageConnect},
		{DomainKind(), NewDomain(DomainKind().Settings().(*DomainSettings), nil, quiet()), policy.StageMail},
		{AuthorKind(), NewAuthor(AuthorKind().Settings().(*AuthorSettings), nil, quiet()), policy.StageData},
	} {
		if tt.kind.Name != tt.check.Name() || tt.check.Stage() != tt.stage {
			t.Errorf("%s is made as %s at %s", tt.kind.Name, tt.check.Name(), tt.check.Stage())
		}
		if f := tt.check.Run(context.Background(), policy.View{}); f.Outcome != policy.Pass { // asks nothing: there is no resolver
			t.Errorf("%s without zones: %s", tt.kind.Name, f.Outcome)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	r := over(b, dnstest.Start(b, lists))
	for name, zones := range map[string][]Zone{"none": nil, "two": {zoneOf("black.example", 5), zoneOf("white.example", -5)}} {
		b.Run(name, func(b *testing.B) {
			c := New(&Settings{Threshold: 5, Zones: zones}, r, quiet())
			v := policy.View{Client: netip.MustParseAddr("203.0.113.1")}
			b.ReportAllocs()
			for b.Loop() {
				c.Run(b.Context(), v)
			}
		})
	}
}
