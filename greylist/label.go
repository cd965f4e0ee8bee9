package greylist

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Label is what an entry is about, for people: cleaned and cut. It is kept beside the entry and never looked up by.
type Label struct {
	Client    string `json:"client"` // a network, or a domain that SPF proved
	Sender    string `json:"sender,omitempty"`
	Recipient string `json:"recipient,omitempty"`
}

// longestLabel is the octets kept of each part.
const longestLabel = 100

func newLabel(id Identity, sender, rcpt string) Label {
	return Label{clean(id.Name), clean(sender), clean(rcpt)}
}

// pack is the label as it is kept: the parts with spaces between.
func (l Label) pack() string {
	if l.Sender == "" {
		return l.Client
	}
	return l.Client + " " + l.Sender + " " + l.Recipient
}

// unpack reads what pack wrote. Whatever else it is given is cleaned.
func unpack(s string) Label {
	parts := append(strings.SplitN(s, " ", 3), "", "")
	return Label{clean(parts[0]), clean(parts[1]), clean(parts[2])}
}

// clean makes text from outside fit for a label: printable, without spaces, cut at a whole character.
func clean(s string) string {
	var b strings.Builder
	for _, c := range s {
		if c == utf8.RuneError || c == ' ' || !unicode.IsPrint(c) {
			c = '?'
		}
		if b.Len()+utf8.RuneLen(c) > longestLabel {
			break
		}
		b.WriteRune(c)
	}
	return b.String()
}
