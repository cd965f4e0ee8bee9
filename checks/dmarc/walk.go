package dmarc

import (
	"context"
	"slices"
	"strings"
	"sync"

	"gatepost/internal/workers"
	"gatepost/resolver"
)

// records finds the DMARC records of names, and asks for each name once in its life, which is that of one message.
type records struct {
	dns  Resolver
	seen map[string]answer
}

// answer is the record of a name, nil where it has none, or the error that kept it from us.
type answer struct {
	record *record
	err    error
}

func newRecords(dns Resolver) *records { return &records{dns: dns, seen: map[string]answer{}} }

// prepare asks for all records that a judgement of the authors is likely to need, those of one author at once: they are at hand then when
// what spf and dkim found is. claimed are the domains that these two may prove.
func (r *records) prepare(ctx context.Context, authors, claimed []string) {
	for _, domain := range authors {
		names := steps(domain)
		for _, other := range claimed {
			if akin(domain, other) {
				names = append(names, steps(other)...)
			}
		}
		bounded, cancel := context.WithTimeout(ctx, dnsBudget)
		r.warm(bounded, names) // an error is kept, and told in its place
		cancel()
	}
}

// akin says whether two domains may be of one organization, by their last two labels.
func akin(a, b string) bool {
	top := a
	for strings.Count(top, ".") > 1 {
		_, top, _ = strings.Cut(top, ".")
	}
	return isUnder(b, top) || b == top
}

// warmAtOnce is how many names are asked for at the same time for one message: those of one walk.
const warmAtOnce = 8

// warm asks for the records of names, if they are not known, so that a walk over them takes the time of one look-up. The first ones are
// asked for first: who sets signatures of slow domains beside an author must not keep the author's record from us.
func (r *records) warm(ctx context.Context, names []string) {
	names = r.unknown(names)
	txts, errs := make([][]string, len(names)), make([]error, len(names))
	slots := make(chan struct{}, warmAtOnce)
	var wg sync.WaitGroup
	for i, name := range names {
		slots <- struct{}{}
		wg.Add(1)
		workers.Go(func() {
			txts[i], errs[i] = r.texts(ctx, name)
			<-slots
			wg.Done()
		})
	}
	wg.Wait()
	for i, name := range names {
		r.seen[name] = answer{only(txts[i]), errs[i]}
	}
}

// unknown is the names not asked for yet, each once, in their order.
func (r *records) unknown(names []string) (left []string) {
	for _, name := range names {
		if _, known := r.seen[name]; !known && !slices.Contains(left, name) {
			left = append(left, name)
		}
	}
	return left
}

// at is the DMARC record of a name; nil where it has none, or several. Any error is a temporary one.
func (r *records) at(ctx context.Context, name string) (*record, error) {
	a, ok := r.seen[name]
	if !ok {
		txts, err := r.texts(ctx, name)
		a = answer{only(txts), err}
		r.seen[name] = a
	}
	return a.record, a.err
}

// texts is the TXT records where a name's DMARC record stands; none where there is no such name.
func (r *records) texts(ctx context.Context, name string) ([]string, error) {
	name = "_dmarc." + name
	if len(name) > 253 { // RFC 1035 section 2.3.4: no such name can be
		return nil, nil
	}
	txts, err := r.dns.TXT(ctx, name)
	if resolver.IsNotFound(err) {
		return nil, nil
	}
	return txts, err
}

// only is the DMARC record among TXT records; nil where there is none.
func only(txts []string) *record {
	var found []record
	for _, txt := range txts {
		if rec, ok := parseRecord(txt); ok {
			found = append(found, rec)
		}
	}
	if len(found) != 1 { // RFC 9989 section 4.10 step 2: of several, none counts
		return nil
	}
	return &found[0]
}

// named is a record and the domain that it is the record of.
type named struct {
	domain string
	record *record
}

// walk looks for records at the names in turn, until one says that no more are above it.
func (r *records) walk(ctx context.Context, names []string) ([]named, error) {
	var found []named
	for _, name := range names {
		rec, err := r.at(ctx, name)
		if err != nil {
			return nil, err
		}
		if rec == nil {
			continue
		}
		found = append(found, named{name, rec})
		if rec.psd != "u" { // RFC 9989 section 4.10 steps 2 and 6
			break
		}
	}
	return found, nil
}

// steps is the names that a tree walk from a domain asks for, at most 8 (RFC 9989 section 4.10 steps 3 to 7).
func steps(domain string) []string {
	names := []string{domain}
	labels := strings.Count(domain, ".") + 1
	for range max(1, labels-7) { // step 4: one label goes, or all but seven
		_, domain, _ = strings.Cut(domain, ".")
	}
	for ; domain != ""; _, domain, _ = strings.Cut(domain, ".") {
		names = append(names, domain)
	}
	return names
}

// policyRecord is the record whose policy applies to a domain, which is its own, that of its organizational domain, or that of
// its public suffix (RFC 9989 section 4.10.1); nil where there is none.
func (r *records) policyRecord(ctx context.Context, domain string) (*named, error) {
	names := steps(domain)
	if own, err := r.walk(ctx, names[:1]); err != nil || len(own) > 0 {
		return first(own), err
	}
	r.warm(ctx, names[1:])
	found, err := r.walk(ctx, names[1:])
	if err != nil || len(found) == 0 {
		return nil, err
	}
	org := organization(domain, found)
	if i := slices.IndexFunc(found, func(n named) bool { return n.domain == org }); i >= 0 {
		return &found[i], nil
	}
	return &found[len(found)-1], nil // the organization has none: the suffix's, which ended the walk
}

func first(found []named) *named {
	if len(found) == 0 {
		return nil
	}
	return &found[0]
}

// organizationOf is the organizational domain of a domain.
func (r *records) organizationOf(ctx context.Context, domain string) (string, error) {
	found, err := r.walk(ctx, steps(domain))
	return organization(domain, found), err
}

// organization picks the organizational domain from the records that a walk from start found, the longest name first
// (RFC 9989 section 4.10.2).
func organization(start string, found []named) string {
	for _, n := range found {
		switch {
		case n.record.psd == "n": // rule 1
			return n.domain
		case n.record.psd == "y" && n.domain != start: // rule 2: one label below it
			below := strings.TrimSuffix(start, "."+n.domain)
			return below[strings.LastIndexByte(below, '.')+1:] + "." + n.domain
		}
	}
	if len(found) > 0 { // rule 3: the fewest labels
		return found[len(found)-1].domain
	}
	return start
}

// wish is what the owner asks for mail by the author's domain that fails, with t=y taken in. Any error is a temporary one.
func (r *records) wish(ctx context.Context, author string, n *named) (string, error) {
	wish := n.record.p
	if n.domain != author {
		sub, err := r.subdomainWish(ctx, author, n.record)
		if err != nil {
			return "", err
		}
		wish = sub
	}
	if n.record.testing {
		wish = milder(wish)
	}
	return wish, nil
}

// subdomainWish is the policy for a domain below the record's: np before sp before p where it doesn't exist, else sp before p.
func (r *records) subdomainWish(ctx context.Context, author string, rec *record) (string, error) {
	wish := rec.p
	if rec.sp != "" {
		wish = rec.sp
	}
	if rec.np == "" || rec.np == wish {
		return wish, nil
	}
	exists, err := r.dns.Exists(ctx, author) // RFC 9989 section 3.2.13: NXDOMAIN alone says that it doesn't
	if err == nil && !exists {
		wish = rec.np
	}
	return wish, err
}

// isUnder says whether a name stands below another.
func isUnder(name, top string) bool { return strings.HasSuffix(name, "."+top) }
