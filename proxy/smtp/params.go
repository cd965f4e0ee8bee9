package smtp

import "bytes"

// The limits of RFC 3461, in octets.
const (
	maxEnvID = 100 // section 4.4
	maxORcpt = 500 // section 4.2
)

// param is one parameter of MAIL or RCPT: "keyword" or "keyword=value" (RFC 5321 section 4.1.2, esmtp-param).
type param struct {
	key, value []byte
	hasValue   bool
}

// cutParam takes the first parameter off b.
func cutParam(b []byte) (p param, rest []byte) {
	word, rest := nextWord(b)
	p.key, p.value, p.hasValue = bytes.Cut(word, []byte{'='})
	return p, rest
}

// ok says whether keyword and value have the right form: letters, digits and hyphens, and a value that is not empty and has
// no second "=".
func (p param) ok() bool {
	if len(p.key) == 0 || p.key[0] == '-' || p.hasValue && len(p.value) == 0 {
		return false
	}
	for _, c := range p.key {
		if !isAlnum(c) && c != '-' {
			return false
		}
	}
	return bytes.IndexByte(p.value, '=') < 0
}

// set takes in one parameter of MAIL.
func (p *MailParams) set(next param, offer Offer) error {
	switch {
	case offer.Size && isFold(next.key, "SIZE"):
		return check(p.setSize(next))
	case (offer.EightBit || offer.Binary) && isFold(next.key, "BODY"):
		return check(p.setBody(next, offer))
	case offer.UTF8 && isFold(next.key, "SMTPUTF8"):
		return check(setFlag(&p.UTF8, next))
	case offer.DSN && isFold(next.key, "RET"):
		return check(p.setRet(next))
	case offer.DSN && isFold(next.key, "ENVID"):
		return check(p.setEnvID(next))
	case offer.RequireTLS && isFold(next.key, "REQUIRETLS"):
		return check(setFlag(&p.RequireTLS, next))
	case isFold(next.key, "AUTH") && !isXtext(next.value):
		return errParamValue
	}
	return errParamUnknown // RFC 5321 section 4.1.1.11
}

// check is the refusal of a parameter whose value did not fit.
func check(ok bool) error {
	if !ok {
		return errParamValue
	}
	return nil
}

// setFlag sets a parameter that has no value and may be given once.
func setFlag(flag *bool, next param) bool {
	ok := !*flag && !next.hasValue
	*flag = true
	return ok
}

func (p *MailParams) setSize(next param) (ok bool) {
	if p.Size >= 0 {
		return false
	}
	p.Size, ok = parseDigits(next.value, 20) // RFC 1870 section 3
	return ok
}

func (p *MailParams) setBody(next param, offer Offer) bool {
	if p.Body != BodyUnset {
		return false
	}
	switch {
	case offer.EightBit && isFold(next.value, "7BIT"):
		p.Body = Body7Bit
	case offer.EightBit && isFold(next.value, "8BITMIME"):
		p.Body = Body8BitMIME
	case isFold(next.value, "BINARYMIME"): // where it was not offered, the caller has a better reply than 501
		p.Body = BodyBinaryMIME
	}
	return p.Body != BodyUnset
}

func (p *MailParams) setRet(next param) bool {
	if p.Ret != "" {
		return false
	}
	switch {
	case isFold(next.value, "FULL"):
		p.Ret = "FULL"
	case isFold(next.value, "HDRS"):
		p.Ret = "HDRS"
	}
	return p.Ret != ""
}

func (p *MailParams) setEnvID(next param) bool {
	if p.EnvID != "" || len(next.value) > maxEnvID || !isXtext(next.value) {
		return false
	}
	p.EnvID = string(next.value)
	return true
}

// set takes in one parameter of RCPT. utf8 says that MAIL had SMTPUTF8.
func (p *RcptParams) set(next param, offer Offer, utf8 bool) error {
	switch {
	case offer.DSN && isFold(next.key, "NOTIFY"):
		return check(p.setNotify(next))
	case offer.DSN && isFold(next.key, "ORCPT"):
		return check(p.setORcpt(next, utf8))
	}
	return errParamUnknown // RFC 5321 section 4.1.1.11
}

// notices are the values of NOTIFY: the index has a bit for each of SUCCESS, FAILURE and DELAY.
var notices = [8]string{
	"", "SUCCESS", "FAILURE", "SUCCESS,FAILURE", "DELAY", "SUCCESS,DELAY", "FAILURE,DELAY", "SUCCESS,FAILURE,DELAY",
}

// setNotify: RFC 3461 section 4.1, NEVER stands alone.
func (p *RcptParams) setNotify(next param) bool {
	if p.Notify != "" {
		return false
	}
	if isFold(next.value, "NEVER") {
		p.Notify = "NEVER"
		return true
	}
	set := 0
	for rest, more := next.value, true; more; {
		var word []byte
		word, rest, more = bytes.Cut(rest, []byte{','})
		switch {
		case isFold(word, "SUCCESS"):
			set |= 1
		case isFold(word, "FAILURE"):
			set |= 2
		case isFold(word, "DELAY"):
			set |= 4
		default:
			return false
		}
	}
	p.Notify = notices[set]
	return true
}

// setORcpt: RFC 3461 section 4.2, an atom for the type of the address, a semicolon, the address in xtext.
func (p *RcptParams) setORcpt(next param, utf8 bool) bool {
	if p.ORcpt != "" || len(next.value) > maxORcpt {
		return false
	}
	kind, addr, found := bytes.Cut(next.value, []byte{';'})
	if !found || len(kind) == 0 || len(addr) == 0 || !isASCII(kind) {
		return false
	}
	for _, c := range kind {
		if !isAtext(c) {
			return false
		}
	}
	ok := isXtext(addr)
	if isFold(kind, "UTF-8") {
		ok = isUTF8Addr(addr, utf8)
	}
	if ok {
		p.ORcpt = string(next.value)
	}
	return ok
}
