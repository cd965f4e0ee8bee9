package dnstest

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = `
$ORIGIN example.com.
@       300 IN SOA ns hostmaster 1 3600 600 86400 60
@           IN TXT "hello"
a.b.deep    IN A   192.0.2.1
alias       IN CNAME A.b.deep
out         IN CNAME host.example.net.
gone        IN CNAME nobody
loop        IN CNAME loop
*.wild      IN A   192.0.2.2
x.wild      IN TXT "x"
$ORIGIN example.net.
@       300 IN SOA ns hostmaster 1 3600 600 86400 60
host     60 IN A   192.0.2.3
`

// ask sends one query, and gives the response code, the answers and the zone of the SOA record.
func ask(t *testing.T, s *Server, network, name, qtype string) string {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.StringToType[qtype])
	c := dns.Client{Net: network, Timeout: 5 * time.Second}
	got, _, err := c.Exchange(m, s.Addr())
	if err != nil {
		return "error"
	}
	out := []string{dns.RcodeToString[got.Rcode]}
	if got.Truncated {
		out = append(out, "TC")
	}
	for _, rr := range got.Answer {
		f := strings.Fields(rr.String())
		out = append(out, strings.Join(slices.Concat(f[:1], f[3:]), " "))
	}
	for _, rr := range got.Ns {
		out = append(out, "SOA of "+rr.Header().Name)
	}
	return strings.Join(out, ", ")
}

func TestAnswers(t *testing.T) {
	s := Start(t, zone)
	for _, c := range []struct{ name, qtype, want string }{
		{"example.com", "TXT", `NOERROR, example.com. TXT "hello"`},
		{"EXAMPLE.com", "TXT", `NOERROR, example.com. TXT "hello"`},
		{"example.com", "A", "NOERROR, SOA of example.com."},
		{"none.example.com", "A", "NXDOMAIN, SOA of example.com."},
		{"b.deep.example.com", "A", "NOERROR, SOA of example.com."},
		{"deep.example.com", "A", "NOERROR, SOA of example.com."},
		{"c.deep.example.com", "A", "NXDOMAIN, SOA of example.com."},
		{"alias.example.com", "A", "NOERROR, alias.example.com. CNAME A.b.deep.example.com., a.b.deep.example.com. A 192.0.2.1"},
		{"alias.example.com", "TXT", "NOERROR, alias.example.com. CNAME A.b.deep.example.com., SOA of example.com."},
		{"alias.example.com", "CNAME", "NOERROR, alias.example.com. CNAME A.b.deep.example.com."},
		{"out.example.com", "A", "NOERROR, out.example.com. CNAME host.example.net., host.example.net. A 192.0.2.3"},
		{"gone.example.com", "A", "NXDOMAIN, gone.example.com. CNAME nobody.example.com., SOA of example.com."},
		{"q.wild.example.com", "A", "NOERROR, q.wild.example.com. A 192.0.2.2"},
		{"q.r.wild.example.com", "A", "NOERROR, q.r.wild.example.com. A 192.0.2.2"},
		{"x.wild.example.com", "A", "NOERROR, SOA of example.com."},
		{"q.x.wild.example.com", "A", "NXDOMAIN, SOA of example.com."},
		{"elsewhere.test", "A", "NXDOMAIN, SOA of ."},
		{"com", "A", "NOERROR, SOA of ."},
	} {
		for _, network := range []string{"udp", "tcp"} {
			if got := ask(t, s, network, c.name, c.qtype); got != c.want {
				t.Errorf("%s %s over %s:\n got %s\nwant %s", c.name, c.qtype, network, got, c.want)
			}
		}
	}
	if got := ask(t, s, "tcp", "loop.example.com", "A"); strings.Count(got, "CNAME") != maxChain {
		t.Errorf("a loop: got %s", got)
	}
}

func TestFaults(t *testing.T) {
	const want = `NOERROR, example.com. TXT "hello"`
	for _, c := range []struct {
		name     string
		fault    func(s *Server)
		udp, tcp string
	}{
		{"none", func(*Server) {}, want, want},
		{"SERVFAIL", func(s *Server) { s.ServFail("Example.com.") }, "SERVFAIL", "SERVFAIL"},
		{"refused", func(s *Server) { s.Refuse("") }, "REFUSED", "REFUSED"},
		{"one name goes before all", func(s *Server) { s.ServFail(""); s.Refuse("example.com") }, "REFUSED", "REFUSED"},
		{"another name", func(s *Server) { s.ServFail("example.net") }, want, want},
		{"mended", func(s *Server) { s.ServFail("example.com"); s.Mend("Example.com") }, want, want},
		{"cut off", func(s *Server) { s.Truncate("example.com") }, "NOERROR, TC", want},
		{"no TCP", func(s *Server) { s.RefuseTCP() }, want, "error"},
		{"bytes of ours", func(s *Server) { s.Raw("", func([]byte, bool) []byte { return []byte("ours") }) }, "error", "error"},
		{"late", func(s *Server) { s.Delay("", time.Millisecond) }, want, want},
		{"other zones", func(s *Server) { _ = s.SetZone("") }, "NXDOMAIN, SOA of .", "NXDOMAIN, SOA of ."},
		{"closed", func(s *Server) { s.Close() }, "error", "error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Start(t, zone)
			c.fault(s)
			if got := ask(t, s, "udp", "example.com", "TXT"); got != c.udp {
				t.Errorf("UDP: got %s, want %s", got, c.udp)
			}
			if got := ask(t, s, "tcp", "example.com", "TXT"); got != c.tcp {
				t.Errorf("TCP: got %s, want %s", got, c.tcp)
			}
		})
	}
}

