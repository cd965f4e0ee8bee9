package resolver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gatepost/internal/dnstest"
)

func TestWire(t *testing.T) {
	const name = "mx2.example.com"
	for _, c := range []struct {
		name  string
		fault func(s *dnstest.Server)
		want  string // the addresses, or the sort of the error
		asked int
		tcp   int
	}{
		{"as it should be", func(*dnstest.Server) {}, "[192.0.2.3]", 1, 0},
		{"forgeries first", func(s *dnstest.Server) {
			s.Forge(name, dnstest.Junk, dnstest.WrongID, dnstest.WrongName, dnstest.WrongType, dnstest.NoAnswer, dnstest.Stranger)
		}, "[192.0.2.3]", 1, 0},
		{"the answer twice", func(s *dnstest.Server) { s.Forge(name, dnstest.Duplicate) }, "[192.0.2.3]", 1, 0},
		{"the first query is lost", func(s *dnstest.Server) { s.Drop(name, 1) }, "[192.0.2.3]", 2, 0},
		{"all queries are lost", func(s *dnstest.Server) { s.Drop("", -1) }, "timeout", 3, 0},
		{"forgeries alone", func(s *dnstest.Server) {
			s.Raw(name, answering(func(m *dns.Msg, _ bool) { m.Id++ }))
		}, "timeout", 3, 0},
		{"SERVFAIL", func(s *dnstest.Server) { s.ServFail(name) }, "temporary", 1, 0},
		{"REFUSED", func(s *dnstest.Server) { s.Refuse(name) }, "temporary", 1, 0},
		{"FORMERR to EDNS", func(s *dnstest.Server) { s.Raw(name, withoutOPT(dns.RcodeFormatError, 1)) }, "[192.0.2.0]", 2, 0},
		{"NOTIMP to EDNS", func(s *dnstest.Server) { s.Raw(name, withoutOPT(dns.RcodeNotImplemented, 1)) }, "[192.0.2.0]", 2, 0},
		{"FORMERR to EDNS, and a long answer", func(s *dnstest.Server) { s.Raw(name, withoutOPT(dns.RcodeFormatError, 2)) }, "[192.0.2.0 192.0.2.1]", 3, 1},
		{"FORMERR to EDNS without the question", func(s *dnstest.Server) {
			s.Raw(name, func(query []byte, tcp bool) []byte {
				raw := withoutOPT(dns.RcodeFormatError, 1)(query, tcp)
				if raw[3]&0xF == dns.RcodeFormatError {
					return append(raw[:4], make([]byte, 8)...) // the header alone, and nothing in it
				}
				return raw
			})
		}, "[192.0.2.0]", 2, 0},
		{"FORMERR whatever comes", func(s *dnstest.Server) {
			s.Raw(name, answering(func(m *dns.Msg, _ bool) { m.Rcode = dns.RcodeFormatError }))
		}, "temporary", 2, 0},
		{"FORMERR from one who knows EDNS", func(s *dnstest.Server) {
			s.Raw(name, answering(func(m *dns.Msg, _ bool) { m.SetEdns0(1232, false).Rcode = dns.RcodeFormatError }))
		}, "temporary", 1, 0},
		{"cut off", func(s *dnstest.Server) { s.Truncate(name) }, "[192.0.2.3]", 2, 1},
		{"cut off, and nobody at TCP", func(s *dnstest.Server) { s.Truncate(name); s.RefuseTCP() }, "temporary", 3, 0},
		{"cut off at TCP too", func(s *dnstest.Server) {
			s.Raw(name, answering(func(m *dns.Msg, _ bool) { m.Truncated = true }))
		}, "temporary", 6, 3},
		{"another id at TCP", func(s *dnstest.Server) {
			s.Raw(name, answering(func(m *dns.Msg, tcp bool) {
				if m.Truncated = !tcp; tcp {
					m.Id++
				}
			}))
		}, "temporary", 6, 3},
		{"TCP ends early", func(s *dnstest.Server) {
			s.Raw(name, func(query []byte, tcp bool) []byte {
				if tcp {
					return []byte{}
				}
				return answering(func(m *dns.Msg, _ bool) { m.Truncated = true })(query, tcp)
			})
		}, "temporary", 6, 3},
		{"cut off in the middle of a record", func(s *dnstest.Server) {
			s.Raw(name, func(query []byte, tcp bool) []byte {
				raw := answering(func(m *dns.Msg, tcp bool) { addA(m, 9); m.Truncated = !tcp })(query, tcp)
				if tcp {
					return raw
				}
				return raw[:len(raw)-7]
			})
		}, firstA(9), 2, 1},
		{"ends early without a word", func(s *dnstest.Server) {
			s.Raw(name, func(query []byte, tcp bool) []byte {
				raw := answering(func(m *dns.Msg, _ bool) { addA(m, 2) })(query, tcp)
				return raw[:len(raw)-16] // a whole record
			})
		}, "temporary", 3, 0},
		{"10,000 records", func(s *dnstest.Server) {
			s.Raw(name, answering(func(m *dns.Msg, tcp bool) {
				if m.Truncated = !tcp; tcp {
					addA(m, 4000) // what has room in a message
				}
			}))
		}, "temporary", 2, 1},
		{"a pointer to itself", func(s *dnstest.Server) {
			s.Raw(name, func(query []byte, tcp bool) []byte {
				raw := answering(func(m *dns.Msg, _ bool) { addA(m, 1) })(query, tcp)
				binary.BigEndian.PutUint16(raw[len(raw)-16:], 0xC000|uint16(len(raw)-16))
				return raw
			})
		}, "temporary", 3, 0},
		{"an answer too large for a datagram of ours", func(s *dnstest.Server) {
			s.Raw(name, answering(func(m *dns.Msg, _ bool) { addA(m, 90) }))
		}, firstA(90), 2, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := dnstest.Start(t, zone)
			c.fault(s)
			r := over(t, s, Settings{Timeout: timeoutFor(c.want)})
			addrs, err := r.Addrs(background(), name, IPv4)
			got := fmt.Sprint(addrs)
			if err != nil {
				got = sort(err)
			}
			if got != c.want || s.Total() != c.asked || s.TCP() != c.tcp {
				t.Errorf("got %s (%v) after %d queries, %d of them TCP; want %s after %d, %d", got, err, s.Total(), s.TCP(), c.want, c.asked, c.tcp)
			}
		})
	}
}

