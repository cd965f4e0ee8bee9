package dnsbl

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"gatepost/policy"
)

// Again is the finding that these zones, weights, codes and threshold would have made of the answers that an earlier finding tells
// of. It is false where one of these zones was not asked then.
func (c *Check) Again(f policy.Finding) (policy.Finding, bool) {
	if f.Fact("skipped") != "" || f.Fact("error") != "" {
		return f, true
	}
	if len(c.zones) == 0 {
		return policy.Finding{Outcome: policy.Pass}, true
	}
	answers, asked := c.answers(f)
	for _, z := range c.zones {
		if !slices.Contains(asked, z.shown()) {
			return policy.Finding{}, false
		}
	}
	return finding(answers, c.threshold), true
}

// Looser is the check with the lowest threshold under which a finding is no listing.
func (c *Check) Looser(f policy.Finding) (setting string, looser policy.Rejudger, ok bool) {
	if f.Outcome != Listed {
		return "", nil, false
	}
	answers, _ := c.answers(f)
	over := count(answers).score + 1
	if over <= c.threshold || over > maxWeight {
		return "", nil, false
	}
	return fmt.Sprintf("threshold = %d", over),
		&Check{name: c.name, stage: c.stage, subjects: c.subjects, threshold: over, zones: c.zones}, true
}

// answers reads back what a finding's facts tell, as far as this check has the zones; asked names all that were asked then.
func (c *Check) answers(f policy.Finding) (answers []answer, asked []string) {
	who, _, _ := strings.Cut(f.Text, " is listed at ")
	known := false // the zone of the fact before is ours
	for _, x := range f.Facts {
		switch x.Key {
		case "clear":
			names := strings.Split(x.Value, ",")
			asked = append(asked, names...)
			for _, name := range names {
				if z := c.zone(name); z != nil {
					answers = append(answers, answer{zone: z, subject: subject{what: "client", text: who}})
				}
			}
		case "zone", "other", "silent":
			name, rest, _ := strings.Cut(x.Value, " ")
			asked = append(asked, name)
			z := c.zone(name)
			if known = z != nil; known {
				answers = append(answers, z.again(x.Key, rest, who))
			}
		case "txt":
			if known {
				answers[len(answers)-1].txt = x.Value
			}
		}
	}
	return answers, asked
}

// again reads back one answer: "CODE[,CODE] weight N[ WHAT SUBJECT]", of a silent zone "weight N[ WHAT SUBJECT]: WHY".
func (z *zone) again(key, rest, who string) answer {
	a := answer{zone: z, subject: subject{what: "client", text: who}}
	codes, about, _ := strings.Cut(rest, "weight ")
	if key == "silent" {
		about, a.silent, _ = strings.Cut(about, ": ")
	}
	if _, named, ok := strings.Cut(about, " "); ok {
		a.subject.what, a.subject.text, _ = strings.Cut(named, " ")
	}
	var addrs []netip.Addr
	for text := range strings.SplitSeq(strings.TrimSpace(codes), ",") {
		if addr, err := netip.ParseAddr(text); err == nil {
			addrs = append(addrs, addr)
		}
	}
	a.reading = read(addrs, z.Codes)
	if a.refusal.IsValid() { // a code that was named then, and is not any more
		a.reading, a.silent = reading{}, refuses(a.refusal)
	}
	return a
}

// zone is the zone that is shown by this name; nil where there is none.
func (c *Check) zone(shown string) *zone {
	for _, z := range c.zones {
		if z.shown() == shown {
			return z
		}
	}
	return nil
}
