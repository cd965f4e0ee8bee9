package dkim

import (
	"cmp"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatepost/policy"
	"gatepost/resolver/idn"
)

const (
	maxNames = 200 // in an h=
	maxRead  = 100 // signatures; the rest is counted
)

// signature is a DKIM-Signature field and what came of it.
type signature struct {
	raw       []byte   // the field as it stands, a part of the header block
	domain    string   // d=, lower case, A-labels; "" where it is none
	selector  string   // s=, in A-labels; "" where it is none
	identity  string   // i=, without white space; "" where there is none
	algorithm string   // a=
	sign      string   // b=, without white space
	names     []string // h=, lower case

	headRelaxed, bodyRelaxed bool   // c=
	bodySum                  []byte // bh=
	value                    []byte // b=

	key    key
	result policy.Outcome // "" until it is settled
	reason string         // for a result other than pass
}

// signatures reads the signatures of a header block, the first 100 at most, and counts all. Those that no verification could make pass are
// settled.
func signatures(head []byte, now time.Time) (list []*signature, total int) {
	for f := range policy.Fields(head) {
		if !f.Is("dkim-signature") {
			continue
		}
		if total++; total <= maxRead {
			list = append(list, readSignature(f, now))
		}
	}
	return list, total
}

func readSignature(f policy.Field, now time.Time) *signature {
	s := &signature{raw: f.Raw}
	tags, err := parseTags(string(f.Body()))
	if err != nil {
		s.settle(policy.PermError, err.Error())
		return s
	}
	s.domain, s.selector = domainName(tags["d"]), domainName(tags["s"])
	s.identity, s.algorithm, s.sign = solid(tags["i"]), solid(tags["a"]), solid(tags["b"])
	s.names = elements(strings.ToLower(tags["h"]))
	s.precheck(tags, now)
	s.readValues(tags)
	return s
}

// precheck settles a signature that cannot pass whatever its key and the message are, so that no query and no hashing is spent on it.
func (s *signature) precheck(tags map[string]string, now time.Time) {
	_, partial := tags["l"]
	switch {
	case tags["v"] != "1": // RFC 6376 section 3.5
		s.settle(policy.PermError, "its version is not 1")
	case s.domain == "" || s.selector == "":
		s.settle(policy.PermError, "its domain or selector is no name")
	case !areFieldNames(s.names):
		s.settle(policy.PermError, "malformed list of header fields")
	case !slices.Contains(s.names, "from"): // RFC 6376 section 5.4
		s.settle(policy.PermError, "it does not cover From")
	case len(s.names) > maxNames:
		s.settle(policy.PermError, "it names more than 200 header fields")
	case s.algorithm == "rsa-sha1": // RFC 8301 section 3.1
		s.settle(policy.PermError, "rsa-sha1 is not secure")
	case s.algorithm != "rsa-sha256" && s.algorithm != "ed25519-sha256": // RFC 8463
		s.settle(policy.PermError, "its algorithm is not known")
	case partial: // RFC 6376 section 8.2: what is appended would seem signed
		s.settle(byPolicy, "it covers a part of the body alone (l=)")
	}
	s.precheckTimes(tags, now)
}

// precheckTimes looks at t= and x= (RFC 6376 section 3.5).
func (s *signature) precheckTimes(tags map[string]string, now time.Time) {
	made, goodMade := seconds(tags, "t")
	end, goodEnd := seconds(tags, "x")
	_, ends := tags["x"]
	switch {
	case !goodMade:
		s.settle(policy.PermError, "malformed time")
	case !goodEnd:
		s.settle(policy.PermError, "malformed expiration time")
	case ends && end <= made:
		s.settle(policy.PermError, "it expired before it was made")
	case ends && now.Unix() > end:
		s.settle(policy.Fail, "it has expired")
	}
}

// seconds is a time since 1970 that a tag holds, of 12 digits at most; 0 where the tag is not there.
func seconds(tags map[string]string, tag string) (at int64, ok bool) {
	value, given := tags[tag]
	if !given {
		return 0, true
	}
	if value == "" || len(value) > 12 || strings.Trim(value, "0123456789") != "" {
		return 0, false
	}
	at, err := strconv.ParseInt(value, 10, 64)
	return at, err == nil
}

