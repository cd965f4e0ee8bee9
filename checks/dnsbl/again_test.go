package dnsbl

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost/internal/dnstest"
	"gatepost/policy"
)

// TestAgain judges what one check saw by the settings of another.
func TestAgain(t *testing.T) {
	black, grey, white := zoneOf("black.example", 5, "127.0.0.2-127.0.0.11"), zoneOf("grey.example", 2), zoneOf("white.example", -5)
	then := Settings{Threshold: 5, Zones: []Zone{black, grey, white}}
	heavy := zoneOf("grey.example", 9)
	tests := []struct {
		name      string
		client    string
		threshold int
		zones     []Zone
		outcome   policy.Outcome // "": cannot be told
		text      string
	}{
		{"nothing new", "203.0.113.9", 5, then.Zones, Listed, "203.0.113.9 is listed at black.example, grey.example"},
		{"a higher threshold", "203.0.113.9", 8, then.Zones, Some, "203.0.113.9 is listed at black.example, grey.example"},
		{"a lower threshold", "203.0.113.14", 2, then.Zones, Listed, "203.0.113.14 is listed at grey.example"},
		{"another weight", "203.0.113.14", 5, []Zone{black, heavy}, Listed, "203.0.113.14 is listed at grey.example"},
		{"a zone less", "203.0.113.9", 5, []Zone{grey}, Some, "203.0.113.9 is listed at grey.example"},
		{"codes that now count", "203.0.113.10", 5, []Zone{zoneOf("black.example", 5)}, Listed, "black.example"},
		{"codes that no longer count", "203.0.113.11", 5, []Zone{zoneOf("black.example", 5, "127.0.0.2")}, policy.Pass, ""},
		{"an allow list less", "203.0.113.11", 5, []Zone{black}, Listed, "203.0.113.11 is listed at black.example"},
		{"a zone that was never asked", "203.0.113.9", 5, []Zone{black, zoneOf("names.example", 5)}, "", ""},
		{"a zone that was never asked, of nobody known", "203.0.113.1", 5, []Zone{zoneOf("names.example", 5)}, "", ""},
		{"an address that is not asked about", "10.0.0.1", 1, []Zone{zoneOf("names.example", 5)}, policy.Pass, ""},
		{"no zones any more", "203.0.113.9", 5, nil, policy.Pass, ""},
	}
	r := over(t, dnstest.Start(t, lists))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := New(&then, r, quiet()).Run(t.Context(), policy.View{Client: netip.MustParseAddr(tt.client)})
			got, ok := New(&Settings{Threshold: tt.threshold, Zones: tt.zones}, r, quiet()).Again(f)
			if ok != (tt.outcome != "") || got.Outcome != tt.outcome {
				t.Fatalf("got %s %v, want %q, of %v", got.Outcome, ok, tt.outcome, f.Facts)
			}
			if len(tt.text) > 15 && got.Text != tt.text {
				t.Errorf("got %q, want %q", got.Text, tt.text)
			}
		})
	}
}

// TestAgainIsTheSame judges random answers again by the same settings.
func TestAgainIsTheSame(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		c := &Check{name: "rhsbl", threshold: 1 + rnd.IntN(10)}
		var answers []answer
		for i := range 1 + rnd.IntN(4) {
			z := &zone{Zone: Zone{Name: fmt.Sprintf("z%d.example", i), Weight: rnd.IntN(11) - 5}}
			if z.Weight == 0 {
				z.Weight = 1
			}
			if rnd.IntN(2) == 0 {
				z.Codes = []Codes{{First: netip.MustParseAddr("127.0.0.2"), Last: netip.MustParseAddr("127.0.0.4")}}
			}
			c.zones = append(c.zones, z)
			for _, what := range []string{"helo", "sender"} {
				answers = append(answers, randomAnswer(rnd, z, what))
			}
		}
		want := finding(answers, c.threshold)
		got, ok := c.Again(want)
		if !ok {
			t.Fatalf("cannot be told again: %v", want.Facts)
		}
		if diff := cmp.Diff(want, got); want.Outcome != policy.TempError && diff != "" {
			t.Fatalf("%s\n%v", diff, want.Facts)
		}
		if got.Outcome != want.Outcome {
			t.Fatalf("got %s, want %s of %v", got.Outcome, want.Outcome, want.Facts)
		}
	}
}

func randomAnswer(rnd *rand.Rand, z *zone, what string) answer {
	a := answer{zone: z, subject: subject{what: what, text: "spam.test.example"}}
	switch rnd.IntN(4) {
	case 0:
		a.silent = "no answer in time: again"
	case 1:
		a.txt = "weight 7 zone: x"
		fallthrough
	case 2:
		a.reading = read([]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, byte(2 + rnd.IntN(6))})}, z.Codes)
		if len(a.hits) == 0 {
			a.txt = ""
		}
	}
	return a
}

func TestLooser(t *testing.T) {
	r := over(t, dnstest.Start(t, lists))
	c := New(&Settings{Threshold: 5, Zones: []Zone{zoneOf("black.example", 5), zoneOf("grey.example", 2)}}, r, quiet())
	f := c.Run(t.Context(), policy.View{Client: netip.MustParseAddr("203.0.113.9")})
	setting, looser, ok := c.Looser(f)
	if !ok || setting != "threshold = 8" {
		t.Fatalf("got %q %v", setting, ok)
	}
	if g, ok := looser.Again(f); !ok || g.Outcome != Some {
		t.Errorf("under it: %s %v", g.Outcome, ok)
	}
	if _, _, ok := c.Looser(policy.Finding{Outcome: policy.Pass}); ok {
		t.Error("a pass needs nothing looser")
	}
}
