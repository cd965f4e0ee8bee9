package dnstest

import (
	"net"

	"github.com/miekg/dns"
)

// packet is something that is sent.
type packet struct {
	raw     []byte
	strange bool // from another port than the server's
}

// answer gives what is sent for a query, in this order.
func (s *Server) answer(query []byte, tcp bool) []packet {
	q := new(dns.Msg)
	if q.Unpack(query) != nil || q.Response || len(q.Question) != 1 {
		return nil
	}
	f, z, lost := s.count(q.Question[0], tcp)
	if lost {
		return nil
	}
	s.wait(f.delay, f.gate)
	if f.raw != nil {
		if raw := f.raw(query, tcp); raw != nil {
			return []packet{{raw: raw}}
		}
		return nil
	}
	m := z.reply(q, f)
	if !tcp {
		cut(m, q, f)
	}
	whole, err := m.Pack()
	if err != nil {
		return nil
	}
	if tcp {
		return []packet{{raw: whole}}
	}
	return append(forge(f.forged, q, query, whole), packet{raw: whole})
}

// reply is the whole answer to q.
func (z *zones) reply(q *dns.Msg, f fault) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable, m.Compress = true, true
	if q.IsEdns0() != nil {
		m.SetEdns0(1232, false)
	}
	if f.rcode != dns.RcodeSuccess {
		m.Rcode = f.rcode
		return m
	}
	z.fill(m, f.bare)
	return m
}

// cut makes an answer fit for a datagram (RFC 1035 section 4.2.1, RFC 6891 section 6.2.5).
func cut(m, q *dns.Msg, f fault) {
	if f.truncate {
		m.Answer, m.Ns, m.Truncated = nil, nil, true
		return
	}
	size := dns.MinMsgSize
	if opt := q.IsEdns0(); opt != nil {
		size = max(size, int(opt.UDPSize()))
	}
	m.Truncate(size)
}

// forge gives what is sent before the true answer.
func forge(kinds []Forgery, q *dns.Msg, query, answer []byte) (all []packet) {
	for _, k := range kinds {
		switch k {
		case Junk:
			all = append(all, packet{}, packet{raw: []byte{0}}, packet{raw: []byte("no message at all")})
		case NoAnswer:
			all = append(all, packet{raw: query})
		case Duplicate:
			all = append(all, packet{raw: answer})
		default:
			all = append(all, packet{falseAnswer(k, q), k == Stranger})
		}
	}
	return all
}

// falseAnswer is an answer to another query than q.
func falseAnswer(k Forgery, q *dns.Msg) []byte {
	m := new(dns.Msg)
	m.SetReply(q)
	switch k {
	case WrongID:
		m.Id++
	case WrongName:
		m.Question[0].Name = "other." + m.Question[0].Name
	case WrongType:
		m.Question[0].Qtype = dns.TypeHINFO
	}
	h := dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 3600}
	m.Answer = append(m.Answer, &dns.A{Hdr: h, A: net.IPv4(192, 0, 2, 66)})
	raw, err := m.Pack()
	if err != nil {
		return nil
	}
	return raw
}
