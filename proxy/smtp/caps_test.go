package smtp

import "testing"

func TestParseEHLO(t *testing.T) {
	tests := []struct {
		name string
		in   Reply
		want Caps
	}{
		{"the first line is the name", Reply{250, "DSN"}, Caps{}},
		{"no success", Reply{500, "mx\nDSN"}, Caps{}},
		{"all", Reply{250, "mx\nPIPELINING\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nCHUNKING\nBINARYMIME\nDSN\nSTARTTLS\nREQUIRETLS\n" +
			"SIZE 10\nXCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"},
			Caps{true, true, true, true, true, true, true, true, true, true, 10, 0xff}},
		{"in any case", Reply{250, "mx\npipelining\nsize 5\nxclient name xyz addr"},
			Caps{Pipelining: true, HasSize: true, Size: 5, XClient: XName | XAddr}},
		{"SIZE without a limit", Reply{250, "mx\nSIZE"}, Caps{HasSize: true}},
		{"a broken number", Reply{250, "mx\nSIZE x"}, Caps{}},
		{"unknown and empty lines", Reply{250, "mx\nHELP\n\n   \nAUTH PLAIN\nLIMITS RCPTMAX=3\nDSN-ISH\n  DSN  "}, Caps{DSN: true}},
	}
	for _, tt := range tests {
		if got := ParseEHLO(tt.in); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func FuzzParseEHLO(f *testing.F) {
	f.Add("mx\nSIZE 10\nXCLIENT NAME")
	f.Add("mx\nSIZE 99999999999999999999\n\n \t")
	f.Fuzz(func(t *testing.T, text string) {
		c := ParseEHLO(Reply{250, text})
		if c.Size < 0 || c.Size > 0 && !c.HasSize || c.XClient > 0xff {
			t.Errorf("%+v", c)
		}
	})
}
