package greylist

import (
	"strings"

	"gatepost/policy"
)

// normal is a sender as it is counted: the parts that differ from mail to mail are gone, so the same sender is the same text. Case
// is too. It is for counting and for reading alone; no mail can be sent to it.
//
//	prvs=2153ab47=amy@shop.example                   amy@shop.example                  BATV
//	SRS0=7Qhc=2H=shop.example=amy@fwd.example        srs=shop.example=amy@fwd.example  SRS
//	news-return-1234-user=home.example@shop.example  news-return-#-user=home.example@shop.example
//	amy+orders@shop.example                          amy@shop.example
func normal(m policy.Mailbox) string {
	local := strings.ToLower(m.Local)
	local = plainBATV(local)
	local = plainSRS(local)
	local = plainTag(local)
	return plainNumbers(local) + "@" + strings.ToLower(m.Domain)
}

// plainMailbox is an address in lower case.
func plainMailbox(m policy.Mailbox) string { return strings.ToLower(m.String()) }

// plainBATV takes the signature off "prvs=SIGNATURE=local" (draft-levine-smtp-batv) and "btv1==SIGNATURE==local".
func plainBATV(local string) string {
	if rest, ok := strings.CutPrefix(local, "btv1=="); ok {
		if _, inner, ok := strings.Cut(rest, "=="); ok && inner != "" {
			return inner
		}
	}
	if rest, ok := strings.CutPrefix(local, "prvs="); ok {
		if _, inner, ok := strings.Cut(rest, "="); ok && inner != "" {
			return inner
		}
	}
	return local
}

// plainSRS takes hashes and the day off a rewritten sender: "SRS0=HASH=DAY=domain=local", or "SRS1=HASH=forwarder==HASH=DAY=domain=local". What
// follows the "SRS0" may be "=", "+" or "-".
func plainSRS(local string) string {
	if len(local) < 6 || !strings.ContainsRune("=+-", rune(local[4])) {
		return local
	}
	rest := local[5:]
	switch local[:4] {
	case "srs1":
		_, inner, ok := strings.Cut(rest, "==")
		if !ok {
			return local
		}
		rest = inner
	case "srs0":
	default:
		return local
	}
	parts := strings.SplitN(rest, "=", 4)
	if len(parts) < 4 {
		return local
	}
	return "srs=" + parts[2] + "=" + parts[3]
}

// plainTag takes "+tag" off; what is VERP behind a "+" goes with it, as the recipient is counted by itself.
func plainTag(local string) string {
	if i := strings.IndexByte(local, '+'); i > 0 {
		return local[:i]
	}
	return local
}

// longWord is how many characters make a word that nobody chose.
const longWord = 20

// plainNumbers puts "#" for each word with a digit in it, and for each very long one: a serial number, a day, a hash.
func plainNumbers(local string) string {
	var b strings.Builder
	for local != "" {
		n := strings.IndexAny(local, "-=_./")
		if n < 0 {
			n = len(local)
		}
		switch word := local[:n]; {
		case len(word) >= longWord || strings.ContainsAny(word, "0123456789"):
			b.WriteByte('#')
		default:
			b.WriteString(word)
		}
		if n < len(local) {
			b.WriteByte(local[n])
			n++
		}
		local = local[n:]
	}
	return b.String()
}
