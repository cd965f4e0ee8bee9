package smtp

import "strconv"

// MailParams are the parameters of MAIL.
type MailParams struct {
	Size       int64  // SIZE= of RFC 1870, octets; -1 where not given
	Body       Body   // BODY= of RFC 6152 and 3030
	UTF8       bool   // SMTPUTF8 of RFC 6531
	Ret        string // RET= of RFC 3461: "", "FULL" or "HDRS"
	EnvID      string // ENVID= of RFC 3461, xtext as sent
	RequireTLS bool   // REQUIRETLS of RFC 8689
}

// Body is the BODY parameter of MAIL.
type Body uint8

// The values of BODY; BodyUnset where the sender gave none.
const (
	BodyUnset Body = iota
	Body7Bit
	Body8BitMIME
	BodyBinaryMIME
)

// String is the value as it stands behind BODY=; "" for BodyUnset.
func (b Body) String() string {
	switch b {
	case Body7Bit:
		return "7BIT"
	case Body8BitMIME:
		return "8BITMIME"
	case BodyBinaryMIME:
		return "BINARYMIME"
	}
	return ""
}

// RcptParams are the parameters of RCPT (RFC 3461 section 4).
type RcptParams struct {
	Notify string // NEVER, or SUCCESS, FAILURE, DELAY (in this order) joined by commas, upper case; "" where not given
	ORcpt  string // addr-type;xtext as sent; "" where not given
}

// Offer says which extensions EHLO offered in this session; a parameter of one that was not offered is 555 5.5.4.
type Offer struct {
	Size, EightBit, UTF8, Chunking, Binary, DSN, RequireTLS bool
}

// The refusals of MAIL and RCPT.
var (
	errMailSyntax   error = Reply{501, "5.5.4 Syntax: MAIL FROM:<address>"}
	errRcptSyntax   error = Reply{501, "5.5.4 Syntax: RCPT TO:<address>"}
	errSender       error = Reply{501, "5.1.7 The sender's address is malformed or too long"}
	errRecipient    error = Reply{501, "5.1.3 The recipient's address is malformed or too long"}
	errNeedsUTF8    error = Reply{553, "5.6.7 An address that is not ASCII wants SMTPUTF8 in MAIL"}
	errParamValue   error = Reply{501, "5.5.4 A parameter is malformed, given twice or has a bad value"}
	errParamUnknown error = Reply{555, "5.5.4 A parameter is not supported here"}
)

// ParseMail reads the argument of MAIL: "FROM:<path> params" (RFC 5321 section 4.1.1.2). White space after the colon is
// let pass. Source routes are read and dropped (appendix C). The reply in err is
// 501 5.5.4 for bad syntax, 501 5.1.7 for a bad address or one over its limits (section 4.5.3.1: local part 64, domain 255, path 256), 553 5.6.7 for bytes over 127
// without SMTPUTF8 (RFC 6531 section 3.5), 501 5.5.4 for a parameter given twice or with a bad value, 555 5.5.4 for an unknown parameter,
// 500 5.5.2 for what ParseCommand would not let pass.
// Values of xtext (AUTH, ENVID, ORCPT) must be xtext and must not decode to a control byte: else 501 5.5.4. AUTH= is checked so, and then unknown.
func ParseMail(arg []byte, offer Offer) (Address, MailParams, error) {
	path, params, err := cutPath(arg, "FROM:", errMailSyntax, errSender)
	if err != nil {
		return Address{}, MailParams{}, err
	}
	if path.Domain == "" && !path.IsNull() {
		return Address{}, MailParams{}, errSender
	}
	p := MailParams{Size: -1}
	for len(params) > 0 {
		var next param
		if next, params = cutParam(params); !next.ok() {
			return Address{}, MailParams{}, errParamValue
		}
		if err := p.set(next, offer); err != nil {
			return Address{}, MailParams{}, err
		}
	}
	if path.eightBit && !p.UTF8 {
		return Address{}, MailParams{}, errNeedsUTF8
	}
	return path.Address, p, nil
}

