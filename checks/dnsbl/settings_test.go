package dnsbl

import (
	"strings"
	"testing"

	"gatepost/policy"
)

func TestCodes(t *testing.T) {
	for _, tt := range []struct{ text, in, out string }{
		{"127.0.0.2", "127.0.0.2", "127.0.0.3"},
		{"127.0.0.2-127.0.0.11", "127.0.0.11", "127.0.0.12"},
		{"127.0.0.2-127.0.0.11", "127.0.0.2", "127.0.0.1"},
		{"127.0.0.9-127.0.1.2", "127.0.0.200", "127.0.1.3"},
	} {
		var c Codes
		if err := c.UnmarshalText([]byte(tt.text)); err != nil {
			t.Errorf("%s: %v", tt.text, err)
		}
		if c.String() != tt.text || !c.Contains(codes(tt.in)[0]) || c.Contains(codes(tt.out)[0]) || c.Contains(codes("::ffff:127.0.0.2")[0]) {
			t.Errorf("%s is read as %v", tt.text, c)
		}
	}
}

func TestBadCodes(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "is no answer of a list",
		"2":                         "is no answer of a list",
		"127.0.0.2-":                "is no answer of a list",
		"127.0.0.2 - 127.0.0.4":     "is no answer of a list",
		"127.0.0.2-3":               "is no answer of a list",
		"127.0.0.0/24":              "is no answer of a list",
		"192.0.2.1":                 "is no answer of a list",
		"::1":                       "is no answer of a list",
		"::ffff:127.0.0.2":          "is no answer of a list",
		"127.0.0.2-128.0.0.2":       "is no answer of a list",
		"127.0.0.9-127.0.0.2":       `did you mean "127.0.0.2-127.0.0.9"?`,
		"127.255.255.252":           "it is never a listing",
		"127.0.0.2-127.255.255.255": "it is never a listing",
	} {
		var c Codes
		if err := c.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want ... %s", text, err, want)
		}
	}
}

func FuzzCodes(f *testing.F) {
	for _, s := range []string{"127.0.0.2", "127.0.0.2-127.0.0.11", "127.0.0.9-127.0.0.2", "127.255.255.1", "::1-::2", "-", "127.0.0.2-127.255.255.0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var c, again Codes
		if c.UnmarshalText([]byte(s)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(c.String())); err != nil || again != c {
			t.Errorf("%q: %v is read back as %v: %v", s, c, again, err)
		}
		r := read(codes(c.First.String(), c.Last.String()), []Codes{c})
		if len(r.hits) != 2 || r.foreign.IsValid() || r.refusal.IsValid() {
			t.Errorf("%q: its own ends are read as %+v", s, r)
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b[31m\r\n\u202e\xff" + strings.Repeat("ä", 150))
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if len(got) > maxReason || strings.ContainsAny(got, "\x00\r\n\x1b\u202e\u2028") || !strings.HasPrefix(s, got) && !strings.Contains(got, "?") {
			t.Errorf("%q is cleaned to %q", s, got)
		}
		if clean(got) != got {
			t.Errorf("%q is cleaned further to %q", got, clean(got))
		}
	})
}

func TestValidate(t *testing.T) {
	zone := func(change func(*Zone)) []Zone {
		z := zoneOf("bl.example", 5)
		change(&z)
		return []Zone{z}
	}
	many := make([]Zone, maxZones+1)
	for i := range many {
		many[i] = zoneOf(strings.Repeat("a", i+1)+".example", 1)
	}
	ok := zone(func(*Zone) {})
	for _, tt := range []struct {
		name     string
		settings interface {
			Validate(func(key, message string))
		}
		key, want string // "" for none
	}{
		{"the default", Kind().Settings().(*Settings), "", ""},
		{"a zone", &Settings{5, ok}, "", ""},
		{"threshold 0", &Settings{0, ok}, "threshold", "from 1 to 1000"},
		{"weight 0", &Settings{5, zone(func(z *Zone) { z.Weight = 0 })}, `zone."bl.example".weight`, "or is 0"},
		{"weight too large", &Settings{5, zone(func(z *Zone) { z.Weight = 1001 })}, `zone."bl.example".weight`, "-1000 to 1000"},
		{"no name", &Settings{5, zone(func(z *Zone) { z.Name = "a..b" })}, `zone."a..b"`, "no name of a zone"},
		{"no dots", &Settings{5, zone(func(z *Zone) { z.Name, z.Weight = "local", 0 })}, "zone.local.weight", "or is 0"},
		{"not fit to be shown", &Settings{5, zone(func(z *Zone) { z.Show = "a\nb" })}, `zone."bl.example".show`, "like a domain name"},
		{"shown alike", &Settings{5, append(zone(func(z *Zone) { z.Name, z.Show = "x.example", "bl.example" }), ok...)}, `zone."bl.example"`, "tell them apart"},
		{"too many", &Settings{5, many}, "zone", "at most 32"},
		{"an allow list of names", &DomainSettings{5, []DomainZone{{Zone{Name: "bl.example", Weight: -5}, []string{"helo"}}}}, `zone."bl.example".weight`, "cannot speak for a mail"},
		{"for nothing", &DomainSettings{5, []DomainZone{{Zone{Name: "bl.example", Weight: 5}, nil}}}, `zone."bl.example".of`, "never asked"},
		{"an allow list of authors", &AuthorSettings{Settings{5, zone(func(z *Zone) { z.Weight = -1 })}}, `zone."bl.example".weight`, "cannot speak for a mail"},
	} {
		got := ""
		tt.settings.Validate(func(key, message string) { got += key + ": " + message + "\n" })
		if tt.key == "" && got != "" || !strings.HasPrefix(got, tt.key) || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q: ... %s", tt.name, got, tt.key, tt.want)
		}
	}
}

func TestDefaultActions(t *testing.T) {
	for o, a := range Kind().Outcomes {
		if (o == Listed) != (a == policy.Reject) || o != Listed && a != policy.None {
			t.Errorf("%s leads to %s", o, a)
		}
	}
}
