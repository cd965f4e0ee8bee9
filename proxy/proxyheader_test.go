package proxy_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"

	"gatepost/proxy"
	"gatepost/proxy/backend"
)

// v2 is a PROXY header, version 2.
func v2(t *testing.T, local bool, source string) string {
	t.Helper()
	from := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(source))
	h := proxyproto.HeaderProxyFromAddrs(2, from, &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 25})
	if from.IP.To4() == nil {
		h = proxyproto.HeaderProxyFromAddrs(2, from, &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 25})
	}
	if local {
		h = &proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	}
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestProxyHeader: a trusted peer's header says who the client is; a bad one, or none, ends the connection (hazards 72, 73).
func TestProxyHeader(t *testing.T) {
	const signature = "\r\n\r\n\x00\r\nQUIT\n"
	tests := []struct{ name, header, client string }{
		{"v1", "PROXY TCP4 203.0.113.9 192.0.2.1 1234 25\r\n", "203.0.113.9"},
		{"v1, IPv6", "PROXY TCP6 2001:db8::9 2001:db8::1 1234 25\r\n", "2001:db8::9"},
		{"v1, mapped", "PROXY TCP6 ::ffff:203.0.113.9 ::ffff:192.0.2.1 1234 25\r\n", "203.0.113.9"},
		{"v1, unknown", "PROXY UNKNOWN\r\n", "127.0.0.1"},
		{"v1, unknown with addresses", "PROXY UNKNOWN 203.0.113.9 192.0.2.1 1234 25\r\n", "127.0.0.1"},
		{"v2", v2(t, false, "203.0.113.9:1234"), "203.0.113.9"},
		{"v2, IPv6", v2(t, false, "[2001:db8::9]:1234"), "2001:db8::9"},
		{"v2, local", v2(t, true, "203.0.113.9:1234"), "127.0.0.1"},
		{"v1 over 107 octets", "PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n", ""},
		{"v1 without an end", "PROXY TCP4 " + strings.Repeat("1", 5000), ""},
		{"v1, no address", "PROXY TCP4 a b 1 2\r\n", ""},
		{"v1, port out of range", "PROXY TCP4 203.0.113.9 192.0.2.1 99999 25\r\n", ""},
		{"v2 with the length 65535", signature + "\x21\x11\xff\xff" + strings.Repeat("x", 5000), ""},
		{"v2 too short for its addresses", signature + "\x21\x11\x00\x01x", ""},
		{"v2, another version", signature + "\x31\x11\x00\x0c" + strings.Repeat("x", 12), ""},
		{"a command", "EHLO client.example\r\n", ""},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 200), ""},
	}
	p := start(t, behind(t, backend.Settings{}), &proxy.Listener{Name: "smtp", ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	defer p.stop()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, p.dial(t))
			c.send(test.header)
			if test.client == "" {
				c.closed()
			} else {
				c.want("220 ")
				c.quit()
			}
			want := test.client
			if want == "" {
				want = "127.0.0.1"
			}
			r := <-p.records
			if got := r.Client.String(); got != want || test.client == "" && (len(r.Faults) != 1 || r.Faults[0] != "proxy-header") {
				t.Errorf("client %s, want %s; faults %q", got, want, r.Faults)
			}
		})
	}
}

