package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gatepost/policy"
)

const latencyConfig = `[policy]
checks = ["dnsbl", "spf", "dkim", "dmarc"]
[check.dnsbl]
zone."one.test" = {}
zone."two.test" = {}
zone."three.test" = {}
`

const latencyZone = `
2.0.0.127.one.test.   A 127.0.0.2
2.0.0.127.two.test.   A 127.0.0.2
2.0.0.127.three.test. A 127.0.0.2
$ORIGIN example.
shop                      TXT "v=spf1 ip4:203.0.113.0/24 -all"
mail.shop                 TXT "v=spf1 ip4:203.0.113.0/24 -all"
_dmarc.shop               TXT "v=DMARC1; p=reject"
mail._domainkey.shop      TXT "v=DKIM1; k=ed25519; p=KEY"
mail._domainkey.news.shop TXT "v=DKIM1; k=ed25519; p=KEY"
`

// beforeRcpt is what is asked while the envelope comes in: all of it at once.
func beforeRcpt() []string {
	return []string{"9.113.0.203.one.test A", "9.113.0.203.two.test A", "9.113.0.203.three.test A", "shop.example TXT", "mail.shop.example TXT"}
}

// TestLatency counts the round trips to the DNS that a sender waits for: those before RCPT is answered, and those before the end of data
// is. Without checks there are none; two are to be enough. No answer of a trip
// comes before all of its questions are asked, so a question that waits for another one's answer fails the test.
func TestLatency(t *testing.T) {
	tests := []struct {
		name, author, signer, body string
		trips                      [][]string
	}{
		{"an author with a record", "shop.example", "shop.example", "Text.\r\n", [][]string{beforeRcpt(),
			{"mail._domainkey.shop.example TXT", "_dmarc.shop.example TXT"}}},
		// RFC 9989 section 4.10: the names above count where the author's own has no record; all are asked at once.
		{"an author below a domain with a record", "news.shop.example", "news.shop.example", "Text.\r\n", [][]string{beforeRcpt(),
			{"mail._domainkey.news.shop.example TXT", "_dmarc.news.shop.example TXT", "_dmarc.shop.example TXT", "_dmarc.example TXT"}}},
		// Alignment wants the organization of the domain that signs, which stands in the header.
		{"signed by a domain below", "shop.example", "news.shop.example", "Text.\r\n", [][]string{beforeRcpt(),
			{"mail._domainkey.news.shop.example TXT", "_dmarc.news.shop.example TXT", "_dmarc.shop.example TXT"}}},
		// The content is read no further than the buffers reach before the key of the signature is there.
		{"large content", "shop.example", "shop.example", strings.Repeat("0123456789abcdef\r\n", 20_000), [][]string{beforeRcpt(),
			{"mail._domainkey.shop.example TXT", "_dmarc.shop.example TXT"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := newPolicyStage(t, latencyZone, latencyConfig)
			st.prove(t)
			told := st.inTrips(t, tt.author, tt.signer, tt.body, tt.trips)
			if !slices.ContainsFunc(told, func(l string) bool { return strings.HasPrefix(l, "END 250") }) {
				t.Errorf("told %q", told)
			}
			st.allPass(t)
		})
	}
}

// prove lets the block lists prove themselves, which they do once an hour: a first sender waits for it.
func (st *policyStage) prove(t *testing.T) {
	t.Helper()
	s := &caseSender{}
	first := senderSession{client: "203.0.113.99", transactions: []transactionOf{{helo: "[203.0.113.99]", from: "<>", rcpts: []string{"<unknown@example.com>"}}}}
	if err := s.play(st.address, first); err != nil {
		t.Fatal(err)
	}
}

// inTrips sends a mail while the answers of the DNS are held back: those of a trip come when all its questions are asked. It gives the
// replies that the sender was given.
func (st *policyStage) inTrips(t *testing.T, author, signer, body string, trips [][]string) []string {
	t.Helper()
	s := &caseSender{mail: "From: amy@" + author + "\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@shop.example>\r\n\r\n" + body}
	mail := transactionOf{helo: "mail.shop.example", from: "<amy@shop.example>", rcpts: []string{"<amy@example.com>"},
		mail: dressing{signs: []string{"d=" + signer}}}
	release := st.dns.Hold("")
	defer func() { release() }()
	done := make(chan error, 1)
	go func() {
		done <- s.play(st.address, senderSession{client: "203.0.113.9", transactions: []transactionOf{mail}})
	}()
	for i, trip := range trips {
		st.awaitQuestions(t, i+1, trip)
		next := st.dns.Hold("")
		release()
		release = next
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return s.told
}

// awaitQuestions waits until all questions of a trip are asked.
func (st *policyStage) awaitQuestions(t *testing.T, trip int, questions []string) {
	t.Helper()
	const patience = 5 * time.Second // less than a look-up has
	for late := time.After(patience); ; {
		asked := st.dns.Queries()
		missing := slices.DeleteFunc(slices.Clone(questions), func(q string) bool { return asked[q] > 0 })
		if len(missing) == 0 {
			return
		}
		select {
		case <-late:
			t.Fatalf("not asked in round trip %d: %q", trip, missing)
		case <-time.After(time.Millisecond):
		}
	}
}

// allPass wants a pass of every check: else the trips were those of another path.
func (st *policyStage) allPass(t *testing.T) {
	t.Helper()
	all := st.all()
	for _, f := range all[len(all)-1].Findings {
		if f.Outcome != policy.Pass {
			t.Errorf("%s %s%s", f.Check, f.Outcome, factsText(f))
		}
	}
}
