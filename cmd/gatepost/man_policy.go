package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gatepost/checks"
)

// writePolicyPage writes the manual page of what the checks look at and how they are set.
func writePolicyPage(dir string) error {
	all, err := checks.Manuals()
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(".TH \"GATEPOST-POLICY\" \"1\" \"\" \"gatepost\" \"\"\n.nh\n.ad l\n.SH NAME\ngatepost\\-policy \\- the checks, their settings and defaults\n")
	for _, m := range all {
		fmt.Fprintf(&b, ".SH %s\n%s", strings.ToUpper(m.Package), roff(strings.TrimPrefix(m.Text, "Package ")))
	}
	b.WriteString(".SH SEE ALSO\ngatepost(1), gatepost\\-init(1), gatepost\\-explain(1)\n")
	return os.WriteFile(filepath.Join(dir, "gatepost-policy.1"), []byte(b.String()), 0o644)
}

// roff is a Go comment for man: lines that begin with a tab stay as they are, all others are filled.
func roff(text string) string {
	var b strings.Builder
	code := false
	for line := range strings.Lines(text) {
		l, tab := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "\t")
		switch {
		case l == "" && !code:
			b.WriteString(".PP\n")
			continue
		case tab && !code:
			b.WriteString(".RS 4\n.nf\n")
		case !tab && l != "" && code:
			b.WriteString(".fi\n.RE\n.PP\n")
		}
		code = tab || code && l == ""
		fmt.Fprintf(&b, "\\&%s\n", strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(strings.ReplaceAll(l, "\t", "    ")))
	}
	if code {
		b.WriteString(".fi\n.RE\n")
	}
	return b.String()
}
