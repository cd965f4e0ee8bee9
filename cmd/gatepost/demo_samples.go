package main

import (
	"fmt"
	"strings"
	"time"
)

// sample is one try of the demo: who sends, what is said, and what should become of it.
type sample struct {
	title   string
	about   string        // what makes it interesting; may be empty
	client  string        // the address that it comes from
	wait    time.Duration // before it comes
	steps   []step
	verdict string   // as verdictOf has it
	stored  int      // how many mails the mail server then has of it
	says    []string // pieces of replies and of the reason that must be there
	shows   []string // pieces of the header that the mail server then has, unfolded; where there are any, it is shown
	lacks   []string // pieces that must not be in it
}

const (
	shop     = "198.51.100.7" // an honest sender
	stranger = "203.0.113.66" // one that is not
)

// samples is the table; a new kind of check adds its rows to checkSamples.
func samples() []sample { return append(wireSamples(), checkSamples()...) }

// wireSamples are those that the protocol and the mail server decide about.
func wireSamples() []sample {
	hello := say("EHLO mail.shop.example")
	return []sample{
		{
			title: "An ordinary mail", client: shop, verdict: "accepted", stored: 1,
			steps: []step{hello, envelope("amy@example.com"), content(letter("Your order", "It is on its way."))},
		},
		{
			title: "A user who does not exist", client: shop, verdict: "rejected",
			about: "The mail server refuses, in its own words, while the sender is still there: nobody has to bounce anything.",
			steps: []step{hello, say("MAIL FROM:<news@shop.example>", "RCPT TO:<nobody@example.com>")},
		},
		{
			title: "One who exists, one who does not", client: shop, verdict: "1 accepted, 1 rejected", stored: 1,
			steps: []step{hello, envelope("amy@example.com", "nobody@example.com"), content(letter("To both", "Hello."))},
		},
		{
			title: "A mailbox without room", client: shop, verdict: "deferred",
			steps: []step{hello, say("MAIL FROM:<news@shop.example>", "RCPT TO:<full@example.com>")},
		},
		{
			title: "Relaying, in three disguises", client: stranger, verdict: "rejected",
			steps: []step{hello, say("MAIL FROM:<amy@example.com>", "RCPT TO:<victim@elsewhere.example>",
				"RCPT TO:<victim%elsewhere.example@example.com>", `RCPT TO:<"victim@elsewhere.example"@example.com>`)},
		},
		{
			title: "Too large", client: shop, verdict: "rejected",
			about: "First the sender says how large it is, and nothing is sent in vain (RFC 1870); then it sends it all the same.",
			steps: []step{hello, say("MAIL FROM:<news@shop.example> SIZE=1100000"), envelope("amy@example.com"),
				content(letter("Pictures", strings.TrimSuffix(strings.Repeat("R0lGODlhAQABAIAAAAUEBA=="+"\r\n", 42000), "\r\n")))},
		},
		{
			title: "An 8-bit body", client: shop, verdict: "accepted", stored: 1,
			steps: []step{hello, say("MAIL FROM:<news@shop.example> BODY=8BITMIME", "RCPT TO:<amy@example.com>", "DATA"),
				content(letter("8 bit", "Grüße aus Köln, 5 € gespart."))},
		},
		{
			title: "A sender outside ASCII", client: "2001:db8:7::1", verdict: "accepted", stored: 1,
			steps: []step{hello, say("MAIL FROM:<jörg@bücher.example> SMTPUTF8", "RCPT TO:<bob@example.com>", "DATA"),
				content(letterFrom("Jörg <jörg@bücher.example>", "RFC 6531", "Guten Tag."))},
		},
		{
			title: "BDAT in two chunks", client: shop, verdict: "accepted", stored: 1,
			about: "A lone dot is content here, not an end (RFC 3030).",
			steps: []step{hello, say("MAIL FROM:<news@shop.example>", "RCPT TO:<bob@example.com>"),
				chunk(letter("Chunks", "The first half."), false), chunk(".\r\nThe second half.\r\n", true)},
		},
		{
			title: "Under TLS", client: shop, verdict: "accepted", stored: 1,
			steps: []step{hello, startTLS(), hello, envelope("amy@example.net"), content(letter("Secret", "Nobody read this on the way."))},
		},
		{
			title: "Fifty recipients in one packet", client: shop, verdict: "accepted", stored: 1,
			steps: []step{hello, envelope(staff(50)...), content(letter("To all", "Coffee is ready."))},
		},
		{
			title: "A smuggled second mail", client: stranger, verdict: "rejected",
			about: `Behind \n. and CR LF a careless server would run the rest as commands, and take a mail that nobody judged.`,
			steps: []step{hello, envelopeFrom(pills, "amy@example.com"), content(smuggled())},
		},
		{
			title: "A CR without its LF", client: stranger, verdict: "rejected",
			steps: []step{hello, envelopeFrom(pills, "amy@example.com"), content(letter("Odd", "one\rtwo"))},
		},
		{
			title: "Talks before it is greeted", client: stranger, verdict: turnedAway,
			steps: []step{early("EHLO cheap-pills.example", "MAIL FROM:<pills@cheap-pills.example>")},
		},
	}
}

// envelope is MAIL of the shop, RCPT for each and DATA, in one packet (RFC 2920).
func envelope(to ...string) step { return envelopeFrom("news@shop.example", to...) }

// envelopeFrom is envelope of another sender.
func envelopeFrom(from string, to ...string) step {
	lines := []string{"MAIL FROM:<" + from + ">"}
	for _, a := range to {
		lines = append(lines, "RCPT TO:<"+a+">")
	}
	return say(append(lines, "DATA")...)
}

// letter is a small message of the shop (RFC 5322); body is what stands between the header and the last line end.
func letter(subject, body string) string {
	return letterFrom("Shop <news@shop.example>", subject, body)
}

// letterFrom is letter of another author.
func letterFrom(author, subject, body string) string {
	return strings.Join([]string{
		"From: " + author, "Date: Mon, 02 Nov 2026 10:00:00 +0000",
		"Subject: " + subject, "", body, "",
	}, "\r\n")
}

// smuggled is a message with a false end mark, and a second mail behind it (CVE-2023-51764).
func smuggled() string {
	return letter("Nothing to see", "Here it seems to end.\n.") + strings.Join([]string{
		"MAIL FROM:<boss@example.com>", "RCPT TO:<amy@example.com>", "DATA",
		"From: The boss <boss@example.com>", "Subject: Pay this at once", "", "Thank you.", "",
	}, "\r\n")
}

// staff gives n users of example.com.
func staff(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("staff%02d@example.com", i+1)
	}
	return all
}
