package main

import (
	"fmt"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

// signed is a message that bank.example signs before it goes out, and what stands around it when it comes in.
type signed struct {
	letter      string
	top, bottom string // header fields and lines that somebody added on the way
}

// signedContent is content with a signature, which is made when the sample is played.
func signedContent(s signed) step { return step{signed: &s, replies: 1, content: true} }

// compose gives the steps with the signatures that they lack.
func (st *stage) compose(steps []step) ([]step, error) {
	var all []step
	for _, s := range steps {
		if s.signed != nil {
			letter, err := st.sign(s.signed.letter)
			if err != nil {
				return nil, err
			}
			s = content(s.signed.top + letter + s.signed.bottom)
		}
		all = append(all, s)
	}
	return all, nil
}

// sign puts a DKIM signature of bank.example on a message (RFC 6376).
func (st *stage) sign(letter string) (string, error) {
	var b strings.Builder
	err := dkim.Sign(&b, strings.NewReader(letter), &dkim.SignOptions{Domain: "bank.example", Selector: selector, Signer: st.key,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		HeaderKeys: []string{"From", "Date", "Subject"}})
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return b.String(), nil
}
