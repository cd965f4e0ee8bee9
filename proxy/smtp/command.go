package smtp

import "net/netip"

// Verb is an SMTP command word.
type Verb uint8

// The verbs that are known; Unknown is every other word.
const (
	Unknown Verb = iota
	Helo
	Ehlo
	Mail
	Rcpt
	Data
	Bdat
	Rset
	Noop
	Vrfy
	Help
	Quit
	StartTLS
	Expn
	Etrn
	Turn
	Atrn
	Send
	Soml
	Saml
	Auth
	Xclient
)

// verbs are the words of the verbs. None is the start of another.
var verbs = [...]string{
	Unknown: "UNKNOWN", Helo: "HELO", Ehlo: "EHLO", Mail: "MAIL", Rcpt: "RCPT", Data: "DATA", Bdat: "BDAT", Rset: "RSET",
	Noop: "NOOP", Vrfy: "VRFY", Help: "HELP", Quit: "QUIT", StartTLS: "STARTTLS", Expn: "EXPN", Etrn: "ETRN", Turn: "TURN",
	Atrn: "ATRN", Send: "SEND", Soml: "SOML", Saml: "SAML", Auth: "AUTH", Xclient: "XCLIENT",
}

// The refusals of command lines.
var (
	errBadBytes error = Reply{500, "5.5.2 The command holds control characters or text that is not UTF-8"}
	errVerbTail error = Reply{501, "5.5.4 A space must follow the command word"}
	errHelo     error = Reply{501, "5.5.2 Syntax: HELO or EHLO, then one host name or [address]"}
	errBdat     error = Reply{501, "5.5.4 Syntax: BDAT size [LAST]"}
)

// String is the verb in upper case; "UNKNOWN" for what is none.
func (v Verb) String() string {
	if int(v) >= len(verbs) {
		v = Unknown
	}
	return verbs[v]
}

// ParseCommand splits a command line into its verb and its argument (RFC 5321 section 4.1.1). Verbs are matched in any
// case; white space at the end of the argument is dropped. A word that starts with a known verb (STARTTLSxyz) gives that
// verb and a 501 5.5.4 as error; any other word is Unknown. A line with bytes below 32 or 127 (tab excepted) is a 500 5.5.2;
// so is one whose bytes over 127 are not UTF-8 or are controls of Latin-1. It does not allocate.
func ParseCommand(line []byte) (verb Verb, arg []byte, err error) {
	if !isLegal(line) {
		return Unknown, nil, errBadBytes
	}
	for len(line) > 0 && isBlank(line[len(line)-1]) {
		line = line[:len(line)-1]
	}
	word, arg := nextWord(line)
	verb = findVerb(word)
	if verb != Unknown && len(word) > len(verbs[verb]) {
		return verb, nil, errVerbTail
	}
	return verb, arg, nil
}

// findVerb is the verb that word starts with (RFC 5321 section 2.4: in any case).
func findVerb(word []byte) Verb {
	for v := Helo; int(v) < len(verbs); v++ {
		if hasFoldPrefix(word, verbs[v]) {
			return v
		}
	}
	return Unknown
}

// ParseHelo checks the argument of HELO or EHLO as [ParseCommand] gives it: one domain or address literal (RFC 5321 section 4.1.3), at most 255
// octets of printable ASCII or UTF-8. Lax on what real clients send (underscores, a
// trailing dot, a bare IP address, an IPv6 literal without its tag, a name without dots): such names pass here, a policy may
// look closer. Anything else is 501 5.5.2.
func ParseHelo(arg []byte) (name string, err error) {
	if len(arg) == 0 || len(arg) > maxDomain {
		return "", errHelo
	}
	name = string(arg)
	if inner, ok := bracketed(name); ok && (isLiteral(name) || isAddr(inner)) {
		return name, nil
	}
	if isHeloName(arg) || isAddr(name) {
		return name, nil
	}
	return "", errHelo
}

// isHeloName says whether b is labels parted by dots, with a dot at the end let pass.
func isHeloName(b []byte) bool {
	size := 0 // of the label
	for _, c := range b {
		switch {
		case isLabelByte(c):
			size++
		case c == '.' && size > 0:
			size = 0
		default:
			return false
		}
	}
	return true
}

// isAddr says whether s is an IP address without a zone.
func isAddr(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

// ParseBdat reads "size [LAST]" (RFC 3030 section 2): decimal digits only, at most 19 of them. Else 501 5.5.4.
func ParseBdat(arg []byte) (size int64, last bool, err error) {
	digits, rest := nextWord(arg)
	size, ok := parseDigits(digits, 19)
	last = isFold(rest, "LAST")
	if !ok || len(rest) > 0 && !last {
		return 0, false, errBdat
	}
	return size, last, nil
}
