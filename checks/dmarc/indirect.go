package dmarc

import (
	"bytes"
	"strings"

	"gatepost/policy"
)

// listUnsubscribe is the sign that two fields make: newsletters have the one, out-of-office replies the other.
const listUnsubscribe = "List-Unsubscribe with Precedence"

// indirect are the signs in the order in which they are told; all but one are names of fields.
var indirect = []string{
	"List-Id", "List-Post", listUnsubscribe, // RFC 2919, RFC 2369
	"ARC-Seal",                                  // RFC 8617
	"Resent-From", "Resent-Sender", "Resent-To", // RFC 5322 section 3.6.6
	"X-Forwarded-For", "X-Forwarded-To",
}

// indirectSigns names the fields that mailing lists and forwarders leave in a message, each once.
func indirectSigns(m *policy.Message) []string {
	has := map[string]bool{}
	for f := range policy.Fields(m.Head) {
		if name := strings.ToLower(string(f.Name)); name != "precedence" || isListPrecedence(f) {
			has[name] = true
		}
	}
	var signs []string
	for _, s := range indirect {
		if has[strings.ToLower(s)] || s == listUnsubscribe && has["list-unsubscribe"] && has["precedence"] {
			signs = append(signs, s)
		}
	}
	return signs
}

func isListPrecedence(f policy.Field) bool {
	return bytes.EqualFold(bytes.TrimSpace(f.Body()), []byte("list"))
}
