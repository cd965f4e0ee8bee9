package config

import (
	"fmt"
	"strings"
	"time"

	"gatepost/policy"
)

// testKinds are a check without settings of its own and one with every sort of them.
func testKinds() []policy.Kind {
	return []policy.Kind{
		{Name: "spf", Outcomes: map[policy.Outcome]policy.Action{
			"pass": policy.None, "fail": policy.Reject, "softfail": policy.None,
		}},
		{Name: "greylist", Outcomes: map[policy.Outcome]policy.Action{"new": policy.Defer},
			Settings: func() any {
				return &greySettings{Delay: 5 * time.Minute, Prefix: prefixes{IPv4: 24, IPv6: 64}}
			}},
	}
}

type greySettings struct {
	Delay  time.Duration `toml:"delay"`
	Prefix prefixes      `toml:"prefix"`
	Zones  []zone        `toml:"zone"`
	Until  time.Time     `toml:"until"`
	Small  uint8         `toml:"small"`
	Size   int64         `toml:"size" unit:"size"`
	Ratio  *float64      `toml:"ratio"`
	When   []string      `toml:"when"` // CHECK:OUTCOME
	Note   string        // no tag: not the admin's
}

type prefixes struct {
	IPv4 int `toml:"ipv4"`
	IPv6 int `toml:"ipv6"`
}

type zone struct {
	Name   string `toml:",name"`
	Weight int    `toml:"weight"`
}

func (z *zone) SetDefaults() { z.Weight = 1 }

func (s *greySettings) Conditions(tell func(key, check string, outcome policy.Outcome)) {
	for i, w := range s.When {
		check, outcome, _ := strings.Cut(w, ":")
		tell(fmt.Sprintf("when[%d]", i), check, policy.Outcome(outcome))
	}
}

func (s *greySettings) Validate(problem func(key, message string)) {
	if s.Prefix.IPv4 > 32 {
		problem("prefix.ipv4", "an IPv4 address has 32 bits")
	}
}

// testMachine is a machine whose own name has no domain.
func testMachine() (string, error) { return "build7", nil }
