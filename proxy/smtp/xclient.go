package smtp

import (
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// XClient is what the XCLIENT command says of the real client. The zero value of a field is "not said".
type XClient struct {
	Addr     netip.Addr
	Port     uint16
	Name     string // host name; "[UNAVAILABLE]" and "[TEMPUNAVAIL]" as sent
	Helo     string
	Proto    string // "SMTP" or "ESMTP"
	DestAddr netip.Addr
	DestPort uint16
}

// The words that stand for a value that the peer does not have.
const (
	unavailable = "[UNAVAILABLE]"
	tempUnavail = "[TEMPUNAVAIL]"
)

var errXClient error = Reply{501, "5.5.4 Syntax: XCLIENT with NAME=value pairs in xtext, each at most once"}

// ParseXClient reads the argument of XCLIENT: NAME=value pairs in xtext, in any case, each at most once. ADDR takes
// 192.0.2.1 and IPV6:2001:db8::1; a mapped IPv4 address is unmapped. [UNAVAILABLE] and [TEMPUNAVAIL] are kept in NAME and are "not
// said" elsewhere. Unknown names, bad values, values of more than 255 octets and control bytes are 501 5.5.4.
func ParseXClient(arg []byte) (XClient, error) {
	var x XClient
	var seen XClientAttrs
	arg = trimBlanks(arg)
	if len(arg) == 0 {
		return XClient{}, errXClient
	}
	for len(arg) > 0 {
		var next param
		next, arg = cutParam(arg)
		attr := findAttr(next.key)
		value, ok := decodeXtext(next.value)
		if !ok || attr == 0 || seen&attr != 0 || !x.set(attr, value) {
			return XClient{}, errXClient
		}
		seen |= attr
	}
	return x, nil
}

// findAttr is the attribute of that name; 0 for none.
func findAttr(name []byte) XClientAttrs {
	for i, known := range xclientNames {
		if isFold(name, known) {
			return 1 << i
		}
	}
	return 0
}

// set takes in one attribute.
func (x *XClient) set(attr XClientAttrs, value string) (ok bool) {
	if value == "" || len(value) > maxDomain {
		return false
	}
	if value == unavailable || value == tempUnavail {
		if attr == XName {
			x.Name = value
		}
		return true
	}
	ok = true
	switch attr {
	case XName:
		x.Name = value
	case XHelo:
		x.Helo = value
	case XLogin: // nobody asks for it
	case XProto:
		x.Proto = strings.ToUpper(value)
		ok = x.Proto == "SMTP" || x.Proto == "ESMTP"
	case XAddr:
		x.Addr, ok = parseXAddr(value)
	case XDestAddr:
		x.DestAddr, ok = parseXAddr(value)
	case XPort:
		x.Port, ok = parsePort(value)
	case XDestPort:
		x.DestPort, ok = parsePort(value)
	}
	return ok
}

// parseXAddr reads 192.0.2.1 or IPV6:2001:db8::1.
func parseXAddr(s string) (netip.Addr, bool) {
	const tag = "IPV6:"
	tagged := len(s) > len(tag) && strings.EqualFold(s[:len(tag)], tag)
	if tagged {
		s = s[len(tag):]
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Is6() != tagged || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true // one client has one address, whatever the socket's family
}

func parsePort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil
}

// XClientCommands gives the XCLIENT command lines, CR LF included, each at most 512 octets, that tell a server with these
// attributes of x: HELO and PROTO in the first, NAME, ADDR and PORT, then the destination, behind (a server may judge the client once ADDR is
// known). Values are xtext. What was not said, holds a control character or is longer than 255 octets in xtext, which Postfix refuses, is sent
// as [UNAVAILABLE], or a server that was told of another client before would take it from that one. Of PROTO it is left out: Postfix knows
// no such value there. LOGIN is never told.
func XClientCommands(x XClient, attrs XClientAttrs) [][]byte {
	first := xclientLine{attrs: attrs}
	first.add(XHelo, x.Helo)
	first.add(XProto, x.Proto)
	second := xclientLine{attrs: attrs}
	second.add(XName, x.Name)
	second.add(XAddr, formatXAddr(x.Addr))
	second.add(XPort, formatPort(x.Port))
	second.add(XDestAddr, formatXAddr(x.DestAddr))
	second.add(XDestPort, formatPort(x.DestPort))
	var lines [][]byte
	for _, l := range []xclientLine{first, second} {
		if l.text != nil {
			lines = append(lines, append(l.text, "\r\n"...))
		}
	}
	return lines
}

// xclientLine is an XCLIENT command in the making.
type xclientLine struct {
	attrs XClientAttrs // what the server takes
	text  []byte       // nil while empty
}

// add puts in an attribute, if the server takes it.
func (l *xclientLine) add(attr XClientAttrs, value string) {
	text := appendXtext(nil, value)
	if value == "" || !isPrintable(value) || len(text) > maxDomain {
		text = []byte(unavailable)
	}
	if l.attrs&attr == 0 || attr == XProto && string(text) == unavailable {
		return
	}
	if l.text == nil {
		l.text = []byte("XCLIENT")
	}
	l.text = append(l.text, ' ')
	l.text = append(l.text, attr.name()...)
	l.text = append(l.text, '=')
	l.text = append(l.text, text...)
}

// name is the name of one attribute.
func (a XClientAttrs) name() string { return xclientNames[bits.TrailingZeros16(uint16(a))] }

func formatXAddr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	if a = a.Unmap().WithZone(""); a.Is6() {
		return "IPV6:" + a.String()
	}
	return a.String()
}

func formatPort(port uint16) string {
	if port == 0 {
		return ""
	}
	return strconv.Itoa(int(port))
}
