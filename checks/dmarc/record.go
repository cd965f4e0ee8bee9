package dmarc

import (
	"net/url"
	"strings"
)

// The words for what an owner asks for, and the values of psd.
const (
	none       = "none"
	quarantine = "quarantine"
	reject     = "reject"
)

// record is a DMARC policy record (RFC 9989 section 4.7), as far as a receiver that sends no reports needs it.
type record struct {
	p, sp, np  string // none, quarantine or reject; sp and np are "" where the record has none
	strictDKIM bool   // adkim=s
	strictSPF  bool   // aspf=s
	psd        string // "y", "n", or "u" where it isn't said
	testing    bool   // t=y
	unusable   bool   // it asks for something that can't be read, and wants no reports: DMARC doesn't apply
}

// parseRecord reads a TXT record; false where it is no DMARC record.
func parseRecord(txt string) (record, bool) {
	version, rest, _ := strings.Cut(txt, ";")
	if name, value := splitTag(version); name != "v" || value != "DMARC1" { // RFC 9989 section 4.7: first, and case counts
		return record{}, false
	}
	tags := map[string]string{}
	for part := range strings.SplitSeq(rest, ";") {
		name, value := splitTag(part)
		if !isKnown(name) {
			continue // RFC 9989 section 4.7: unknown tags are ignored
		}
		if _, twice := tags[name]; twice {
			value = "" // RFC 6376 section 3.2: no tag comes twice; neither value is to be trusted
		}
		tags[name] = value
	}
	return fromTags(tags), true
}

func isKnown(tag string) bool {
	switch tag {
	case "p", "sp", "np", "adkim", "aspf", "psd", "t", "rua":
		return true
	}
	return false
}

// splitTag parts a tag's name from its value, with white space around both taken off. Names are in lower case.
func splitTag(part string) (name, value string) {
	name, value, _ = strings.Cut(part, "=")
	return strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t")
}

// fromTags makes the record. A value that can't be read counts as its default (RFC 9989 section 4.8), but for a policy's.
func fromTags(tags map[string]string) record {
	r := record{
		p:          none, // RFC 9989 section 4.7: that of a record without p
		strictDKIM: strings.EqualFold(tags["adkim"], "s"), strictSPF: strings.EqualFold(tags["aspf"], "s"),
		psd: "u", testing: strings.EqualFold(tags["t"], "y"),
	}
	if psd := strings.ToLower(tags["psd"]); psd == "y" || psd == "n" {
		r.psd = psd
	}
	readable := true
	for name, to := range map[string]*string{"p": &r.p, "sp": &r.sp, "np": &r.np} {
		if value, ok := tags[name]; ok {
			*to = strings.ToLower(value)
			readable = readable && isPolicy(*to)
		}
	}
	if !readable { // RFC 9989 section 4.10.1: p=none where reports are wanted, no DMARC otherwise
		r.p, r.sp, r.np = none, "", ""
		r.unusable = !hasURI(tags["rua"])
	}
	return r
}

func isPolicy(s string) bool { return s == none || s == quarantine || s == reject }

// hasURI says whether one of the reporting addresses is a URI.
func hasURI(rua string) bool {
	for s := range strings.SplitSeq(rua, ",") {
		if u, err := url.Parse(strings.Trim(s, " \t")); err == nil && u.Scheme != "" && u.Opaque+u.Host != "" {
			return true
		}
	}
	return false
}

// milder is one step below a policy (RFC 9989 section 4.7, tag t).
func milder(policy string) string {
	if policy == reject {
		return quarantine
	}
	return none
}