// What is forged comes first, and the true answer comes all the same.
func TestForge(t *testing.T) {
	s := Start(t, "example.com. IN A 192.0.2.1")
	s.Forge("example.com", Junk, WrongID, WrongName, WrongType, NoAnswer, Stranger, Duplicate)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0") // takes datagrams of everyone
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	q := new(dns.Msg)
	q.SetQuestion("example.com.", dns.TypeA)
	raw, _ := q.Pack()
	server, _ := net.ResolveUDPAddr("udp", s.Addr())
	if _, err := conn.WriteTo(raw, server); err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 10 {
		got = append(got, look(t, conn, q, s.Addr()))
	}
	want := "junk, junk, junk, other id, other.example.com. A, example.com. HINFO, a query, a stranger, 192.0.2.1, 192.0.2.1"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %s\nwant %s", strings.Join(got, ", "), want)
	}
}

// look reads a datagram and says what is odd with it.
func look(t *testing.T, conn net.PacketConn, q *dns.Msg, server string) string {
	t.Helper()
	buf := make([]byte, 1500)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second)) // a guard against a test that would hang
	n, from, err := conn.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	switch {
	case from.String() != server:
		return "a stranger"
	case m.Unpack(buf[:n]) != nil:
		return "junk"
	case m.Id != q.Id:
		return "other id"
	case !m.Response:
		return "a query"
	case m.Question[0] != q.Question[0]:
		return m.Question[0].Name + " " + dns.Type(m.Question[0].Qtype).String()
	}
	return m.Answer[0].(*dns.A).A.String()
}

func TestDropAndCount(t *testing.T) {
	s := Start(t, zone)
	s.Drop("example.com", 1)
	m := new(dns.Msg)
	m.SetQuestion("Example.com.", dns.TypeTXT)
	c := dns.Client{Timeout: 50 * time.Millisecond}
	if _, _, err := c.Exchange(m, s.Addr()); err == nil {
		t.Error("the first one is answered")
	}
	ask(t, s, "udp", "example.com", "TXT")
	ask(t, s, "tcp", "example.com", "A")
	want := map[string]int{"example.com TXT": 2, "example.com A": 1}
	if got := s.Queries(); !maps.Equal(got, want) || s.Total() != 3 || s.TCP() != 1 {
		t.Errorf("got %v, %d, %d", got, s.Total(), s.TCP())
	}
}

func TestHold(t *testing.T) {
	s := Start(t, zone)
	release := s.Hold("example.com")
	got := make(chan string, 1)
	go func() { got <- ask(t, s, "udp", "example.com", "TXT") }()
	ask(t, s, "udp", "example.net", "A") // Others go on.
	select {
	case g := <-got:
		t.Errorf("got %s", g)
	default:
	}
	release()
	release()
	if g := <-got; g != `NOERROR, example.com. TXT "hello"` {
		t.Errorf("got %s", g)
	}
}

func TestBare(t *testing.T) {
	s := Start(t, zone)
	s.Bare("alias.example.com")
	if got := ask(t, s, "udp", "alias.example.com", "A"); got != "NOERROR, alias.example.com. CNAME A.b.deep.example.com." {
		t.Errorf("got %s", got)
	}
}

// An answer too large for a datagram is cut off by itself.
func TestLargeAnswer(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "example.com. IN A 192.0.2.%d\n", i)
	}
	s := Start(t, b.String())
	if got := ask(t, s, "udp", "example.com", "A"); !strings.HasPrefix(got, "NOERROR, TC") {
		t.Errorf("got %s", got)
	}
	if got := ask(t, s, "tcp", "example.com", "A"); strings.Count(got, "192.0.2") != 100 {
		t.Errorf("got %s", got)
	}
}

func TestListenZone(t *testing.T) {
	if _, _, err := ListenZone("example.com. IN A nonsense"); err == nil || !strings.Contains(err.Error(), "line: 1") {
		t.Errorf("got %v", err)
	}
	if _, _, err := ListenZone("$INCLUDE /etc/hostname"); err == nil {
		t.Error("a file is included")
	}
	addr, stop, err := ListenZone(zone)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	stop()
	if l, err := net.Listen("tcp", addr); err != nil {
		t.Errorf("still in use: %v", err)
	} else {
		_ = l.Close()
	}
}
