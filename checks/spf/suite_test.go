package spf

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"gatepost/internal/dnstest"
	"gatepost/policy"
	"gatepost/resolver"
)

// suite is a part of a test suite in the form of openspf's: a zone, and what is asked with it.
type suite struct {
	Description string
	Tests       map[string]struct {
		Helo, Host, MailFrom string
		Result               words
	}
	ZoneData map[string][]map[string]yaml.Node
}

// words is one word or a list of them.
type words []string

func (w *words) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*w = words{n.Value}
		return nil
	}
	return n.Decode((*[]string)(w))
}

// lenient are the cases in which the library takes a record that RFC 7208 calls broken, and what comes of it: it does not read on behind the
// term that decided (section 4.6 wants it), looks at no exp=, and asks for names that are not well formed (section 7.1). In the last
// two, it does not know the macro p in full (section 7.3 warns of it), nor a slash in a name.
var lenient = map[string]policy.Outcome{
	"detect-errors-anywhere": policy.Pass, "redirect-is-modifier": policy.Pass, "cidr4-032": policy.Pass,
	"bare-ip6": policy.Fail, "unknown-modifier-syntax": policy.Fail, "default-modifier": neutral, "default-modifier-harsh": neutral,
	"redirect-syntax-error": neutral, "redirect-empty-domain": neutral,
	"exp-syntax-error": neutral, "exp-empty-domain": policy.Fail, "exp-twice": policy.Fail, "exp-only-macro-char": policy.Fail,
	"invalid-domain": policy.Fail, "a-bad-domain": neutral, "a-numeric": neutral, "a-numeric-toplabel": neutral, "a-bad-toplabel": neutral,
	"a-only-toplabel": neutral, "a-only-toplabel-trailing-dot": neutral, "baddomain": neutral,
	"mx-bad-domain": neutral, "mx-numeric-top-label": neutral, "mx-bad-toplab": neutral,
	"p-macro-multiple": neutral,
	"a-colon-domain":   policy.PermError, "a-colon-domain-ip4mapped": policy.PermError,
	"mx-colon-domain": policy.PermError, "mx-colon-domain-ip4mapped": policy.PermError,
}

func TestSuites(t *testing.T) {
	for _, file := range []string{"rfc7208-tests.yml", "pyspf-tests.yml"} {
		for _, s := range readSuites(t, file) {
			t.Run(file+"/"+s.Description, s.run)
		}
	}
}

// readSuites reads a file that comes with the library.
func readSuites(t *testing.T, file string) (all []suite) {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "blitiri.com.ar/go/spf").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var s suite
		if err := d.Decode(&s); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
}

func (s suite) run(t *testing.T) {
	zone, silent := s.zone(t)
	server := dnstest.Start(t, zone)
	server.ServFail(silent...)
	r, err := resolver.New(resolver.Settings{Servers: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	c := New(&Settings{}, r)
	for name, x := range s.Tests {
		f := c.Run(t.Context(), view(x.Host, x.Helo, x.MailFrom))
		want := []string(x.Result)
		if o, ok := lenient[name]; ok {
			want = []string{string(o)}
		}
		if !slices.Contains(want, string(f.Outcome)) {
			t.Errorf("%s: got %s, want %s\n%v", name, f.Outcome, want, f.Facts)
		}
	}
}

func view(host, helo, sender string) policy.View {
	v := policy.View{Client: netip.MustParseAddr(host).Unmap(), Helo: helo, NullPath: sender == ""}
	if at := strings.LastIndexByte(sender, '@'); at >= 0 {
		v.Sender = policy.Mailbox{Local: sender[:at], Domain: strings.ToLower(sender[at+1:])}
	}
	return v
}

// kinds makes the suite's words those of a zone file.
var kinds = strings.NewReplacer("SPF", "TXT", "CNAMELOOP", "CNAME")

// zone is the data as a zone file, and the names that give no answer.
func (s suite) zone(t *testing.T) (zone string, silent []string) {
	var b strings.Builder
	for name, records := range s.ZoneData {
		types := map[string]string{}
		for _, r := range records {
			for kind, data := range r {
				types[kind] = data.Value
			}
		}
		_, timeout := types["TIMEOUT"]
		_, hasTXT := types["TXT"]
		if timeout && (len(types) == 1 || types["TXT"] == "NONE") {
			silent = append(silent, name)
		}
		for _, r := range records {
			for kind, data := range r {
				if kind == "SPF" && hasTXT { // the records of the old type SPF stand for TXT too, where there are none
					continue
				}
				if data := rdata(t, kind, data); data != "" {
					fmt.Fprintf(&b, "%s. %s %s\n", escape(name), kinds.Replace(kind), data)
				}
			}
		}
	}
	return b.String(), silent
}

// rdata is the data of a record as a zone file has it; "" where the record stands for none.
func rdata(t *testing.T, kind string, n yaml.Node) string {
	var list words
	if err := n.Decode(&list); err != nil {
		t.Fatal(err)
	}
	switch {
	case kind == "TIMEOUT" || len(list) == 0 || list[0] == "NONE":
		return ""
	case kind == "TXT" || kind == "SPF":
		return txt(strings.Join(list, ""))
	case kind == "MX":
		return list[0] + " " + escape(list[1]) + "."
	case kind == "PTR" || kind == "CNAME" || kind == "CNAMELOOP":
		return escape(strings.TrimSuffix(list[0], ".")) + "."
	}
	return list[0]
}

// txt is a text in strings of 100 octets. The suite has octets over 127 as the characters of the same number.
func txt(s string) string {
	var b strings.Builder
	for i, c := range []rune(s) {
		if i%100 == 0 {
			b.WriteString(`" "`)
		}
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\%03d`, c&0xff)
			continue
		}
		b.WriteRune(c)
	}
	return strings.TrimPrefix(b.String(), `" `) + `"`
}

// escape is a name as a zone file has it.
func escape(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c < ' ' || c > '~' {
			fmt.Fprintf(&b, `\%03d`, c)
			continue
		}
		if strings.IndexByte(` '"\;()@`, c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}
