package smtp

import (
	"bytes"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

const attrsAll = XName | XAddr | XPort | XProto | XHelo | XLogin | XDestAddr | XDestPort

var addr4, addr6 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")

func TestParseXClient(t *testing.T) {
	tests := []struct {
		arg  string
		want XClient
		ok   bool
	}{
		{"ADDR=192.0.2.1", XClient{Addr: addr4}, true},
		{"addr=IPV6:2001:db8::1 Port=25", XClient{Addr: addr6, Port: 25}, true},
		{"ADDR=ipv6:::ffff:192.0.2.1", XClient{Addr: addr4}, true},
		{"NAME=mx.example HELO=a+20b PROTO=esmtp LOGIN=u", XClient{Name: "mx.example", Helo: "a b", Proto: "ESMTP"}, true},
		{"HELO=m+C3+BCller", XClient{Helo: "müller"}, true},
		{"NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] HELO=[TEMPUNAVAIL]", XClient{Name: "[UNAVAILABLE]"}, true},
		{"NAME=[TEMPUNAVAIL]", XClient{Name: "[TEMPUNAVAIL]"}, true},
		{"DESTADDR=192.0.2.1  DESTPORT=65535", XClient{DestAddr: addr4, DestPort: 65535}, true},

		{"", XClient{}, false},
		{"   ", XClient{}, false},
		{"NAME", XClient{}, false},
		{"NAME=", XClient{}, false},
		{"FOO=bar", XClient{}, false},
		{"=bar", XClient{}, false},
		{"NAME=a NAME=a", XClient{}, false},
		{"NAME=a=b", XClient{}, false},
		{"NAME=a+0D+0Ab", XClient{}, false},
		{"NAME=a+09b", XClient{}, false},
		{"NAME=a+FF", XClient{}, false},
		{"NAME=a+C2+85", XClient{}, false},
		{"NAME=a+4", XClient{}, false},
		{"NAME=ü", XClient{}, false},
		{"NAME=" + strings.Repeat("x", 256), XClient{}, false},
		{"ADDR=2001:db8::1", XClient{}, false},
		{"ADDR=IPV6:192.0.2.1", XClient{}, false},
		{"ADDR=IPV6:fe80::1%25", XClient{}, false},
		{"ADDR=IPV6:", XClient{}, false},
		{"ADDR=192.0.2.256", XClient{}, false},
		{"PORT=65536", XClient{}, false},
		{"PORT=-1", XClient{}, false},
		{"PROTO=LMTP", XClient{}, false},
	}
	for _, tt := range tests {
		got, err := ParseXClient([]byte(tt.arg))
		if got != tt.want || (err == nil) != tt.ok || err != nil && code(err) != "501 5.5.4" {
			t.Errorf("%q: %+v, %v", tt.arg, got, err)
		}
	}
}

func TestXClientCommands(t *testing.T) {
	const rest = " ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] DESTADDR=[UNAVAILABLE] DESTPORT=[UNAVAILABLE]"
	tests := []struct {
		name  string
		x     XClient
		attrs XClientAttrs
		want  []string
	}{
		{"all", XClient{addr6, 25, "mx.example", "a+b", "ESMTP", addr4, 2525}, attrsAll,
			[]string{"HELO=a+2Bb PROTO=ESMTP", "NAME=mx.example ADDR=IPV6:2001:db8::1 PORT=25 DESTADDR=192.0.2.1 DESTPORT=2525"}},
		{"a mapped address", XClient{Addr: netip.MustParseAddr("::ffff:192.0.2.1")}, XAddr, []string{"ADDR=192.0.2.1"}},
		{"a zone stays at home", XClient{Addr: netip.MustParseAddr("fe80::1%eth0")}, XAddr, []string{"ADDR=IPV6:fe80::1"}},
		{"what is not known, but PROTO", XClient{}, attrsAll, []string{"HELO=[UNAVAILABLE]", "NAME=[UNAVAILABLE]" + rest}},
		{"what the server doesn't take", XClient{Addr: addr4, Helo: "a", Proto: "SMTP"}, XProto | XLogin, []string{"PROTO=SMTP"}},
		{"nothing in common", XClient{Addr: addr4}, XLogin, nil},
		{"control characters", XClient{Helo: "a\r\nb", Name: "c\x00", Proto: "\t"}, attrsAll, []string{"HELO=[UNAVAILABLE]", "NAME=[UNAVAILABLE]" + rest}},
		{"as long as can be", XClient{Helo: strings.Repeat("ü", 42) + "abc", Name: strings.Repeat("x", 255), Proto: "SMTP"}, attrsAll,
			[]string{"HELO=" + strings.Repeat("+C3+BC", 42) + "abc PROTO=SMTP", "NAME=" + strings.Repeat("x", 255) + rest}},
		{"too long", XClient{Helo: strings.Repeat("ü", 43), Name: strings.Repeat("x", 256), Proto: "SMTP"}, attrsAll,
			[]string{"HELO=[UNAVAILABLE] PROTO=SMTP", "NAME=[UNAVAILABLE]" + rest}},
	}
	for _, tt := range tests {
		var got []string
		for _, line := range XClientCommands(tt.x, tt.attrs) {
			text, _ := strings.CutPrefix(string(checkLine(t, line)), "XCLIENT ")
			got = append(got, text)
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// What was read can be told, and is the same at the other end.
func FuzzXClient(f *testing.F) {
	f.Add([]byte("NAME=mx ADDR=192.0.2.1 PORT=1 HELO=+C3+BC PROTO=SMTP LOGIN=+2B"))
	f.Add([]byte("ADDR=IPV6:::1 DESTADDR=IPV6:::ffff:1.2.3.4 DESTPORT=0 NAME=[TEMPUNAVAIL]"))
	f.Fuzz(func(t *testing.T, arg []byte) {
		x, err := ParseXClient(arg)
		if err != nil {
			if x != (XClient{}) {
				t.Errorf("%+v with %v", x, err)
			}
			return
		}
		var all []byte
		for _, line := range XClientCommands(x, attrsAll) {
			if len(line) > 512 {
				t.Errorf("%d octets: %q", len(line), line)
			}
			all = append(all, bytes.TrimPrefix(checkLine(t, line), []byte("XCLIENT"))...)
		}
		if x.Name == "" {
			x.Name = unavailable
		}
		if len(arg) > maxDomain {
			return // something may have been too long as xtext
		}
		if again, err := ParseXClient(all); again != x || err != nil {
			t.Errorf("%q: %+v came back as %+v, %v", all, x, again, err)
		}
	})
}
