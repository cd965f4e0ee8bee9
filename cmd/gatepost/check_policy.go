package main

import (
	"strings"

	"gatepost/config"
	"gatepost/policy"
)

// checkPolicy looks for checks that make no sense as they are put together.
func checkPolicy(r *report, c *config.Config) {
	running := map[string]bool{}
	for _, k := range c.Checks {
		running[k.Name] = k.Mode != policy.Off
	}
	if !running["dmarc"] {
		return
	}
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
