package mailsink

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

func (c *session) mail(arg, line string) error {
	path, params, bad := parsePath(arg, "FROM:")
	own := "250 2.1.0 Ok"
	switch {
	case c.helo == "":
		own = "503 5.5.1 EHLO first"
	case c.mailed:
		own = "503 5.5.1 Nested MAIL"
	case bad != "":
		own = bad
	default:
		own = cmp.Or(c.checkMail(params), checkASCII(path, has(params, "SMTPUTF8")), own)
	}
	sent, err := c.answer(StageMail, line, own)
	if err == nil && class(sent) == '2' {
		c.begin(path, params, line)
	}
	return err
}

// begin opens a transaction.
func (c *session) begin(path, params, line string) {
	c.clear()
	c.mailed, c.utf8 = true, has(params, "SMTPUTF8")
	c.binary = strings.EqualFold(value(params, "BODY"), "BINARYMIME")
	c.tx = Message{From: path, FromParams: params, Commands: []string{line}}
}

func (c *session) rcpt(arg, line string) error {
	path, params, bad := parsePath(arg, "TO:")
	own := "250 2.1.5 Ok"
	switch {
	case !c.mailed:
		own = "503 5.5.1 MAIL first"
	case c.chunked:
		// RFC 3030 section 2: no recipient behind the first chunk.
		own = "503 5.5.1 BDAT has begun"
	case bad != "":
		own = bad
	case path == "":
		own = "501 5.1.3 A recipient has an address"
	default:
		own = cmp.Or(c.checkRcpt(params), checkASCII(path, c.utf8), c.checkUser(path), own)
	}
	sent, err := c.answer(StageRcpt, line, own)
	if err == nil && c.mailed && class(sent) == '2' {
		c.tx.Recipients = append(c.tx.Recipients, Recipient{Address: path, Params: params})
	}
	return err
}

// parsePath takes "FROM:<a@b.example> X=1" apart into address and parameters; bad is the reply where it is not of that form.
func parsePath(arg, keyword string) (address, params, bad string) {
	bad = "501 5.5.4 Syntax: " + keyword + "<address>"
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", "", bad
	}
	rest := arg[len(keyword):]
	end := pathEnd(rest)
	if end < 0 {
		return "", "", bad
	}
	address, params = rest[1:end], rest[end+1:]
	if params != "" && params[0] != ' ' {
		return "", "", bad
	}
	return address, strings.TrimSpace(params), ""
}

// pathEnd finds the '>' that closes the '<' at the start of s, or gives -1.
func pathEnd(s string) int {
	if s == "" || s[0] != '<' {
		return -1
	}
	quoted := false
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++ // RFC 5321 section 4.1.2: quoted-pairSMTP
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '>' && !quoted:
			return i
		}
	}
	return -1
}

// checkMail gives the reply to parameters of MAIL that cannot be taken; "" where all can.
func (c *session) checkMail(params string) string {
	if bad := c.known(params, map[string]string{
		"SIZE":     "SIZE",     // RFC 1870
		"BODY":     "8BITMIME", // RFC 6152
		"SMTPUTF8": "SMTPUTF8", // RFC 6531
		"RET":      "DSN",      // RFC 3461
		"ENVID":    "DSN",
	}); bad != "" {
		return bad
	}
	if strings.EqualFold(value(params, "BODY"), "BINARYMIME") && !c.announces("BINARYMIME") {
		return "555 5.5.4 BINARYMIME was not announced"
	}
	if !has(params, "SIZE") {
		return ""
	}
	size, err := strconv.ParseUint(value(params, "SIZE"), 10, 63)
	if err != nil {
		return "501 5.5.4 SIZE wants a number"
	}
	if c.sink.MaxSize > 0 && int64(size) > c.sink.MaxSize {
		return "552 5.3.4 Message too large"
	}
	return ""
}

func (c *session) checkRcpt(params string) string {
	// RFC 3461 section 4
	return c.known(params, map[string]string{"NOTIFY": "DSN", "ORCPT": "DSN"})
}

// known refuses parameters that no announced extension allows; allowed gives the extension of each.
func (c *session) known(params string, allowed map[string]string) string {
	seen := make(map[string]bool)
	for _, p := range strings.Fields(params) {
		key, _, _ := strings.Cut(p, "=")
		key = strings.ToUpper(key)
		// RFC 5321 section 4.1.1.11: 555 for a parameter that is not recognized.
		if extension, ok := allowed[key]; !ok || !c.esmtp || !c.announces(extension) {
			return "555 5.5.4 Unknown parameter " + key
		}
		if seen[key] {
			return "501 5.5.4 " + key + " given twice"
		}
		seen[key] = true
	}
	return ""
}

func (c *session) checkUser(address string) string {
	if c.sink.Users == nil || c.sink.Users[strings.ToLower(address)] {
		return ""
	}
	return fmt.Sprintf("550 5.1.1 <%s>: Recipient address rejected: User unknown", address)
}

// checkASCII refuses an address that wants SMTPUTF8 where that was not asked for.
func checkASCII(address string, utf8 bool) string {
	if utf8 {
		return ""
	}
	for i := range len(address) {
		if address[i] >= 0x80 {
			// RFC 6531 section 3.5
			return "553 5.6.7 Address wants SMTPUTF8"
		}
	}
	return ""
}

// value gives what stands behind key= in params; the last one where there are several.
func value(params, key string) (v string) {
	for _, p := range strings.Fields(params) {
		if k, after, _ := strings.Cut(p, "="); strings.EqualFold(k, key) {
			v = after
		}
	}
	return v
}

func has(params, key string) bool {
	for _, p := range strings.Fields(params) {
		if k, _, _ := strings.Cut(p, "="); strings.EqualFold(k, key) {
			return true
		}
	}
	return false
}