// withoutOPT makes a Raw of a server from before EDNS: rcode for a query with an OPT record, else n addresses, of which one has room in a
// datagram.
func withoutOPT(rcode, n int) func(query []byte, tcp bool) []byte {
	return func(query []byte, tcp bool) []byte {
		const arcount = 11 // of a query: the OPT record alone
		return answering(func(m *dns.Msg, tcp bool) {
			if query[arcount] > 0 {
				m.Rcode = rcode
				return
			}
			addA(m, n)
			m.Truncated = n > 1 && !tcp
		})(query, tcp)
	}
}

// timeoutFor is short only where nothing will come, with room for each try on a busy machine.
func timeoutFor(want string) time.Duration {
	if want == "timeout" {
		return 10 * brief
	}
	return 0
}

// addA adds n addresses.
func addA(m *dns.Msg, n int) {
	h := dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}
	for i := range n {
		m.Answer = append(m.Answer, &dns.A{Hdr: h, A: net.IPv4(192, 0, 2, byte(i))})
	}
}

// firstA is the addresses that addA adds.
func firstA(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("192.0.2.%d", i))
	}
	return fmt.Sprint(all)
}

// A server that isn't there says so at once, by ICMP; the next one is asked.
func TestNobodyThere(t *testing.T) {
	gone, s := dnstest.Start(t, zone), dnstest.Start(t, zone)
	gone.Close()
	r, err := New(Settings{Servers: []string{gone.Addr(), s.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Addrs(background(), "mx1.example.com", IPv4)
	wantSort(t, err, "ok")
	s.Close()
	_, err = r.Addrs(background(), "mx2.example.com", IPv4)
	wantSort(t, err, "temporary")
}

// The query asks for recursion and says how large a datagram may be; its port and id are new each time.
func TestQuery(t *testing.T) {
	queries := make(chan []byte, 3)
	s := dnstest.Start(t, zone)
	s.Raw("", func(query []byte, tcp bool) []byte {
		queries <- query
		return answering(func(m *dns.Msg, _ bool) { addA(m, 0) })(query, tcp)
	})
	r := over(t, s, Settings{})
	for _, name := range []string{"a.example", "b.example", "c.example"} { // what is not there is kept for a while
		_, err := r.TXT(background(), name)
		wantSort(t, err, "not found")
	}
	ids := make(map[uint16]bool)
	for range cap(queries) {
		raw, q := <-queries, new(dns.Msg)
		if err := q.Unpack(raw); err != nil {
			t.Fatal(err)
		}
		ids[q.Id] = true
		if opt := q.IsEdns0(); !q.RecursionDesired || opt == nil || opt.UDPSize() != 1232 || opt.Do() {
			t.Errorf("got %v", q)
		}
	}
	if len(ids) < 2 { // Two in three may be the same by chance, but once in 20,000 runs.
		t.Errorf("ids: %v", ids)
	}
}

// The largest TXT answers that a message has room for.
func TestLargeTXT(t *testing.T) {
	s := dnstest.Start(t, zone)
	full := bytes.Repeat([]byte{0xFF}, 255)
	for _, strs := range []int{100, 250} {
		name := fmt.Sprintf("txt%d.example.com", strs)
		var text strings.Builder
		for range strs {
			text.WriteString(` "` + strings.Repeat(`\255`, 255) + `"`)
		}
		s.Raw(name, answering(func(m *dns.Msg, tcp bool) {
			rr, err := dns.NewRR(name + ". 60 IN TXT" + text.String())
			if err != nil {
				t.Error(err)
			}
			if m.Truncated = !tcp; tcp {
				m.Answer = append(m.Answer, rr)
			}
		}))
		got, err := over(t, s, Settings{}).TXT(background(), name)
		wantSort(t, err, "ok")
		if len(got) != 1 || got[0] != strings.Repeat(string(full), strs) {
			t.Errorf("%d strings: got %d records", strs, len(got))
		}
	}
}