// TestProxyHeaderThenCommands: what comes in one packet with the header is not lost.
func TestProxyHeaderThenCommands(t *testing.T) {
	p := start(t, behind(t, backend.Settings{}), &proxy.Listener{Name: "smtp", ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	defer p.stop()
	for _, header := range []string{"PROXY TCP4 203.0.113.9 192.0.2.1 1234 25\r\n", v2(t, false, "203.0.113.9:1234")} {
		c := newClient(t, p.dial(t))
		c.send(header + "NOOP\r\nQUIT\r\n")
		c.want("220 ", "250 ", "221 ")
		c.closed()
	}
}

// TestProxyHeaderLimits: the limit of one client is that of the real one.
func TestProxyHeaderLimits(t *testing.T) {
	s := behind(t, backend.Settings{})
	s.Limits.PerClient = 1
	p := start(t, s, &proxy.Listener{Name: "smtp", ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	defer p.stop()
	from := func(source, want string) *client {
		c := newClient(t, p.dial(t))
		c.send(v2(t, false, source))
		c.want(want)
		return c
	}
	one := from("203.0.113.9:1", "220 ")
	other := from("203.0.113.10:1", "220 ")
	from("203.0.113.9:2", "421 4.7.0 ").closed()
	six := from("[2001:db8:0:1::1]:1", "220 ")
	from("[2001:db8:0:1::2]:1", "421 4.7.0 ").closed() // one /64 is one client
	next := from("[2001:db8:0:2::1]:1", "220 ")
	for _, c := range []*client{one, other, six, next} {
		c.quit()
	}
}

// peered is a pipe whose other end has an address.
type peered struct{ net.Conn }

func (peered) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP("192.0.2.9"), Port: 1} }

// TestSlowProxyHeader: a trusted peer has 5 s for its header, and none where it says that it has no end (hazard 72).
func TestSlowProxyHeader(t *testing.T) {
	tests := []struct {
		name, sent string
		at         time.Duration
	}{
		{"nothing comes", "", 5 * time.Second},
		{"half of one comes: a sender sends it whole, in one segment", "PROXY TCP4 203.0.113.9", 0}, // PROXY protocol section 2
		{"one of 65535 octets is announced", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff", 0},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			p := newServer(behind(t, backend.Settings{}))
			ours, theirs := net.Pipe()
			go p.server.ServeConn(peered{theirs}, &proxy.Listener{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
			began := time.Now()
			c := newClient(t, ours)
			c.send(test.sent)
			c.closed()
			if took := time.Since(began); took != test.at {
				t.Errorf("%s: it took %v, want %v", test.name, took, test.at)
			}
		})
	}
}

// TestXClientBehindProxyHeader: whom a PROXY header names is no front, however much the one who sent the header is trusted (hazard 74).
func TestXClientBehindProxyHeader(t *testing.T) {
	nets := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	p := start(t, behind(t, backend.Settings{}), &proxy.Listener{Name: "smtp", ProxyFrom: nets, XClientFrom: nets})
	defer p.stop()
	for _, test := range []struct{ from, reply string }{
		{"203.0.113.9", "550 "},
		{"127.0.0.3", "220 "},
	} {
		c := newClient(t, p.dial(t))
		c.send("PROXY TCP4 " + test.from + " 192.0.2.1 1234 25\r\n")
		c.want("220 ")
		c.send("EHLO front.example\r\n")
		if offer := c.reply(); strings.Contains(offer, "XCLIENT") != (test.reply == "220 ") {
			t.Errorf("%s is offered %q", test.from, offer)
		}
		c.say("XCLIENT ADDR=192.0.2.99", test.reply)
		c.quit()
	}
}

// TestXClientLimits: the limit of one client is that of the one whom XCLIENT names, and a front has none.
func TestXClientLimits(t *testing.T) {
	s := behind(t, backend.Settings{})
	s.Limits.PerClient = 1
	p := start(t, s, &proxy.Listener{Name: "smtp", XClientFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	defer p.stop()
	fronts := []*client{p.client(t), p.client(t), p.client(t)}
	fronts[0].say("XCLIENT ADDR=203.0.113.9", "220 ")
	fronts[1].say("XCLIENT ADDR=203.0.113.10", "220 ")
	fronts[2].say("XCLIENT ADDR=203.0.113.9", "421 4.7.0 ")
	fronts[2].closed()
	fronts[0].say("XCLIENT ADDR=203.0.113.11", "220 ") // it stands for another one now
	again := p.client(t)
	again.say("XCLIENT ADDR=203.0.113.9", "220 ")
	again.quit()
	fronts[0].quit()
	fronts[1].quit()
}
