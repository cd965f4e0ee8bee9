package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"gatepost/checks"
	"gatepost/config"
	"gatepost/policy"
)

// ruleTOML is a rule as it stands in a config; false where it could not be read back, as with a domain that is no name. comment may be
// empty.
func ruleTOML(r policy.Rule, comment string) (text string, ok bool) {
	var b strings.Builder
	fmt.Fprintf(&b, "[rule.%s]\n", r.Name)
	line := func(key string, values []string) {
		if len(values) > 0 {
			fmt.Fprintf(&b, "%s = [%s]\n", key, strings.Join(values, ", "))
		}
	}
	action := "deny"
	if r.Allow {
		action = "allow"
	}
	fmt.Fprintf(&b, "action = %q\n", action)
	line("client", quotedAll(r.Client, netip.Prefix.String))
	line("sender", quotedAll(r.Sender, same))
	line("sender_domain", quotedAll(r.SenderDomain, same))
	line("recipient", quotedAll(r.Recipient, same))
	line("from_domain", quotedAll(r.FromDomain, same))
	if len(r.Proof) > 0 {
		fmt.Fprintf(&b, "proof = %s\n", quoted(strings.Join(plain(r.Proof), " or ")))
	}
	line("skip", quotedAll(r.Skip, same))
	if !r.Expires.IsZero() {
		fmt.Fprintf(&b, "expires = %s\n", r.Expires.UTC().Format(time.RFC3339))
	}
	if comment != "" {
		fmt.Fprintf(&b, "comment = %s\n", quoted(comment))
	}
	_, err := config.ParseRules("", []byte(b.String()), checks.Kinds())
	return b.String(), err == nil
}

// ruleWords is a rule in a few words.
func ruleWords(r policy.Rule) string {
	var parts []string
	for _, x := range []struct {
		what   string
		values []string
	}{{"from", r.FromDomain}, {"sender", r.SenderDomain}, {"sender", r.Sender}, {"client", quotedAll(r.Client, netip.Prefix.String)}, {"recipient", r.Recipient}} {
		if len(x.values) > 0 {
			parts = append(parts, x.what+" "+strings.ReplaceAll(strings.Join(x.values, ", "), `"`, ""))
		}
	}
	text := "a rule allows " + strings.Join(parts, " and ")
	if len(r.Proof) > 0 {
		text += fmt.Sprintf(" with proof = %q", strings.Join(plain(r.Proof), " or "))
	}
	return text
}

func plain(proofs []policy.Proof) (words []string) {
	for _, p := range proofs {
		words = append(words, string(p))
	}
	return words
}

func quotedAll[T any](values []T, text func(T) string) (out []string) {
	for _, v := range values {
		out = append(out, quoted(text(v)))
	}
	return out
}

func same(s string) string { return s }

// quoted is a basic string of TOML.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
