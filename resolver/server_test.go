package resolver

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func TestParseServer(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.53":           "192.0.2.53:53",
		"192.0.2.53:5353":      "192.0.2.53:5353",
		"2001:db8::53":         "[2001:db8::53]:53",
		"[2001:db8::53]":       "[2001:db8::53]:53",
		"[2001:db8::53]:5353":  "[2001:db8::53]:5353",
		"fe80::1%eth0":         "[fe80::1%eth0]:53",
		"":                     "",
		"dns.example.com":      "",
		"192.0.2.53:0":         "",
		"192.0.2.53:70000":     "",
		"192.0.2.53:":          "",
		"192.0.2.256":          "",
		"dns.example.com:5353": "",
	} {
		got, err := parseServer(text)
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("%q: got %v, %v; want %q", text, got, err, want)
		}
	}
}

func TestSystemServers(t *testing.T) {
	for _, c := range []struct{ name, file, want, err string }{
		{"two", "# ours\nsearch example.com\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n", "[192.0.2.1:53 [2001:db8::1]:53]", ""},
		{"none", "search example.com\n", "[]", "has no nameserver line"},
		{"a name", "nameserver dns.example.com\n", "[]", `resolv.conf: DNS server "dns.example.com": want an address`},
		{"no file", "", "[]", "no DNS server is set, and the system's can't be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "resolv.conf")
			if c.file != "" {
				if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := serverAddrs(nil, path)
			if fmt.Sprint(got) != c.want || !strings.Contains(fmt.Sprint(err), c.err) || (err == nil) != (c.err == "") {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestNewError(t *testing.T) {
	_, err := New(Settings{Servers: []string{"192.0.2.1", "localhost"}})
	if err == nil || !strings.Contains(err.Error(), `"localhost"`) {
		t.Errorf("got %v", err)
	}
}

// A silent server is asked last, for a while.
func TestDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, dead := "", true
		r := with(t, 2, Settings{MaxTTL: time.Nanosecond}, func(_ context.Context, s netip.AddrPort, q question) (*dns.Msg, error) {
			n := s.Addr().As4()[3]
			asked += fmt.Sprint(n)
			if n == 1 && dead {
				return nil, errNetwork
			}
			return aRecord(t, q), nil
		})
		names := 0
		ask := func(n int, want string, down bool) {
			t.Helper()
			asked = ""
			for range n {
				names++
				_, err := r.Addrs(background(), fmt.Sprintf("%d.example", names), IPv4)
				wantSort(t, err, "ok")
				time.Sleep(time.Nanosecond)
			}
			if got := r.Health()[0].Down; asked != want || got != down {
				t.Errorf("asked %s, down: %v; want %s, %v", asked, got, want, down)
			}
		}
		ask(downAfter-1, strings.Repeat("12", downAfter-1), false)
		ask(1, "12", true)
		ask(3, "222", true)
		time.Sleep(downFor)
		ask(2, "122", true) // It had its chance.
		time.Sleep(downFor)
		dead = false
		ask(2, "11", false)

		h := r.Health()
		if h[0].Address != "192.0.2.1:53" || h[0].Queries != downAfter+3 || h[0].Failed != downAfter+1 || !h[0].Since.Equal(time.Now().Add(-2)) {
			t.Errorf("got %+v at %v", h[0], time.Now())
		}
		if h[1].Failed != 0 || h[1].Down || !h[1].Since.IsZero() {
			t.Errorf("got %+v", h[1])
		}
	})
}

// A stranger whose domain gives SERVFAIL can't take a server down.
func TestServFailIsNotDown(t *testing.T) {
	r := with(t, 1, Settings{}, func(_ context.Context, _ netip.AddrPort, q question) (*dns.Msg, error) {
		return reply(t, q, dns.RcodeServerFailure), nil
	})
	for i := range 3 * downAfter {
		_, err := r.TXT(background(), fmt.Sprintf("%d.example", i))
		wantSort(t, err, "temporary")
	}
	if h := r.Health()[0]; h.Down || h.Failed != 3*downAfter {
		t.Errorf("got %+v", h)
	}
}

// A stranger whose one domain is dead can't either, for however many names below it they have us ask.
func TestADeadDomainIsNotDown(t *testing.T) {
	r := with(t, 1, Settings{}, func(context.Context, netip.AddrPort, question) (*dns.Msg, error) { return nil, errNetwork })
	down := func() bool { return r.Health()[0].Down }
	for i := range 3 * downAfter {
		for _, name := range []string{"dead.example", "a.dead.example", "example", fmt.Sprintf("%d.b.dead.example", i)} {
			_, err := r.TXT(background(), name)
			wantSort(t, err, "temporary")
		}
	}
	if down() {
		t.Error("down after the silence of one domain")
	}
	for i := range downAfter - 2 { // "example" is another one.
		_, err := r.TXT(background(), fmt.Sprintf("a.%d.example", i))
		wantSort(t, err, "temporary")
	}
	if !down() {
		t.Errorf("not down after the silence of %d domains", downAfter)
	}
}

// A server that is dead is found out by names of few domains too, where another has answers for them.
func TestFewDomains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := 0
		r := with(t, 2, Settings{MaxTTL: time.Nanosecond}, func(_ context.Context, s netip.AddrPort, q question) (*dns.Msg, error) {
			if s.Addr().As4()[3] == 1 {
				dead++
				return nil, errNetwork
			}
			return aRecord(t, q), nil
		})
		for i := range 50 {
			for _, d := range []string{"in-addr.arpa", "zen.spamhaus.example"} {
				r.Addrs(background(), fmt.Sprintf("%d.2.0.192.%s", i, d), IPv4)
			}
		}
		if !r.Health()[0].Down || dead > 2*downAfter {
			t.Errorf("asked %d times of 100, down: %v", dead, r.Health()[0].Down)
		}
	})
}

// A caller has an answer from the second server in time, however long a query may take, and the first one is found out.
func TestShortCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := with(t, 2, Settings{Timeout: 30 * time.Second}, func(ctx context.Context, s netip.AddrPort, q question) (*dns.Msg, error) {
			if s.Addr().As4()[3] == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return aRecord(t, q), nil
		})
		for i := range 2 * downAfter {
			ctx, cancel := context.WithTimeout(background(), 6*time.Second)
			_, err := r.Addrs(ctx, fmt.Sprintf("a.n%d.example", i), IPv4)
			wantSort(t, err, "ok")
			cancel()
		}
		if !r.Health()[0].Down {
			t.Error("nobody knows that the first server is dead")
		}
	})
}

// A resolver is like another that asks the same servers, wherever their addresses came from.
func TestLike(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	from := func(conf string, s Settings) *Resolver {
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := newFrom(s, file)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	const conf = "nameserver 192.0.2.53\n"
	first := from(conf, Settings{})
	for _, tt := range []struct {
		name string
		r    *Resolver
		like bool
	}{
		{"the file as it was", from("# again\n"+conf, Settings{}), true},
		{"the file with another server", from("nameserver 192.0.2.54\n", Settings{}), false},
		{"the file with one more", from(conf+"nameserver 192.0.2.54\n", Settings{}), false},
		{"the server of the file as a setting", from("", Settings{Servers: []string{"192.0.2.53:53"}}), true},
		{"the default as a setting", from(conf, Settings{Timeout: 3 * time.Second}), true},
		{"another timeout", from(conf, Settings{Timeout: time.Second}), false},
	} {
		if first.Like(tt.r) != tt.like {
			t.Errorf("%s: like is %v", tt.name, !tt.like)
		}
	}
}
