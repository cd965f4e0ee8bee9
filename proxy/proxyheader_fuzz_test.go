package proxy_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatepost/proxy"
	"gatepost/proxy/backend"
)

const v2Signature = "\r\n\r\n\x00\r\nQUIT\n"

// FuzzProxyHeader sends any bytes as a peer whose PROXY header is believed. The session ends, and the client in its record is
// the one that the header names; else it is the peer, and where the header is bad there is no banner (hazards 72, 73).
func FuzzProxyHeader(f *testing.F) {
	for _, seed := range []string{
		"", "PROXY TCP4 203.0.113.9 192.0.2.1 1234 25\r\n", "PROXY TCP6 2001:db8::9 2001:db8::1 1234 25\r\nQUIT\r\n", "PROXY UNKNOWN x\r\n",
		"PROXY TCP6 ::ffff:203.0.113.9 ::1 1 2\r\n", "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "EHLO x\r\n",
		v2Signature + "\x21\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x01\x04\xd2\x00\x19QUIT\r\n", v2Signature + "\x20\x00\x00\x00", v2Signature + "\x20\x11\x00\x0c" + strings.Repeat("\x09", 12),
		v2Signature + "\x21\x21\x00\x24" + strings.Repeat("\x20", 36), v2Signature + "\x21\x31\x00\xd8" + strings.Repeat("s", 216),
		v2Signature + "\x21\x12\x00\x0c" + strings.Repeat("\x09", 12), v2Signature + "\x21\x11\x00\x0f" + strings.Repeat("\x09", 15),
		v2Signature + "\x21\x11\xff\xff", v2Signature + "\x21\x11\x07\xf0" + strings.Repeat("\x09", 2032),
	} {
		f.Add([]byte(seed))
	}
	s := behind(f, backend.Settings{})
	s.Limits.PerClient = 1 << 30
	p := newServer(s)
	from := &proxy.Listener{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	f.Fuzz(func(t *testing.T, in []byte) {
		ours, theirs := net.Pipe()
		done, read := make(chan struct{}), make(chan []byte, 1)
		go func() { defer close(done); p.server.ServeConn(peered{theirs}, from) }()
		go func() { b, _ := io.ReadAll(ours); read <- b }()
		ours.SetDeadline(time.Now().Add(patience))
		ours.Write(in) // fails where the session ends before
		ours.Close()
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatal("the session does not end")
		}
		<-read
		r := <-p.records
		named, good := headerNames(in)
		if bad := len(r.Faults) > 0 && r.Faults[0] == "proxy-header"; bad && r.Client != peer || !bad && (!good || r.Client != named) {
			t.Fatalf("client %s, faults %q; the header names %s, %v", r.Client, r.Faults, named, good)
		}
	})
}

var peer = netip.MustParseAddr("192.0.2.9")

// headerNames reads a PROXY header by the letter of its protocol: the client it names, or the peer where it names none.
func headerNames(in []byte) (netip.Addr, bool) {
	if rest, ok := strings.CutPrefix(string(in), v2Signature); ok {
		return binaryNames(rest)
	}
	line, _, ok := strings.Cut(string(in), "\r\n")
	if !ok || len(line) > 105 {
		return peer, false
	}
	if line == "PROXY UNKNOWN" || strings.HasPrefix(line, "PROXY UNKNOWN ") {
		return peer, true
	}
	w := strings.Split(line, " ")
	if len(w) != 6 || w[0] != "PROXY" {
		return peer, false
	}
	a, err := netip.ParseAddr(w[2])
	if err != nil || a.Zone() != "" || w[1] != map[bool]string{true: "TCP4", false: "TCP6"}[a.Is4()] {
		return peer, false
	}
	return a.Unmap(), true
}

// binaryNames is headerNames for version 2, behind the signature.
func binaryNames(in string) (netip.Addr, bool) {
	if len(in) < 4 {
		return peer, false
	}
	size := int(binary.BigEndian.Uint16([]byte(in[2:])))
	if body := in[4:]; size <= len(body) && in[0] == 0x21 {
		switch {
		case in[1] == 0x11 && size >= 12:
			return netip.AddrFrom4([4]byte([]byte(body[:4]))), true
		case in[1] == 0x21 && size >= 36:
			return netip.AddrFrom16([16]byte([]byte(body[:16]))).Unmap(), true
		case in[1] == 0x11 || in[1] == 0x21 || in[1] == 0:
			return peer, false
		}
		return peer, true // no TCP: nothing that could be a client's address
	}
	return peer, size <= len(in)-4 && in[0] == 0x20
}
