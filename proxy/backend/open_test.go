package backend

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/proxy/smtp"
)

// What stands at the start and at the end of most scripts.
const (
	greet = "S: 220 mx.test ESMTP\nC: EHLO gate.test\n"
	bye   = "C: QUIT\nS: 221 bye\nEOF\n"
)

func TestOpen(t *testing.T) {
	cert, pool := certificate(t)
	cases := []struct {
		name     string
		settings Settings
		client   func(*Client)
		script   string
		want     smtp.Caps
		secured  bool
		verified bool
	}{
		{name: "EHLO", script: greet + "S: 250-mx.test\nS: 250-PIPELINING\nS: 250 SIZE 1000\n" + bye,
			want: smtp.Caps{Pipelining: true, HasSize: true, Size: 1000}},
		{name: "HELO where EHLO is refused",
			script: greet + "S: 502 5.5.1 what?\nC: HELO gate.test\nS: 250 mx.test\n" + bye},
		{name: "a banner and a reply of several lines, in pieces",
			script: "S= \"220-mx\"\nS= \".test\\r\"\nS= \"\\n220 hi\\r\\n\"\nC: EHLO gate.test\nS= \"250-mx.test\\r\\n250 CHUN\"\nS= \"KING\\r\\n\"\n" + bye,
			want:   smtp.Caps{Chunking: true}},
		{name: "opportunistic TLS takes any certificate", settings: Settings{TLS: TLSOpportunistic},
			script: greet + "S: 250-mx.test\nS: 250-CHUNKING\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\nC: EHLO gate.test\nS: 250-mx.test\nS: 250 8BITMIME\n" + bye,
			want:   smtp.Caps{EightBit: true}, secured: true},
		{name: "opportunistic TLS where none is offered", settings: Settings{TLS: TLSOpportunistic},
			script: greet + "S: 250 mx.test\n" + bye},
		{name: "opportunistic TLS where it can't be had now", settings: Settings{TLS: TLSOpportunistic},
			script: greet + "S: 250-mx.test\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 not now\n" + bye, want: smtp.Caps{StartTLS: true}},
		{name: "required TLS is verified", settings: Settings{TLS: TLSRequired, TLSConfig: &tls.Config{RootCAs: pool}},
			script:  greet + "S: 250-mx.test\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\nC: EHLO gate.test\nS: 250 mx.test\n" + bye,
			secured: true, verified: true},
		{name: "XCLIENT, in the attributes that are offered", settings: Settings{ClientIP: ClientIPXClient},
			script: greet + "S: 250-mx.test\nS: 250 XCLIENT NAME ADDR\nC: XCLIENT NAME=mail.shop.test ADDR=192.0.2.7\nS: 220 mx.test\n" +
				"C: EHLO helo.shop.test\nS: 250-mx.test\nS: 250 PIPELINING\n" + bye,
			want: smtp.Caps{Pipelining: true}},
		{name: "XCLIENT, all of it: the HELO name before the address", settings: Settings{ClientIP: ClientIPXClient},
			script: greet + "S: 250-mx.test\nS: 250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\n" +
				"C: XCLIENT HELO=helo.shop.test PROTO=ESMTP\nS: 220 mx.test\n" +
				"C: XCLIENT NAME=mail.shop.test ADDR=192.0.2.7 PORT=4000 DESTADDR=198.51.100.1 DESTPORT=25\nS: 220 mx.test\n" +
				"C: EHLO helo.shop.test\nS: 250 mx.test\n" + bye},
		{name: "a client over a mapped address, without a name, with a HELO that is not one word", settings: Settings{ClientIP: ClientIPXClient},
			client: func(c *Client) {
				c.Addr, c.Name, c.Helo = netip.MustParseAddrPort("[::ffff:192.0.2.7]:4000"), "", "a b"
			},
			script: greet + "S: 250-mx.test\nS: 250 XCLIENT NAME ADDR\nC: XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.7\nS: 220 mx.test\n" +
				"C: EHLO gate.test\nS: 250 mx.test\n" + bye},
		{name: "STARTTLS, then XCLIENT", settings: Settings{TLS: TLSOpportunistic, ClientIP: ClientIPXClient},
			script: greet + "S: 250-mx.test\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\nC: EHLO gate.test\nS: 250-mx.test\nS: 250 XCLIENT ADDR\n" +
				"C: XCLIENT ADDR=192.0.2.7\nS: 220 mx.test\nC: EHLO helo.shop.test\nS: 250 mx.test\n" + bye,
			secured: true},
		{name: "PROXY for IPv4 before anything else", settings: Settings{ClientIP: ClientIPProxyV2},
			script: `C= "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x0f\xa0\x00\x19"` +
				"\nS: 220 mx.test\nC: EHLO helo.shop.test\nS: 250 mx.test\n" + bye},
		{name: "PROXY for IPv6, with TLS behind", settings: Settings{ClientIP: ClientIPProxyV2, TLS: TLSOpportunistic},
			client: func(c *Client) {
				c.Addr, c.Local = netip.MustParseAddrPort("[2001:db8::7]:4000"), netip.MustParseAddrPort("[2001:db8::1]:25")
			},
			script: `C= "\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24` +
				`\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x0f\xa0\x00\x19"` +
				"\nS: 220 mx.test\nC: EHLO helo.shop.test\nS: 250-mx.test\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\n" +
				"C: EHLO helo.shop.test\nS: 250 mx.test\n" + bye,
			secured: true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, tc.script)
				f.cert = cert
				b := f.backend(tc.settings)
				client := visitor()
				if tc.client != nil {
					tc.client(&client)
				}
				c, err := b.Open(t.Context(), client)
				if err != nil {
					t.Fatal(err)
				}
				if c.Caps() != tc.want {
					t.Errorf("Caps = %+v, want %+v", c.Caps(), tc.want)
				}
				if on, ok := c.TLS(); on != tc.secured || ok != tc.verified {
					t.Errorf("TLS = %t, %t, want %t, %t", on, ok, tc.secured, tc.verified)
				}
				if caps, known := b.Caps(); caps != tc.want || !known {
					t.Errorf("Backend.Caps = %+v, %t", caps, known)
				}
				c.Quit()
			})
		})
	}
}

