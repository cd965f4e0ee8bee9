package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// udpSize is the largest datagram we take: it passes without fragments nearly everywhere (DNS flag day 2020).
const udpSize = 1232

var (
	errNotOurs = errors.New("not an answer to our question")
	errBroken  = errors.New("broken answer")
)

// overWire is the exchanger of New. A server that knows no EDNS is asked again without (RFC 6891 section 7), each time.
func overWire(ctx context.Context, server netip.AddrPort, q question) (*dns.Msg, error) {
	m, err := send(ctx, server, q, withEDNS)
	if err == nil && knowsNoEDNS(m) {
		return send(ctx, server, q, withoutEDNS)
	}
	return m, err
}

// send sends a query over UDP, and over TCP where the answer is too long for a datagram.
func send(ctx context.Context, server netip.AddrPort, q question, e edns) (*dns.Msg, error) {
	query, err := pack(q, e)
	if err != nil {
		return nil, err
	}
	m, err := overUDP(ctx, server, query, q)
	if err != nil || !m.Truncated {
		return m, err
	}
	return overTCP(ctx, server, query, q) // RFC 7766 section 5: cut off, so asked again.
}

// edns says whether a query has the OPT record of RFC 6891.
type edns bool

const (
	withEDNS    edns = true
	withoutEDNS edns = false
)

// knowsNoEDNS says whether a server may refuse a query for its OPT record alone: it says FORMERR, some say NOTIMP, and has no such record
// in its answer.
func knowsNoEDNS(m *dns.Msg) bool {
	return (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) && m.IsEdns0() == nil
}

// pack makes a query: a random id, recursion desired, and where e has it the size of datagram we take.
func pack(q question, e edns) ([]byte, error) {
	m := dns.Msg{
		MsgHdr:   dns.MsgHdr{Id: dns.Id(), RecursionDesired: true},
		Question: []dns.Question{{Name: q.name + ".", Qtype: q.qtype, Qclass: dns.ClassINET}},
	}
	if e {
		m.SetEdns0(udpSize, false)
	}
	return m.Pack()
}

// overUDP sends a query from a port of its own, which the system picks at random: with the id, this is what a forger must
// guess (RFC 5452 section 9.2). The connected socket takes datagrams of the server alone. What doesn't answer the query
// is dropped, and the wait goes on.
func overUDP(ctx context.Context, server netip.AddrPort, query []byte, q question) (*dns.Msg, error) {
	conn, err := new(net.Dialer).DialUDP(ctx, "udp", netip.AddrPort{}, server)
	if err != nil {
		return nil, fmt.Errorf("UDP: %w", err)
	}
	defer func() { _ = conn.Close() }()
	defer endWith(ctx, conn)()
	if _, err := conn.Write(query); err != nil {
		return nil, fmt.Errorf("UDP: %w", err)
	}
	buf := make([]byte, udpSize+1)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, fmt.Errorf("UDP: %w", err)
		}
		if n > udpSize {
			buf[2] |= 2 // TC (RFC 1035 section 4.1.1): the server doesn't heed our size, and what is over it is lost.
		}
		m, err := read(buf[:n], query, q)
		if !errors.Is(err, errNotOurs) {
			return m, err
		}
	}
}

// overTCP sends a query over a connection of its own (RFC 7766 section 8: two octets of length first).
func overTCP(ctx context.Context, server netip.AddrPort, query []byte, q question) (*dns.Msg, error) {
	conn, err := new(net.Dialer).DialTCP(ctx, "tcp", netip.AddrPort{}, server)
	if err != nil {
		return nil, fmt.Errorf("TCP: %w", err)
	}
	defer func() { _ = conn.Close() }()
	defer endWith(ctx, conn)()
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
	if _, err := conn.Write(framed); err != nil {
		return nil, fmt.Errorf("TCP: %w", err)
	}
	raw, err := readFrame(conn)
	if err != nil {
		return nil, fmt.Errorf("TCP: %w", err)
	}
	m, err := read(raw, query, q)
	if err == nil && m.Truncated {
		return nil, errBroken // There is no longer form to ask for.
	}
	return m, err
}

func readFrame(conn io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(conn, raw)
	return raw, err
}

// endWith has conn fail as soon as ctx ends, in time or before; release it once that doesn't matter any more.
func endWith(ctx context.Context, conn net.Conn) (release func() bool) {
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// read reads the answer to a query. The error is errNotOurs for what may come from anyone: another id, no answer at all,
// another question (none will do for FORMERR). A message that is cut off has nothing but its Truncated of use.
func read(raw, query []byte, q question) (*dns.Msg, error) {
	const header = 12
	if len(raw) < header || raw[0] != query[0] || raw[1] != query[1] {
		return nil, errNotOurs // Not worth a look.
	}
	m := new(dns.Msg)
	err := m.Unpack(raw)
	lost := len(m.Question) == 0 && knowsNoEDNS(m) // It could not read the query, so it doesn't repeat the question.
	if !m.Response || m.Opcode != dns.OpcodeQuery || !lost && !asks(m.Question, q) {
		return nil, errNotOurs
	}
	if m.Truncated { // The last record may be there in part.
		return m, nil
	}
	if err != nil || !whole(m, raw) {
		return nil, errBroken
	}
	return m, nil
}

// whole says whether m has as many records as its header tells: the library takes a message that ends early for a whole
// one.
func whole(m *dns.Msg, raw []byte) bool {
	for i, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		if len(section) != int(binary.BigEndian.Uint16(raw[6+2*i:])) { // RFC 1035 section 4.1.1
			return false
		}
	}
	return true
}

// asks says whether the question of an answer is ours (RFC 5452 section 9.1: name, type and class).
func asks(qs []dns.Question, q question) bool {
	return len(qs) == 1 && qs[0].Qtype == q.qtype && qs[0].Qclass == dns.ClassINET &&
		strings.EqualFold(strings.TrimSuffix(qs[0].Name, "."), q.name)
}
