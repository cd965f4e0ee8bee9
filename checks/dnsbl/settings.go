package dnsbl

import (
	"fmt"
	"strings"
)

const (
	defaultWeight = 5 // and the default threshold: each list alone is enough
	maxWeight     = 1000
	maxZones      = 32  // bounds the queries for one mail
	maxZoneName   = 189 // with 64 octets of nibbles before it a name stays within 253 octets (RFC 1035 section 2.3.4)
)

// Settings are those of [check.dnsbl].
type Settings struct {
	Threshold int    `toml:"threshold"` // 1 to 1000
	Zones     []Zone `toml:"zone"`
}

// AuthorSettings are those of [check.authorbl]. Weights are above 0.
type AuthorSettings struct {
	Settings
}

// DomainSettings are those of [check.rhsbl]. Weights are above 0.
type DomainSettings struct {
	Threshold int          `toml:"threshold"` // 1 to 1000
	Zones     []DomainZone `toml:"zone"`
}

// Zone is one list.
type Zone struct {
	Name      string  `toml:",name"`      // the zone in the DNS
	Weight    int     `toml:"weight"`     // -1000 to 1000, not 0; below 0: an allow list
	Codes     []Codes `toml:"codes"`      // answers that are listings; empty: any in 127.0.0.0/8
	Show      string  `toml:"show"`       // its name in replies, records, logs and metrics; "": Name
	TestEntry bool    `toml:"test_entry"` // it has the test entry of RFC 5782 section 5
}

// SetDefaults is for the reader of the config.
func (z *Zone) SetDefaults() { z.Weight, z.TestEntry = defaultWeight, true }

// DomainZone is one list of domains.
type DomainZone struct {
	Zone
	Of []string `toml:"of" oneof:"helo sender"` // which domains it is asked about
}

// SetDefaults is for the reader of the config.
func (z *DomainZone) SetDefaults() {
	z.Zone.SetDefaults()
	z.Of = []string{"helo", "sender"}
}

// Validate tells what is wrong with the settings.
func (s *Settings) Validate(problem func(key, message string)) {
	validate(s.Threshold, s.Zones, -maxWeight, problem)
}

// Validate tells what is wrong with the settings.
func (s *AuthorSettings) Validate(problem func(key, message string)) {
	validate(s.Threshold, s.Zones, 1, problem)
}

// Validate tells what is wrong with the settings.
func (s *DomainSettings) Validate(problem func(key, message string)) {
	var zones []Zone
	for _, z := range s.Zones {
		zones = append(zones, z.Zone)
		if len(z.Of) == 0 {
			problem(zoneKey(z.Name)+".of", `is empty, so the zone is never asked: write "helo", "sender" or both`)
		}
	}
	validate(s.Threshold, zones, 1, problem)
}

func validate(threshold int, zones []Zone, lowest int, problem func(key, message string)) {
	if threshold < 1 || threshold > maxWeight {
		problem("threshold", fmt.Sprintf("is not from 1 to %d", maxWeight))
	}
	if len(zones) > maxZones {
		problem("zone", fmt.Sprintf("has %d zones: at most %d are asked for each mail", len(zones), maxZones))
	}
	shown := map[string]string{}
	for _, z := range zones {
		z.validate(lowest, problem)
		if other, twice := shown[z.shown()]; twice {
			problem(zoneKey(z.Name), fmt.Sprintf("is shown as %q, as is %q: records could not tell them apart", z.shown(), other))
		}
		shown[z.shown()] = z.Name
	}
}

// validate tells what is wrong with one zone. A name of a session can be claimed by anyone, so it must not speak for the mail:
// lists of names have weights from 1 on.
func (z *Zone) validate(lowest int, problem func(key, message string)) {
	key := zoneKey(z.Name)
	if !isZoneName(z.Name) {
		problem(key, fmt.Sprintf("is no name of a zone: labels of letters, digits, hyphens and underscores, at most %d octets", maxZoneName))
	}
	if z.Show != "" && !isZoneName(strings.ToLower(z.Show)) {
		problem(key+".show", "is not written like a domain name")
	}
	switch {
	case z.Weight < 0 && lowest > 0 && z.Weight >= -maxWeight:
		problem(key+".weight", "is below 0: anyone may claim a good name, so a list of names cannot speak for a mail")
	case z.Weight == 0 || z.Weight < -maxWeight || z.Weight > maxWeight:
		problem(key+".weight", fmt.Sprintf("is not from %d to %d, or is 0", lowest, maxWeight))
	}
}

func (z *Zone) shown() string {
	if z.Show != "" {
		return z.Show
	}
	return z.Name
}

// zoneKey is where a zone stands in the table of its check: TOML wants quotes around a key with dots in it.
func zoneKey(name string) string {
	if name != "" && strings.Trim(name, labelBytes) == "" {
		return "zone." + name
	}
	return fmt.Sprintf("zone.%q", name)
}

// isZoneName says whether labels of host names stand between the dots (RFC 1123 section 2.1), with underscores as the DNS has them.
func isZoneName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, labelBytes) != "" { // RFC 1035 section 2.3.4
			return false
		}
	}
	return len(s) <= maxZoneName
}

const labelBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
