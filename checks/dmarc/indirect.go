package dmarc

import (
	"bytes"
	"strings"

	"gatepost/policy"
)

// indirectSigns names the fields that mailing lists and forwarders leave in a message, each once.
func indirectSigns(m *policy.Message) []string {
	has := map[string]bool{}
	for f := range policy.Fields(m.Head) {
		if name := strings.ToLower(string(f.Name)); isSign(name) || name == "precedence" && isListPrecedence(f) {
			has[name] = true
		}
	}
	if has["precedence"] && has["list-unsubscribe"] { // newsletters have the one, out-of-office replies the other
		has["list"] = true
	}
	var signs []string
	for _, s := range []struct{ field, name string }{
		{"list-id", "List-Id"}, {"list-post", "List-Post"}, {"list", "List-Unsubscribe with Precedence"}, {"arc-seal", "ARC-Seal"},
		{"resent-from", "Resent-From"}, {"resent-sender", "Resent-Sender"}, {"resent-to", "Resent-To"},
		{"x-forwarded-for", "X-Forwarded-For"}, {"x-forwarded-to", "X-Forwarded-To"},
	} {
		if has[s.field] {
			signs = append(signs, s.name)
		}
	}
	return signs
}

// isSign says whether a field of this name, in lower case, is a sign or part of one.
func isSign(name string) bool {
	switch name {
	case "list-id", "list-post", "list-unsubscribe", // RFC 2919, RFC 2369
		"arc-seal",                                  // RFC 8617
		"resent-from", "resent-sender", "resent-to", // RFC 5322 section 3.6.6
		"x-forwarded-for", "x-forwarded-to":
		return true
	}
	return false
}

func isListPrecedence(f policy.Field) bool {
	return bytes.EqualFold(bytes.TrimSpace(f.Body()), []byte("list"))
}
