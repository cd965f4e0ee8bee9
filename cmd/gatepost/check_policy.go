package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gatepost/config"
	"gatepost/greylist"
	"gatepost/policy"
)

// checkPolicy looks for checks that make no sense as they are put together, and for rules that have ended.
func checkPolicy(r *report, c *config.Config, now time.Time) {
	running := map[string]bool{}
	for _, k := range c.Checks {
		running[k.Name] = k.Mode != policy.Off
	}
	if running["dmarc"] {
		checkProofs(r, running)
	}
	for _, k := range c.Checks {
		if s, ok := k.Settings.(*greylist.Settings); ok && running[k.Name] {
			checkConditions(r, s, running)
		}
		if l := listsOf(k, nil); l != nil && running[k.Name] && len(l.Zones()) == 0 && whereCheck(c, k.Name) != "" { // by default they stand ready
			r.warn(config.Path("check", k.Name), fmt.Sprintf(`name a list in [check.%s.zone."..."], or leave the check out of policy.checks`, k.Name),
				"%s runs without any zone: it asks nobody", k.Name)
		}
	}
	for _, u := range c.Rules {
		if !u.Expires.IsZero() && !now.Before(u.Expires) {
			r.warn(config.Path("rule", u.Name), "delete it, or give it a later end", "it ended at %s, and holds no more", u.Expires.UTC().Format("2006-01-02 15:04 UTC"))
		}
	}
}

// checkProofs wants what dmarc goes by.
func checkProofs(r *report, running map[string]bool) {
	var missing []string
	for _, name := range []string{"spf", "dkim"} {
		if !running[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		r.warn("check.dmarc", "name them in policy.checks; mode = \"monitor\" is enough",
			"dmarc runs without %s: where nothing else proves the author, it comes to no result and refuses nothing", strings.Join(missing, " and "))
	}
}

// checkConditions wants some check that greylisting goes by.
func checkConditions(r *report, s *greylist.Settings, running map[string]bool) {
	var named []string
	for _, c := range s.OnlyIf {
		if running[c.Check] {
			return
		}
		if !slices.Contains(named, c.Check) {
			named = append(named, c.Check)
		}
	}
	if len(named) > 0 {
		r.warn("check.greylist", "name them in policy.checks; mode = \"monitor\" is enough. only_if = [] makes everyone unknown wait",
			"greylist runs without %s, which only_if goes by: nobody ever waits", strings.Join(named, " and "))
	}
}