func TestOpenFault(t *testing.T) {
	cert, _ := certificate(t)
	offer := greet + "S: 250-mx.test\nS: 250 STARTTLS\n"
	cases := []struct {
		name     string
		settings Settings
		scripts  []string
		want     string
		says     string // in the error
	}{
		{name: "refused", scripts: []string{"REFUSE"}, want: "connect 451 4.4.1", says: "connection refused"},
		{name: "no address", settings: Settings{Addresses: []string{}}, want: "connect 451 4.4.1", says: "no address"},
		{name: "banner 554", scripts: []string{"S: 554 no mail here\nEOF"}, want: "banner 451 4.4.1", says: "554 no mail here"},
		{name: "banner 421", scripts: []string{"S: 421 busy\nEOF"}, want: "banner 451 4.4.1"},
		{name: "banner 450", scripts: []string{"S: 450 later\nEOF"}, want: "banner 451 4.4.1"},
		{name: "banner 250", scripts: []string{"S: 250 hi\nEOF"}, want: "banner 451 4.3.0"},
		{name: "two banners", scripts: []string{"S= \"220 a\\r\\n220 b\\r\\n\"\nEOF"}, want: "ehlo 451 4.3.0", says: "out of turn"},
		{name: "EHLO and HELO refused", scripts: []string{greet + "S: 500 no\nC: HELO gate.test\nS: 550 no\nEOF"}, want: "ehlo 451 4.3.0"},
		{name: "EHLO 421", scripts: []string{greet + "S: 421 busy\nEOF"}, want: "ehlo 451 4.4.1"},
		{name: "EHLO 354", scripts: []string{greet + "S: 354 what\nEOF"}, want: "ehlo 451 4.3.0"},
		{name: "TLS required and hidden", settings: Settings{TLS: TLSRequired},
			scripts: []string{greet + "S: 250 mx.test\nEOF"}, want: "starttls 451 4.7.5", says: "does not offer"},
		{name: "TLS required and refused", settings: Settings{TLS: TLSRequired},
			scripts: []string{offer + "C: STARTTLS\nS: 454 no\nEOF"}, want: "starttls 451 4.7.5"},
		{name: "TLS required, no handshake", settings: Settings{TLS: TLSRequired},
			scripts: []string{offer + "C: STARTTLS\nS: 220 go\nS: 220 plain"}, want: "starttls 451 4.7.5"},
		{name: "TLS required, unknown certificate", settings: Settings{TLS: TLSRequired},
			scripts: []string{offer + "C: STARTTLS\nS: 220 go\nTLSFAIL"}, want: "starttls 451 4.7.5", says: "certificate"},
		{name: "clear text behind the reply to STARTTLS", settings: Settings{TLS: TLSOpportunistic},
			scripts: []string{offer + "C: STARTTLS\nS= \"220 go\\r\\n250 evil\\r\\n\"\nEOF"}, want: "starttls 451 4.3.0"},
		{name: "XCLIENT not offered", settings: Settings{ClientIP: ClientIPXClient},
			scripts: []string{greet + "S: 250 mx.test\nEOF"}, want: "xclient 451 4.3.0", says: "smtpd_authorized_xclient_hosts"},
		{name: "XCLIENT without ADDR", settings: Settings{ClientIP: ClientIPXClient},
			scripts: []string{greet + "S: 250-mx.test\nS: 250 XCLIENT NAME\nEOF"}, want: "xclient 451 4.3.0"},
		{name: "XCLIENT refused", settings: Settings{ClientIP: ClientIPXClient},
			scripts: []string{greet + "S: 250-mx.test\nS: 250 XCLIENT ADDR\nC: XCLIENT ADDR=192.0.2.7\nS: 550 5.7.0 no\nEOF"}, want: "xclient 451 4.3.0"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, tc.scripts...)
				f.cert = cert
				c, err := f.backend(tc.settings).Open(t.Context(), visitor())
				if c != nil || err == nil {
					t.Fatalf("Open = %v, %v", c, err)
				}
				if got := outcome(smtp.Reply{}, err); got != tc.want || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("got %s (%v), want %s and %q", got, err, tc.want, tc.says)
				}
			})
		})
	}
}

