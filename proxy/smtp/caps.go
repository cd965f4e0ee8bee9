package smtp

import "strings"

// Caps is what a server's reply to EHLO says it can do. It is comparable.
type Caps struct {
	Pipelining bool  // RFC 2920
	EightBit   bool  // 8BITMIME, RFC 6152
	UTF8       bool  // SMTPUTF8, RFC 6531
	Enhanced   bool  // ENHANCEDSTATUSCODES, RFC 2034
	Chunking   bool  // RFC 3030
	Binary     bool  // BINARYMIME, RFC 3030
	DSN        bool  // RFC 3461
	StartTLS   bool  // RFC 3207
	RequireTLS bool  // RFC 8689
	HasSize    bool  // SIZE, RFC 1870
	Size       int64 // its limit in octets; 0 where none is given
	XClient    XClientAttrs
}

// XClientAttrs is the set of attributes that a server takes in XCLIENT.
type XClientAttrs uint16

// The attributes of XCLIENT.
const (
	XName XClientAttrs = 1 << iota
	XAddr
	XPort
	XProto
	XHelo
	XLogin
	XDestAddr
	XDestPort
)

// xclientNames are the names of the attributes, in the order of their bits.
var xclientNames = [...]string{"NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT"}

// ParseEHLO reads the reply to EHLO: a keyword and its parameters a line, the first line is the server's name (RFC 5321 section
// 4.1.1.1). What is unknown or broken is skipped; a reply that is not 2xx says nothing.
func ParseEHLO(r Reply) Caps {
	var c Caps
	if r.Class() != 2 {
		return c
	}
	_, lines, _ := strings.Cut(r.Text, "\n")
	for line := range strings.SplitSeq(lines, "\n") {
		if words := strings.Fields(line); len(words) > 0 {
			c.add(strings.ToUpper(words[0]), words[1:])
		}
	}
	return c
}

// add takes in one line: its keyword in upper case, its parameters as sent.
func (c *Caps) add(keyword string, params []string) {
	switch keyword {
	case "PIPELINING":
		c.Pipelining = true
	case "8BITMIME":
		c.EightBit = true
	case "SMTPUTF8":
		c.UTF8 = true
	case "ENHANCEDSTATUSCODES":
		c.Enhanced = true
	case "CHUNKING":
		c.Chunking = true
	case "BINARYMIME":
		c.Binary = true
	case "DSN":
		c.DSN = true
	case "STARTTLS":
		c.StartTLS = true
	case "REQUIRETLS":
		c.RequireTLS = true
	case "SIZE":
		c.addSize(params)
	case "XCLIENT":
		c.addXClient(params)
	}
}

// addSize: RFC 1870 section 3, no number or 0 is no limit.
func (c *Caps) addSize(params []string) {
	if len(params) == 0 {
		c.HasSize = true
		return
	}
	if n, ok := parseDigits([]byte(params[0]), 20); ok {
		c.HasSize, c.Size = true, n
	}
}

func (c *Caps) addXClient(params []string) {
	for _, p := range params {
		for i, name := range xclientNames {
			if strings.EqualFold(p, name) {
				c.XClient |= 1 << i
			}
		}
	}
}
