package resolver

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	maxRecords = 100 // in the answer section; more is taken for an attack, but for PTR, where the first ones do
	maxChain   = 8   // CNAME records followed for a question
)

var (
	errChain   = errors.New("CNAME records in a loop, or too many of them")
	errRecords = errors.New("too many records")
)

// answer is what the servers said to a question. It isn't changed once made: callers get copies of its slices.
type answer struct {
	txts  []string
	addrs []netip.Addr
	mxs   []MX
	hosts []string

	missing *net.DNSError // set where none of the above is
	exists  bool          // the name asked for is there, with or without the type asked for
	ttl     time.Duration // as the servers have it; 0: not to be kept
	size    int           // octets of the records, about
}

// alias is how far the CNAME records of one or more messages lead away from the name asked for.
type alias struct {
	name string        // where they lead
	hops int           // how many there were
	ttl  time.Duration // the least of them
}

// follow walks the CNAME records in rrs. It stops where there are records of the type wanted.
func (a *alias) follow(rrs []dns.RR, qtype uint16) error {
	for {
		next, ok := target(rrs, a.name, qtype)
		if !ok {
			return nil
		}
		a.name, a.hops = trimmed(next.Target), a.hops+1
		a.ttl = min(a.ttl, seconds(next.Hdr.Ttl))
		if a.hops > maxChain {
			return errChain
		}
	}
}

// target gives the CNAME record of a name that has none of the type wanted.
func target(rrs []dns.RR, name string, qtype uint16) (found *dns.CNAME, ok bool) {
	for _, rr := range rrs {
		if !belongs(rr, name) {
			continue
		}
		if rr.Header().Rrtype == qtype {
			return nil, false
		}
		if c, is := rr.(*dns.CNAME); is && found == nil {
			found = c
		}
	}
	return found, found != nil
}

// belongs says whether rr is a record of a name.
func belongs(rr dns.RR, name string) bool {
	h := rr.Header()
	return h.Class == dns.ClassINET && len(h.Name) == len(name)+1 && strings.EqualFold(h.Name[:len(name)], name)
}

// seconds gives a TTL. RFC 2181 section 8: one with the first bit set is zero.
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

// dangling says whether a message ends in a CNAME record and leaves open what its target has: it has neither records of
// it nor the SOA record that would say that there are none (RFC 2308 section 2.2).
func dangling(m *dns.Msg, at alias, qtype uint16) bool {
	if at.hops == 0 || m.Rcode != dns.RcodeSuccess || soa(m) != nil {
		return false
	}
	return !slices.ContainsFunc(m.Answer, func(rr dns.RR) bool {
		return rr.Header().Rrtype == qtype && belongs(rr, at.name)
	})
}

// distil makes an answer of the message that has the records of at, where the question q led. It holds copies: nothing of
// m stays in memory.
func distil(m *dns.Msg, q question, at alias) (*answer, error) {
	if len(m.Answer) > maxRecords && q.qtype != dns.TypePTR {
		return nil, errRecords
	}
	a := &answer{ttl: at.ttl}
	found := false
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == q.qtype && belongs(rr, at.name) {
			a.add(rr)
			a.ttl, found = min(a.ttl, seconds(rr.Header().Ttl)), true
		}
	}
	slices.SortStableFunc(a.mxs, func(x, y MX) int { return cmp.Compare(x.Pref, y.Pref) })
	// RFC 6604 section 3: the response code is about the end of the chain; a name with a CNAME record exists.
	a.exists = found || at.hops > 0 || m.Rcode == dns.RcodeSuccess
	if a.size == 0 {
		a.lacks(m, q, found)
	}
	return a, nil
}

// add adds what a record of the type wanted says. Names that no host can have are left out.
func (a *answer) add(rr dns.RR) {
	switch rr := rr.(type) {
	case *dns.A:
		a.addAddr(rr.A.To4())
	case *dns.AAAA:
		a.addAddr(rr.AAAA)
	case *dns.TXT:
		// A message, so a record and all records together, has no more than 64 KiB.
		text := unescape(strings.Join(rr.Txt, "")) // RFC 7208 section 3.3: without a space.
		a.txts, a.size = append(a.txts, text), a.size+len(text)+16
	case *dns.MX:
		if host, ok := hostName(rr.Mx); ok {
			a.mxs, a.size = append(a.mxs, MX{Host: host, Pref: rr.Preference}), a.size+len(host)+24
		}
	case *dns.PTR:
		if host, ok := hostName(rr.Ptr); ok && host != "" && len(a.hosts) < maxPTR {
			a.hosts, a.size = append(a.hosts, host), a.size+len(host)+16
		}
	}
}

func (a *answer) addAddr(ip net.IP) {
	if addr, ok := netip.AddrFromSlice(ip); ok {
		a.addrs, a.size = append(a.addrs, addr), a.size+24
	}
}

// lacks makes a the answer that there is nothing. found: there were records, of no use.
func (a *answer) lacks(m *dns.Msg, q question, found bool) {
	text := "no records of this type"
	if m.Rcode == dns.RcodeNameError {
		text = "no such name"
	}
	a.missing = notFound(q.name, text)
	if found {
		return
	}
	// RFC 2308 section 5: it is kept for the lesser of the SOA record's TTL and its MINIMUM field. Without a SOA record it should not be kept, lest
	// two servers hand it to each other for ever. We hand it to nobody, and zones of a local server, as block lists are, often have none.
	s := soa(m)
	if s == nil {
		a.ttl = min(a.ttl, bareTTL)
		return
	}
	a.ttl = min(a.ttl, seconds(s.Hdr.Ttl), seconds(s.Minttl))
}

func soa(m *dns.Msg) *dns.SOA {
	for _, rr := range m.Ns {
		if s, ok := rr.(*dns.SOA); ok {
			return s
		}
	}
	return nil
}

// unescape gives the bytes of a string that the DNS library has written as in a zone file: \" and \\, and \200 for a byte
// that isn't printable.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
		} else if c, ok := decimal(s[i+1:]); ok {
			b, i = append(b, c), i+3
		} else {
			b, i = append(b, s[i+1]), i+1
		}
	}
	return string(b)
}

// decimal reads the three digits that s begins with.
func decimal(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s[:3]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return byte(n), n < 256
}