func TestOpportunisticFallsBackToClearOnce(t *testing.T) {
	offer := greet + "S: 250-mx.test\nS: 250 STARTTLS\n"
	cases := []struct {
		name, second, want string
	}{
		{"the second connection is in clear", offer + "C: QUIT\nS: 221 bye", ""},
		{"and there is no third", "S: 421 busy", "banner 451 4.4.1"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, offer+"C: STARTTLS\nS: 220 go\nS: 220 plain", tc.second)
				c, err := f.backend(Settings{TLS: TLSOpportunistic}).Open(t.Context(), visitor())
				if tc.want == "" && err == nil {
					c.Quit()
					return
				}
				if got := outcome(smtp.Reply{}, err); got != tc.want {
					t.Errorf("got %s (%v), want %s", got, err, tc.want)
				}
			})
		})
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	for _, at := range []string{"", greet, greet + "S: 250-mx.test\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFarm(t, at+"HANG")
			b := f.backend(Settings{TLS: TLSOpportunistic})
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			start := time.Now()
			_, err := b.Open(ctx, visitor())
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
				t.Errorf("%q: %v after %v", at, err, time.Since(start))
			}
			if h := b.Health(); !h[0].Up {
				t.Errorf("%q: the caller's haste took the server out: %v", at, h[0].Err)
			}
		})
	}
}

func TestConnectIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Settings{Addresses: []string{"mx.test:25"}})
		b.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		_, err := b.Open(t.Context(), visitor())
		if got := outcome(smtp.Reply{}, err); got != "connect 451 4.4.1" || time.Since(start) != 10*time.Second {
			t.Errorf("%s after %v", got, time.Since(start))
		}
		if b.Health()[0].Up {
			t.Error("still up")
		}
	})
}

func TestOpenOutlivesItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, greet+"S: 250 mx.test\nC: NOOP\nS: 250 ok\n"+bye)
		ctx, cancel := context.WithCancel(t.Context())
		c, err := f.backend(Settings{}).Open(ctx, visitor())
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if err := c.KeepAlive(); err != nil {
			t.Error(err)
		}
		c.Quit()
	})
}

func TestDialled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, "REFUSE", "REFUSE")
		_, _ = f.backend(Settings{Addresses: []string{"unix:/run/mx", "[::1]:25"}}).Open(t.Context(), visitor())
		want := []string{"unix /run/mx", "tcp [::1]:25"}
		if !reflect.DeepEqual(f.dialled, want) {
			t.Errorf("dialled %q, want %q", f.dialled, want)
		}
	})
}

func TestHost(t *testing.T) {
	for address, want := range map[string]string{
		"mx.test:25": "mx.test", "[::1]:25": "::1", "192.0.2.1:25": "192.0.2.1", "unix:/run/mx": "localhost",
	} {
		if got := host(address); got != want {
			t.Errorf("host(%q) = %q, want %q", address, got, want)
		}
	}
}
