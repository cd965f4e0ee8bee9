package checks

import (
	"embed"
	"fmt"
	"path"
	"strings"

	"gatepost/greylist"
)

//go:embed dkim/dkim.go dmarc/dmarc.go dnsbl/dnsbl.go headers/headers.go helo/helo.go pregreet/pregreet.go ratelimit/ratelimit.go rdns/rdns.go
//go:embed senderdomain/senderdomain.go size/size.go spf/spf.go
var sources embed.FS

// Manual is the manual page at the head of the package of a check.
type Manual struct{ Package, Text string }

// Manuals are those of all checks, by the names of their packages.
func Manuals() ([]Manual, error) {
	all := []Manual{{"greylist", head(greylist.Source())}}
	dirs, err := sources.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, d := range dirs {
		text, err := sources.ReadFile(path.Join(d.Name(), d.Name()+".go"))
		if err != nil {
			return nil, fmt.Errorf("the manual of %s: %w", d.Name(), err)
		}
		all = append(all, Manual{d.Name(), head(string(text))})
	}
	return all, nil
}

// head is the comment that a file begins with, without its marks.
func head(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		text, ok := strings.CutPrefix(line, "//")
		if !ok {
			break
		}
		b.WriteString(strings.TrimPrefix(text, " "))
	}
	return b.String()
}
