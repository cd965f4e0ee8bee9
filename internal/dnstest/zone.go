package dnstest

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

const (
	defaultTTL = 3600 // seconds; of records where the text gives none
	maxChain   = 20   // CNAME records followed for an answer; a loop ends here
)

// zones is what a text holds.
type zones struct {
	records map[string][]dns.RR // by name, in lower case, with the final dot
	names   map[string]bool     // all that exist: the above, and what lies between them and their zones' tops
}

func parse(text string) (*zones, error) {
	z := &zones{records: make(map[string][]dns.RR), names: map[string]bool{".": true}}
	p := dns.NewZoneParser(strings.NewReader(text), ".", "")
	p.SetDefaultTTL(defaultTTL)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		z.add(rr)
	}
	if err := p.Err(); err != nil {
		return nil, fmt.Errorf("zone: %w", err)
	}
	return z, z.root()
}

func (z *zones) add(rr dns.RR) {
	name := strings.ToLower(rr.Header().Name)
	z.records[name] = append(z.records[name], rr)
	// RFC 8020 section 2: what has a name below it exists.
	for n := name; n != "."; n = parent(n) {
		z.names[n] = true
	}
}

// root adds the zone of the names that no zone has.
func (z *zones) root() error {
	if z.soa(".") != nil {
		return nil
	}
	soa, err := dns.NewRR(". 60 IN SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 60")
	if err != nil {
		return err
	}
	z.records["."] = append(z.records["."], soa)
	return nil
}

func parent(name string) string {
	i, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[i:]
}

// soa gives the SOA record of the zone that a name lies in.
func (z *zones) soa(name string) dns.RR {
	for {
		for _, rr := range z.records[name] {
			if rr.Header().Rrtype == dns.TypeSOA {
				return rr
			}
		}
		if name == "." {
			return nil
		}
		name = parent(name)
	}
}

// fill puts the answer to m's question into m, the CNAME records on the way included. bare: the first of them alone.
func (z *zones) fill(m *dns.Msg, bare bool) {
	q := m.Question[0]
	name := strings.ToLower(q.Name)
	for range maxChain {
		found, exists := z.find(name)
		wanted, alias := pick(found, q.Qtype)
		m.Answer = append(m.Answer, owned(wanted, name)...)
		if len(wanted) > 0 {
			return
		}
		if alias == nil {
			// RFC 2308 section 2: the SOA record says that there is nothing.
			m.Ns = append(m.Ns, z.soa(name))
			if !exists {
				m.Rcode = dns.RcodeNameError
			}
			return
		}
		m.Answer = append(m.Answer, owned([]dns.RR{alias}, name)...)
		if bare {
			return
		}
		name = strings.ToLower(alias.Target)
	}
}

// find gives the records of a name, those of a wildcard where there is no such name (RFC 4592 section 3.3.1).
func (z *zones) find(name string) (found []dns.RR, exists bool) {
	if z.names[name] {
		return z.records[name], true
	}
	for n := name; n != "."; {
		n = parent(n)
		wild := "*." + n
		if n == "." {
			wild = "*."
		}
		if rrs, ok := z.records[wild]; ok {
			return rrs, true
		}
		if z.names[n] {
			return nil, false
		}
	}
	return nil, false
}

// pick gives the records of the type wanted, and the CNAME record there may be.
func pick(rrs []dns.RR, qtype uint16) (wanted []dns.RR, alias *dns.CNAME) {
	for _, rr := range rrs {
		if t := rr.Header().Rrtype; t == qtype || qtype == dns.TypeANY {
			wanted = append(wanted, rr)
		}
		if c, ok := rr.(*dns.CNAME); ok {
			alias = c
		}
	}
	return wanted, alias
}

// owned gives copies of records, under the name that was asked for (a wildcard's have another).
func owned(rrs []dns.RR, name string) (copies []dns.RR) {
	for _, rr := range rrs {
		c := dns.Copy(rr)
		c.Header().Name = name
		copies = append(copies, c)
	}
	return copies
}
