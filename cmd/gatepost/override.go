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
	u := config.Rule{Name: r.Name, Action: "deny", Client: r.Client, Helo: r.Helo, Sender: r.Sender, SenderDomain: r.SenderDomain, Recipient: r.Recipient,
		FromDomain: r.FromDomain, Proof: strings.Join(plain(r.Proof), " or "), Skip: r.Skip, Expires: r.Expires, Comment: comment}
	if r.Allow {
		u.Action = "allow"
	}
	return writtenTOML(u)
}

// writtenTOML is a rule of a config as it was written, with all its keys; false where it could not be read back.
func writtenTOML(u config.Rule) (text string, ok bool) {
	var b strings.Builder
	fmt.Fprintf(&b, "[rule.%s]\n", u.Name)
	word := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s = %s\n", key, quoted(value))
		}
	}
	list := func(key string, values []string) {
		if len(values) > 0 {
			fmt.Fprintf(&b, "%s = [%s]\n", key, strings.Join(values, ", "))
		}
	}
	word("action", u.Action)
	list("client", quotedAll(u.Client, netip.Prefix.String))
	list("helo", quotedAll(u.Helo, same))
	list("sender", quotedAll(u.Sender, same))
	list("sender_domain", quotedAll(u.SenderDomain, same))
	list("recipient", quotedAll(u.Recipient, same))
	list("from_domain", quotedAll(u.FromDomain, same))
	word("proof", u.Proof)
	list("skip", quotedAll(u.Skip, same))
	if !u.Expires.IsZero() {
		fmt.Fprintf(&b, "expires = %s\n", u.Expires.UTC().Format(time.RFC3339Nano))
	}
	word("comment", u.Comment)
	_, err := config.ParseRules("", []byte(b.String()), checks.Kinds())
	return b.String(), err == nil
}

// ruleWords is a rule in a few words.
func ruleWords(r policy.Rule) string {
	var parts []string
	for _, x := range []struct {
		what   string
		values []string
	}{{"from", r.FromDomain}, {"sender", r.SenderDomain}, {"sender", r.Sender}, {"client", quotedAll(r.Client, netip.Prefix.String)}, {"helo", r.Helo},
		{"recipient", r.Recipient}} {
		if len(x.values) > 0 {
			parts = append(parts, x.what+" "+strings.ReplaceAll(strings.Join(x.values, ", "), `"`, ""))
		}
	}
	text := "a rule denies " + strings.Join(parts, " and ")
	if r.Allow {
		text = "a rule allows " + strings.Join(parts, " and ")
	}
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