// ParseRcpt reads the argument of RCPT: "TO:<path> params" (RFC 5321 section 4.1.1.3). <postmaster> in any case stands
// without a domain (section 4.5.1). utf8 says that MAIL had SMTPUTF8. Replies as for ParseMail, with 501 5.1.3 for a bad address.
func ParseRcpt(arg []byte, offer Offer, utf8 bool) (Address, RcptParams, error) {
	path, params, err := cutPath(arg, "TO:", errRcptSyntax, errRecipient)
	if err != nil {
		return Address{}, RcptParams{}, err
	}
	if path.Domain == "" && !isFold([]byte(path.Local), "POSTMASTER") {
		return Address{}, RcptParams{}, errRecipient
	}
	if path.eightBit && !utf8 {
		return Address{}, RcptParams{}, errNeedsUTF8
	}
	var p RcptParams
	for len(params) > 0 {
		var next param
		if next, params = cutParam(params); !next.ok() {
			return Address{}, RcptParams{}, errParamValue
		}
		if err := p.set(next, offer, utf8); err != nil {
			return Address{}, RcptParams{}, err
		}
	}
	return path.Address, p, nil
}

// path is a path as it was read.
type path struct {
	Address
	eightBit bool // a byte over 127 stands in it, be it in the source route
}

// cutPath reads the keyword and the path at the start of arg and returns what stands behind them.
func cutPath(arg []byte, keyword string, syntax, address error) (path, []byte, error) {
	if !isLegal(arg) {
		return path{}, nil, errBadBytes
	}
	if !hasFoldPrefix(arg, keyword) {
		return path{}, nil, syntax
	}
	arg = trimBlanks(arg[len(keyword):])
	if len(arg) == 0 || arg[0] != '<' {
		return path{}, nil, syntax
	}
	a, n, ok := parsePath(arg)
	if !ok {
		return path{}, nil, address
	}
	rest := trimBlanks(arg[n:])
	if len(rest) > 0 && len(rest) == len(arg[n:]) {
		return path{}, nil, syntax
	}
	return path{a, !isASCII(arg[:n])}, rest, nil
}

// AppendMail adds "MAIL FROM:<...> params CR LF" to dst with the parameters that the server's caps allow, in the form a
// strict server takes. size is sent in place of p.Size where the server has SIZE and size is over 0.
func AppendMail(dst []byte, from Address, p MailParams, caps Caps, size int64) []byte {
	dst = append(dst, "MAIL FROM:<"...) // RFC 5321 section 4.1.1.2: no space behind the colon
	dst = append(from.append(dst), '>')
	if size <= 0 {
		size = p.Size
	}
	if caps.HasSize && size >= 0 {
		dst = append(dst, " SIZE="...)
		dst = strconv.AppendInt(dst, size, 10)
	}
	if p.Body != BodyUnset && caps.takesBody(p.Body) {
		dst = appendParam(dst, " BODY=", p.Body.String())
	}
	if p.UTF8 && caps.UTF8 {
		dst = append(dst, " SMTPUTF8"...)
	}
	if caps.DSN {
		dst = appendParam(dst, " RET=", p.Ret)
		dst = appendParam(dst, " ENVID=", p.EnvID)
	}
	if p.RequireTLS && caps.RequireTLS {
		dst = append(dst, " REQUIRETLS"...)
	}
	return append(dst, "\r\n"...)
}

// takesBody: BINARYMIME is RFC 3030's, the others are RFC 6152's.
func (c Caps) takesBody(b Body) bool {
	if b == BodyBinaryMIME {
		return c.Binary
	}
	return c.EightBit
}

// AppendRcpt adds "RCPT TO:<...> params CR LF" to dst with the parameters that caps allow.
func AppendRcpt(dst []byte, to Address, p RcptParams, caps Caps) []byte {
	dst = append(dst, "RCPT TO:<"...)
	dst = append(to.append(dst), '>')
	if caps.DSN {
		dst = appendParam(dst, " NOTIFY=", p.Notify)
		if caps.UTF8 || isASCII(p.ORcpt) { // RFC 6533 section 3: UTF-8 in ORCPT goes with SMTPUTF8 alone
			dst = appendParam(dst, " ORCPT=", p.ORcpt)
		}
	}
	return append(dst, "\r\n"...)
}

// appendParam adds a parameter that has a value.
func appendParam(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, key...)
	return append(dst, value...)
}
