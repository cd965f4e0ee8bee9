package dmarc

import (
	"strings"
	"testing"
)

func TestParseRecord(t *testing.T) {
	plain := record{p: none, psd: "u"}
	with := func(change func(*record)) *record {
		r := plain
		change(&r)
		return &r
	}
	for _, c := range []struct {
		name, txt string
		want      *record // nil: no DMARC record
	}{
		{"monitoring", "v=DMARC1; p=none; rua=mailto:dmarc@x.example", &plain},
		{"the least", "v=DMARC1", &plain},
		{"a semicolon at the end", "v=DMARC1;", &plain},
		{"reject", "v=DMARC1; p=reject", with(func(r *record) { r.p = reject })},
		{"no white space", "v=DMARC1;p=quarantine;sp=reject;np=none", with(func(r *record) { r.p, r.sp, r.np = quarantine, reject, none })},
		{"white space everywhere", " v = DMARC1\t; p = reject ; ", with(func(r *record) { r.p = reject })},
		{"odd case", "V=DMARC1; P=Reject; ADKIM=S; ASPF=S; PSD=Y; T=Y", with(func(r *record) {
			*r = record{p: reject, strictDKIM: true, strictSPF: true, psd: "y", testing: true}
		})},
		{"gone and unknown tags", "v=DMARC1; p=reject; pct=0; rf=afrf; ri=1; x=y; nonsense", with(func(r *record) { r.p = reject })},
		{"no p", "v=DMARC1; sp=reject", with(func(r *record) { r.sp = reject })},
		{"values that can't be read count as their defaults", "v=DMARC1; p=reject; adkim=x; aspf=; psd=maybe; t=1", with(func(r *record) { r.p = reject })},
		{"p in the middle", "v=DMARC1; adkim=s; p=reject", with(func(r *record) { r.p, r.strictDKIM = reject, true })},
		{"an unknown p", "v=DMARC1; p=refuse", with(func(r *record) { r.unusable = true })},
		{"an unknown p, with reports", "v=DMARC1; p=refuse; sp=reject; rua=x, mailto:a@x.example", &plain},
		{"an unknown sp", "v=DMARC1; p=reject; sp=refuse", with(func(r *record) { r.unusable = true })},
		{"an unknown np, with reports", "v=DMARC1; p=reject; np=refuse; rua=mailto:a@x.example", &plain},
		{"an unknown np, with reports nowhere", "v=DMARC1; p=reject; np=refuse; rua=a@x.example", with(func(r *record) { r.unusable = true })},
		{"p twice", "v=DMARC1; p=none; p=reject", with(func(r *record) { r.unusable = true })},
		{"adkim twice", "v=DMARC1; p=reject; adkim=s; adkim=s", with(func(r *record) { r.p = reject })},
		{"bytes over 127", "v=DMARC1; p=reject; rua=mailto:\xff\xfe; \x80=\x81", with(func(r *record) { r.p = reject })},
		{"another version", "v=DMARC2; p=reject", nil},
		{"the version in small letters", "v=dmarc1; p=reject", nil},
		{"the version not first", "p=reject; v=DMARC1", nil},
		{"the version run together", "v=DMARC1 p=reject", nil},
		{"no version", "p=reject", nil},
		{"nothing", "", nil},
		{"SPF", "v=spf1 -all", nil},
	} {
		got, ok := parseRecord(c.txt)
		if ok != (c.want != nil) || ok && got != *c.want {
			t.Errorf("%s: %q: got %+v, %v, want %+v", c.name, c.txt, got, ok, c.want)
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, s := range []string{
		"v=DMARC1; p=none; rua=mailto:a@x.example", "v=DMARC1;p=reject;sp=quarantine;np=none;adkim=s;aspf=r;psd=n;t=y", "v=DMARC1; p=x; rua=:,%",
		"v=DMARC1;;;=;p", "v=DMARC1; p=none; p=reject", strings.Repeat("v=DMARC1;", 100),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		r, ok := parseRecord(txt)
		if !ok {
			if r != (record{}) {
				t.Fatalf("%q is no record, and gives %+v", txt, r)
			}
			return
		}
		for _, p := range []string{r.p, r.sp, r.np} {
			if p != "" && !isPolicy(p) {
				t.Fatalf("%q asks for %q", txt, p)
			}
		}
		if r.p == "" || r.psd != "y" && r.psd != "n" && r.psd != "u" || !strings.Contains(txt, "DMARC1") {
			t.Fatalf("%q gives %+v", txt, r)
		}
		if more, ok := parseRecord(txt + "; later=1"); !ok || more != r { // RFC 9989 section 4.7: unknown tags change nothing
			t.Fatalf("%q gives %+v, and with an unknown tag %+v", txt, r, more)
		}
	})
}

func BenchmarkParseRecord(b *testing.B) {
	for name, txt := range map[string]string{
		"usual": "v=DMARC1; p=reject; sp=quarantine; adkim=s; rua=mailto:a@x.example; ruf=mailto:b@x.example; pct=100",
		"64KiB": "v=DMARC1; p=reject" + strings.Repeat("; p=none", 8<<10),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(txt)))
			for b.Loop() {
				parseRecord(txt)
			}
		})
	}
}
