package dmarc

import (
	"context"
	"net"
	"strings"
	"sync"
)

// zone is a Resolver for tests: the TXT records of each name, or "SERVFAIL" where the DNS fails. A name that has a name below it
// exists as well.
type zone struct {
	txt map[string][]string

	mu    sync.Mutex
	asked []string
}

// dmarcZone is a zone with the DMARC records of each domain, " | " between them.
func dmarcZone(records map[string]string) *zone {
	z := &zone{txt: map[string][]string{}}
	for domain, r := range records {
		z.txt["_dmarc."+domain] = strings.Split(r, " | ")
	}
	return z
}

func (z *zone) note(name string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked = append(z.asked, name)
}

func (z *zone) TXT(_ context.Context, name string) ([]string, error) {
	z.note(name)
	txt, ok := z.txt[name]
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case txt[0] == "SERVFAIL":
		return nil, &net.DNSError{Err: "server failure", Name: name, IsTemporary: true}
	}
	return txt, nil
}

func (z *zone) Exists(_ context.Context, name string) (bool, error) {
	z.note(name)
	if txt, ok := z.txt[name]; ok && txt[0] == "SERVFAIL" {
		return false, &net.DNSError{Err: "server failure", Name: name, IsTemporary: true}
	}
	for n := range z.txt {
		if n == name || strings.HasSuffix(n, "."+name) {
			return true, nil
		}
	}
	return false, nil
}