// areFieldNames says whether a list holds nothing but what a header field may be named (RFC 5322 section 2.2). Empty elements, which
// some signers leave at the end, are passed over.
func areFieldNames(list []string) bool {
	for _, name := range list {
		if strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c >= 127 }) {
			return false
		}
	}
	return true
}

// readValues reads what the verification needs, and settles a signature that it cannot be read from.
func (s *signature) readValues(tags map[string]string) {
	var forms, sum, value error
	if c, ok := tags["c"]; ok {
		s.headRelaxed, s.bodyRelaxed, forms = canonicalForms(solid(c))
	}
	s.bodySum, sum = base64.StdEncoding.DecodeString(solid(tags["bh"]))
	s.value, value = base64.StdEncoding.DecodeString(s.sign)
	_, hasIdentity := tags["i"]
	q, hasQuery := tags["q"]
	switch {
	case tags["bh"] == "" || tags["b"] == "":
		s.settle(policy.PermError, "signature missing required tag")
	case hasIdentity && !s.within(): // RFC 6376 section 3.5, i=
		s.settle(policy.PermError, "domain mismatch")
	case hasQuery && !slices.Contains(elements(q), "dns/txt"):
		s.settle(policy.PermError, "unsupported public key query method")
	case forms != nil:
		s.settle(policy.PermError, forms.Error())
	case sum != nil:
		s.settle(policy.PermError, "malformed body hash")
	case value != nil:
		s.settle(policy.PermError, "malformed signature")
	}
}

var errForm = errors.New("unsupported canonicalization algorithm")

// canonicalForms reads a c=: whether the forms of header and body are the relaxed ones. One name is the header's.
func canonicalForms(c string) (head, body bool, err error) {
	h, b, both := strings.Cut(c, "/")
	if !both {
		b = "simple"
	}
	for _, name := range []string{h, b} {
		if name != "simple" && name != "relaxed" {
			err = errForm
		}
	}
	return h == "relaxed", b == "relaxed", err
}

// within says whether i= is in the domain or below it.
func (s *signature) within() bool {
	domain := s.identityDomain()
	return domain == s.domain || strings.HasSuffix(domain, "."+s.domain)
}

// identityDomain is the domain of i=; "" where there is none.
func (s *signature) identityDomain() string {
	at := strings.LastIndexByte(s.identity, '@')
	if at < 0 {
		return ""
	}
	return domainName(s.identity[at+1:])
}

// settle sets the result; the first one stands.
func (s *signature) settle(result policy.Outcome, reason string) {
	if s.result == "" {
		s.result, s.reason = result, reason
	}
}

func settleAll(list []*signature, result policy.Outcome, reason string) {
	for _, s := range list {
		s.settle(result, reason)
	}
}

// keyName is where the key is published (RFC 6376 section 3.6.2.1).
func (s *signature) keyName() string { return s.selector + "._domainkey." + s.domain }

// choose is up to n of the signatures: those nearest to the author's domain first, of these what may pass, else in the order of the header.
func choose(all []*signature, from string, n int) []*signature {
	list := slices.Clone(all)
	hopeless := map[bool]int{true: 1}
	slices.SortStableFunc(list, func(a, b *signature) int {
		return cmp.Or(cmp.Compare(nearness(b.domain, from), nearness(a.domain, from)),
			cmp.Compare(hopeless[a.result != ""], hopeless[b.result != ""]))
	})
	return list[:min(n, len(list))]
}

// nearness is higher the more labels at the end two domains share, and highest for the same domain.
func nearness(domain, from string) int {
	if domain == "" || from == "" {
		return 0
	}
	a, b := strings.Split(domain, "."), strings.Split(from, ".")
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	if domain == from {
		return 2*n + 1
	}
	return 2 * n
}

// aligned says whether a domain is the author's, or one is above the other: so it may speak for the author.
func aligned(domain, from string) bool {
	return domain != "" && from != "" &&
		(domain == from || strings.HasSuffix(domain, "."+from) || strings.HasSuffix(from, "."+domain))
}

// domainName is idn.Canonical; "" where s is none.
func domainName(s string) string {
	name, _ := idn.Canonical(s)
	return name
}
