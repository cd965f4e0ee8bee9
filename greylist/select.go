package greylist

import (
	"net/netip"
	"strings"

	"gatepost/policy"
)

// shortestKey is how many characters of a key are enough to go by.
const shortestKey = 6

// Matches says whether an entry is meant by a word of an admin: an address or network of the client, a domain or an address of any of
// the parts, or the first characters of the key.
func (r Record) Matches(word string) bool {
	word = strings.ToLower(word)
	if len(word) >= shortestKey && strings.HasPrefix(r.Key.String(), word) {
		return true
	}
	if a, err := netip.ParseAddr(word); err == nil {
		p, err := netip.ParsePrefix(r.Label.Client)
		return err == nil && p.Contains(a.Unmap())
	}
	if r.Label.Client == word || sameMailbox(r.Label.Sender, word) || sameMailbox(r.Label.Recipient, word) {
		return true
	}
	i := strings.LastIndexByte(word, '@')
	return i > 0 && r.Label.Sender == clean(normal(policy.Mailbox{Local: word[:i], Domain: word[i+1:]}))
}

// sameMailbox says whether a label is this address, or one of this domain.
func sameMailbox(label, word string) bool {
	return label != "" && (label == word || word != "" && strings.HasSuffix(label, "@"+word))
}

// Network is the identity of an address as these settings count it.
func (s *Settings) Network(a netip.Addr) Identity { return s.networkOf(a) }

// Ends is the last moment at which the entry counts, in milliseconds since 1970; 0 for one that never ends.
func (s *Settings) Ends(e Entry) int64 { return s.rules().End(e) }
