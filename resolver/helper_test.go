package resolver

import (
	"net"

	"github.com/miekg/dns"
)

// answering makes a Raw of what f does with the answer without records.
func answering(f func(m *dns.Msg, tcp bool)) func(query []byte, tcp bool) []byte {
	return func(query []byte, tcp bool) []byte {
		q, m := new(dns.Msg), new(dns.Msg)
		if q.Unpack(query) != nil {
			return nil
		}
		m.SetReply(q)
		m.Compress = true
		f(m, tcp)
		raw, err := m.Pack()
		if err != nil {
			return nil
		}
		return raw
	}
}

// servFailFor fails for one type, and gives 192.0.2.66 for another.
func servFailFor(qtype string) func(query []byte, tcp bool) []byte {
	return answering(func(m *dns.Msg, _ bool) {
		q := m.Question[0]
		if dns.TypeToString[q.Qtype] == qtype {
			m.Rcode = dns.RcodeServerFailure
			return
		}
		h := dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}
		m.Answer = append(m.Answer, &dns.A{Hdr: h, A: net.IPv4(192, 0, 2, 66)})
	})
}
