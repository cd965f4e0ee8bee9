package proxy

import (
	"testing"

	"gatepost/proxy/backend"
	"gatepost/proxy/smtp"
)

// testRoutes has the domains that the spellings below try to get around.
func testRoutes() *Routes {
	r := NewRoutes()
	r.Add(backend.New(backend.Settings{Name: "main"}), "us.example", "xn--bcher-kva.example")
	r.Add(backend.New(backend.Settings{Name: "net"}), ".net.example", "deep.us.example")
	return r
}

// TestRoute parses each recipient as it stands in RCPT, so that parser and routes are judged together (hazard 31).
func TestRoute(t *testing.T) {
	const relay, detour, syntax = "550 5.7.1", "550 5.7.1", "501 5.1.3"
	tests := []struct{ name, rcpt, want string }{
		{"ours", "u@us.example", "main"},
		{"case does not matter", "u@US.Example", "main"},
		{"a name below a domain without a leading dot", "u@sub.us.example", relay},
		{"a name below that stands by itself", "u@deep.us.example", "net"},
		{"the domain of a leading dot", "u@net.example", "net"},
		{"a name below it", "u@a.b.net.example", "net"},
		{"a name that ends alike", "u@badnet.example", relay},
		{"a foreign domain", "u@victim.example", relay},
		{"percent", "u%victim.example@us.example", detour},
		{"percent, quoted", `"u%victim.example"@us.example`, detour},
		{"percent behind a backslash", `"u\%victim.example"@us.example`, detour},
		{"two at signs", "u@victim.example@us.example", syntax},
		{"an at sign, quoted", `"u@victim.example"@us.example`, detour},
		{"an at sign behind a backslash", `"u\@victim.example"@us.example`, detour},
		{"an address in quotes alone", `"u@victim.example"`, syntax},
		{"bang path", "victim.example!u@us.example", detour},
		{"bang path without a domain", "victim.example!u", syntax},
		{"source route to a foreigner", "@us.example:u@victim.example", relay},
		{"source route to us", "@victim.example:u@us.example", "main"},
		{"source route with percent", "@us.example:u%victim.example@us.example", detour},
		{"our address literal", "u@[127.0.0.1]", relay},
		{"percent at our address literal", "u%victim.example@[127.0.0.1]", relay},
		{"an IPv6 literal", "u@[IPv6:::1]", relay},
		{"a literal that is none", "u@[us.example]", syntax},
		{"a dot at the end", "u@us.example.", syntax},
		{"an empty label", "u@us..example", syntax},
		{"a bare number", "u@2130706433", relay},
		{"our name at the front", "u@us.example.victim.example", relay},
		{"localhost", "u@localhost", relay},
		{"no domain", "u", syntax},
		{"nothing", "", syntax},
		{"postmaster alone", "postmaster", "main"},
		{"postmaster in another case", "PostMASTER", "main"},
		{"postmaster of a foreigner", "postmaster@victim.example", relay},
		{"a U-label", "u@bücher.example", "main"},
		{"a U-label that maps to lower case", "u@BÜCHER.example", "main"},
		{"a full stop of another script", "u@us。example", "main"},
		{"our name in full width", "u@ｕｓ.example", "main"},
		{"a look-alike", "u@uѕ.example", relay},
		{"an address in full width", "u@１２７.0.0.1", syntax},
		{"a slash of another script", "u@us.example／victim", syntax},
		{"a NUL byte in UTF-8 guise", "u@us\u0000.example", "500 5.5.2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := routeOf(test.rcpt); got != test.want {
				t.Errorf("<%s>: %s, want %s", test.rcpt, got, test.want)
			}
		})
	}
}

// routeOf is the backend for a recipient, or code and status of the refusal.
func routeOf(rcpt string) string {
	to, _, err := smtp.ParseRcpt([]byte("TO:<"+rcpt+">"), smtp.Offer{}, true)
	if err == nil {
		b, _, refused := testRoutes().route(to)
		if refused == nil {
			return b.Name()
		}
		err = refused
	}
	return err.Error()[:len("550 5.7.1")]
}

// FuzzRoute: whoever is let through has one of our domains, and no detour in the local part.
func FuzzRoute(f *testing.F) {
	for _, s := range []string{"u@us.example", "u%v.example@us.example", `"u@v"@us.example`, "@us.example:u@v.example", "u@ｕｓ.example", "postmaster"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rcpt string) {
		to, _, err := smtp.ParseRcpt([]byte("TO:<"+rcpt+">"), smtp.Offer{}, true)
		if err != nil {
			return
		}
		r := testRoutes()
		b, box, err := r.route(to)
		if err != nil || to.Domain == "" {
			return
		}
		if r.backend(box.Domain) != b {
			t.Fatalf("<%s> goes to %s, and %q does not", rcpt, b.Name(), box.Domain)
		}
		for _, c := range box.Local {
			if c == '@' || c == '%' || c == '!' {
				t.Fatalf("<%s>: a detour was let through as %q", rcpt, box.Local)
			}
		}
	})
}

// TestMailbox is how a policy sees addresses.
func TestMailbox(t *testing.T) {
	tests := []struct{ name, local, domain, want string }{
		{"the null path", "", "", ""},
		{"quotes are no part of the name", `"a b"`, "X.example", "a b@x.example"},
		{"A-labels", "u", "bücher.example", "u@xn--bcher-kva.example"},
		{"no name: as it is, for in lower case it might be another", "u", "A\u200d..Ü", "u@A\u200d..Ü"},
	}
	for _, test := range tests {
		if got := mailbox(smtp.Address{Local: test.local, Domain: test.domain}).String(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
