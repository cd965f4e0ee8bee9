package main

import (
	"fmt"
	"time"

	"gatepost/greylist"
	"gatepost/policy"
)

// Who is new to the greylist. The provider sends from many networks.
const (
	workshopHost = "203.0.113.130"
	providerOne  = "192.0.2.130"
	providerTwo  = "198.51.100.130"
	providerTri  = "2001:db8:b16::25"
)

// greylistDelay is the delay in the config of the demo, the shortest that there is.
const greylistDelay = time.Second

// newcomers are samples of senders who were never seen before, and have to come again. The first two wait at the same time.
func newcomers() []sample {
	hello := say("EHLO mail.workshop.example")
	provider := say("EHLO out.bigmail.example")
	return []sample{
		{
			title: "A stranger", client: workshopHost, verdict: "deferred",
			about: "example.net asks strangers to come again (greylisting, RFC 6647): mail servers do, most bots do not. This one has no SPF " +
				"record, and no name for its address; who has both never waits.",
			steps: []step{hello, say("MAIL FROM:<joe@workshop.example>", "RCPT TO:<amy@example.net>")},
			says:  []string{"451 4.7.1 Greylisted: please try again in 1 second", "the check greylist decided"},
		},
		{
			title: "A provider", client: providerOne, verdict: "deferred",
			about: "SPF proves its name, but its addresses have none.",
			steps: []step{provider, say("MAIL FROM:<lea@bigmail.example>", "RCPT TO:<amy@example.net>")},
			says:  []string{"451 4.7.1 Greylisted: please try again in 1 second"},
		},
		{
			title: "The stranger comes again", client: workshopHost, wait: greylistDelay, verdict: "accepted", stored: 1,
			about: "A second later, as it was told.",
			steps: []step{hello, envelopeFrom("joe@workshop.example", "amy@example.net"),
				content(letterFrom("Joe <joe@workshop.example>", "Your chair", "It is mended."))},
			says: []string{"the greylist saw 203.0.113.0/24 come again after "},
		},
		{
			title: "The provider, another address", client: providerTwo, verdict: "accepted", stored: 1,
			about: "It tries again from wherever it likes: all addresses that SPF proves for bigmail.example are one client, without any list.",
			steps: []step{provider, envelopeFrom("lea@bigmail.example", "amy@example.net"),
				content(letterFrom("Lea <lea@bigmail.example>", "Hello", "It is me."))},
			says: []string{"the greylist saw bigmail.example come again after "},
		},
		{
			title: "The provider, a third address", client: providerTri, verdict: "accepted", stored: 1,
			about: "Another sender, whom nobody has seen before, passes at once: the provider is known now.",
			steps: []step{provider, envelopeFrom("tom@bigmail.example", "amy@example.net"),
				content(letterFrom("Tom <tom@bigmail.example>", "Hello", "Lea gave me your address."))},
			says: []string{"the greylist knows bigmail.example"},
		},
	}
}

// seenBefore says why the greylist let a mail through, with the end of a part behind it; "" where it had nothing to ask.
func seenBefore(rc *policy.RecipientRecord) string {
	for _, f := range rc.Findings {
		if f.Check != "greylist" {
			continue
		}
		switch f.Outcome {
		case policy.Pass:
			return fmt.Sprintf("the greylist saw %s come again after %s; ", f.Fact("client"), f.Fact("waited"))
		case greylist.Known:
			return fmt.Sprintf("the greylist knows %s; ", f.Fact("client"))
		}
	}
	return ""
}
