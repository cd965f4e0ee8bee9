package dkim

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatepost/policy"
)

func FuzzParseTags(f *testing.F) {
	for _, seed := range []string{"v=1; a=b", "p=;", "b = a\r\n b;;", "=", "a=1;a=2", "\xff=\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		tags, err := parseTags(in)
		if err != nil {
			return
		}
		again := ""
		for name, value := range tags {
			if value != strings.Trim(value, wsp) || strings.Contains(value, ";") {
				t.Errorf("%q: %q", name, value)
			}
			again += name + "=" + value + ";"
		}
		if same, err := parseTags(again); err != nil || len(same) != len(tags) {
			t.Errorf("%q is not read again: %v", again, err)
		}
	})
}

// FuzzRun looks at whole messages. None of those that it makes up can pass, and no evidence may carry a control byte.
func FuzzRun(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(folder, "*.eml"))
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			f.Add(b, "v=DKIM1; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAPLt2xNxVaM1")
		}
	}
	f.Fuzz(func(t *testing.T, message []byte, key string) {
		f := checkWith(anyKey(key)).Run(t.Context(), policy.View{Content: bytes.NewReader(message)})
		if f.Outcome == policy.Pass {
			t.Fatal("passed")
		}
		for _, s := range append(texts(f), f.Text) {
			if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) {
				t.Fatalf("%q", s)
			}
		}
	})
}

// texts are the values of a finding's evidence and results.
func texts(f policy.Finding) (all []string) {
	for _, x := range f.Facts {
		all = append(all, x.Value)
	}
	for _, a := range f.Auth {
		all = append(all, a.Reason, a.Comment)
		for _, p := range a.Props {
			all = append(all, p.Value)
		}
	}
	return all
}
