package main

import "slices"

// Who sends in the samples of checks; demoZone says what the DNS knows of them.
const (
	bankHost    = "198.51.100.20"
	forwardHost = "198.51.100.40"
	listHost    = "198.51.100.50"
	listedHost  = "203.0.113.99" // on the block list
	partnerHost = "203.0.113.98" // on the block list too
)

const (
	pills = "offers@cheap-pills.example"
	bank  = "The bank <info@bank.example>"
)

// checkSamples are those that the checks of the policy decide about.
func checkSamples() []sample {
	return slices.Concat(forgeries(), bystanders(), newcomers())
}

// forgeries are samples of senders who are not who they say they are, or are known too well; and of the same kinds of mail from
// senders who are.
func forgeries() []sample {
	return []sample{
		{
			title: "A sender that SPF forbids", client: stranger, verdict: "rejected",
			about: "The bank lists in the DNS who may send for it (RFC 7208). This is not one of them.",
			steps: []step{say("EHLO mail.cheap-pills.example"), say("MAIL FROM:<info@bank.example>", "RCPT TO:<amy@example.com>")},
			says:  []string{"550 5.7.23 SPF: 203.0.113.66 is not allowed to send for bank.example", "the check spf decided"},
		},
		{
			title: "A sender that SPF doubts", client: stranger, verdict: "tagged", stored: 1,
			about: "A softfail: the club is not sure itself, so the mail is let in, with a mark that a mail program can sort by.",
			steps: []step{say("EHLO mail.cheap-pills.example"), envelopeFrom("chair@club.example", "amy@example.com"),
				content(letterFrom("The chair <chair@club.example>", "Meeting", "On Monday."))},
			says:  []string{"the check spf tagged it"},
			shows: []string{"X-Spam: Yes", "X-Spam-Reason: spf; softfail", "spf=softfail"},
		},
		{
			title: "A listed client", client: listedHost, verdict: "rejected",
			about: "SPF has nothing against it: the domain is the spammer's own. A block list knows the address.",
			steps: []step{say("EHLO mail.cheap-pills.example"), say("MAIL FROM:<"+pills+">", "RCPT TO:<amy@example.com>")},
			says:  []string{"550 5.7.1 203.0.113.99 is listed at bl.demo.example", "the check dnsbl decided"},
		},
		{
			title: "A borrowed author", client: stranger, verdict: "rejected",
			about: "The envelope is the spammer's own and passes SPF. But people read From, and there the bank asks to refuse what " +
				"neither SPF nor DKIM proves (DMARC, RFC 9989).",
			steps: []step{say("EHLO mail.cheap-pills.example"), envelopeFrom(pills, "amy@example.com"),
				content(letterFrom(bank, "Your account is locked", "Tell us your password."))},
			says: []string{"550 5.7.1 Neither SPF nor DKIM proves that this message is from bank.example", "the check dmarc decided"},
		},
		{
			title: "A forged Authentication-Results", client: shop, verdict: "accepted", stored: 1,
			about: "The field in our name would be believed by the mail server, so it is taken out (RFC 8601 section 5); one in another's " +
				"name stays.",
			steps: []step{say("EHLO mail.shop.example"), envelope("amy@example.com"),
				content("Authentication-Results: mx.example.com;\r\n\tdkim=pass header.d=bank.example\r\n" +
					"Authentication-Results: mail.shop.example; auth=pass\r\n" + letter("Trust me", "I am the bank."))},
			shows: []string{"Authentication-Results: mx.example.com; iprev=pass", "dkim=none", "Authentication-Results: mail.shop.example; auth=pass"},
			lacks: []string{"dkim=pass", "bank.example"},
		},
	}
}

// bystanders are samples of good mail that a rigid policy would lose.
func bystanders() []sample {
	statement := letterFrom(bank, "Your statement", "It is ready.")
	return []sample{
		{
			title: "A signed mail", client: bankHost, verdict: "accepted", stored: 1,
			about: "The bank signs with a key that the DNS has (RFC 6376): this proves the author, and that nothing was changed.",
			steps: []step{say("EHLO mail.bank.example"), envelopeFrom("info@bank.example", "amy@example.com"), signedContent(signed{letter: statement})},
			shows: []string{"dkim=pass", "header.d=bank.example", "spf=pass", "dmarc=pass"},
		},
		{
			title: "The same, through a forwarder", client: forwardHost, verdict: "accepted", stored: 1,
			about: "SPF knows the forwarder alone, which proves nothing of the bank. The signature still does, so DMARC is content.",
			steps: []step{say("EHLO mail.alumni.example"), envelopeFrom("amy+bank.example@alumni.example", "amy@example.com"),
				signedContent(signed{letter: statement})},
			shows: []string{"spf=pass smtp.mailfrom=alumni.example", "dkim=pass", "dmarc=pass"},
		},
		{
			title: "The same, through a mailing list", client: listHost, verdict: "tagged", stored: 1,
			about: "The footer of the list breaks the signature, and the bank asks to refuse such mail. A List-Id speaks for a list, so it is " +
				"tagged instead (RFC 9989 section 7.4).",
			steps: []step{say("EHLO mail.lists.example"), envelopeFrom("talk-bounces@lists.example", "amy@example.com"),
				signedContent(signed{letter: statement, top: "List-Id: Money talk <talk.lists.example>\r\n",
					bottom: "-- \r\nTo leave the list, write to talk-leave@lists.example\r\n"})},
			says:  []string{"the check dmarc tagged it"},
			shows: []string{"dkim=fail", "dmarc=fail", "X-Spam-Reason: dmarc; fail-reject-indirect", "List-Id: Money talk"},
		},
		{
			title: "A partner on the block list", client: partnerHost, verdict: "accepted", stored: 1,
			about: "A rule of the config spares partner.example the block list, where SPF proves the name.",
			steps: []step{say("EHLO mail.partner.example"), envelopeFrom("anna@partner.example", "bob@example.com"),
				content(letterFrom("Anna <anna@partner.example>", "The contract", "Signed."))},
			says: []string{"203.0.113.98 is listed at bl.demo.example, but the rule partner spared it the check dnsbl"},
		},
		{
			title: "Only the name of the partner", client: listedHost, verdict: "rejected",
			about: "Without the proof the rule does not hold, or anyone could claim the name.",
			steps: []step{say("EHLO mail.partner.example"), say("MAIL FROM:<anna@partner.example>", "RCPT TO:<bob@example.com>")},
			says:  []string{"550 5.7.1 203.0.113.99 is listed at bl.demo.example"},
		},
		{
			title: "What a monitored check would do", client: shop, verdict: "accepted", stored: 1,
			about: "The sender's domain does not exist. The check that sees it only watches (mode = \"monitor\"), so the mail goes on, and the " +
				"record says what enforcing would have done.",
			steps: []step{say("EHLO mail.shop.example"), envelopeFrom("noreply@no-such.example", "amy@example.com"),
				content(letterFrom("Nobody <noreply@no-such.example>", "Do not answer", "You could not."))},
			says: []string{"were it enforced, the check senderdomain would have rejected it: 550 5.1.8"},
		},
	}
}
