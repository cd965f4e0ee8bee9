package spf

import (
	"context"
	"errors"
	"net"
	"strings"

	blitiri "blitiri.com.ar/go/spf"
)

// asked is a resolver that notes what it was asked.
type asked struct {
	dns     blitiri.DNSResolver
	n       int
	records int    // SPF records read
	record  string // the first of them
}

// maxRecord bounds a record: the library's time for a macro grows with the square of its length.
const maxRecord = 8 << 10

// Errors of a record. They are permanent, as any error but a *net.DNSError is to the library.
var (
	errLargeRecord = errors.New("SPF record too large")
	errNotASCII    = errors.New("SPF record is not printable ASCII")
)

// LookupTXT gives the TXT records of a name.
func (a *asked) LookupTXT(ctx context.Context, name string) ([]string, error) {
	a.n++
	txts, err := a.dns.LookupTXT(ctx, fit(name))
	for _, txt := range txts {
		if !isRecord(txt) {
			continue
		}
		if a.records++; a.record == "" {
			a.record = txt
		}
		if broken := form(txt); broken != nil {
			return nil, broken
		}
	}
	return txts, err
}

// form is the error of a record that the library must not see.
func form(record string) error {
	if len(record) > maxRecord {
		return errLargeRecord
	}
	for _, c := range []byte(record) {
		if c < ' ' || c > '~' { // RFC 7208 section 3.1
			return errNotASCII
		}
	}
	return nil
}

// isRecord says whether a TXT record is an SPF record (RFC 7208 section 4.5).
func isRecord(txt string) bool {
	version, _, _ := strings.Cut(txt, " ")
	return strings.EqualFold(version, "v=spf1")
}

// LookupMX gives the MX records of a name.
func (a *asked) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	a.n++
	return a.dns.LookupMX(ctx, fit(name))
}

// LookupIPAddr gives the addresses of a host.
func (a *asked) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	a.n++
	return a.dns.LookupIPAddr(ctx, fit(host))
}

// LookupAddr gives the names of an address.
func (a *asked) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	a.n++
	return a.dns.LookupAddr(ctx, addr)
}

// fit is a name without so many labels on its left that it is short enough (RFC 7208 section 7.3); a macro can make it too long.
func fit(name string) string {
	for len(name) > 253 {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			break
		}
		name = rest
	}
	return name
}
