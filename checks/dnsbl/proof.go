package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"gatepost/resolver"
)

// How long from proof to proof.
const (
	proveEvery = time.Hour   // in service
	pauseFirst = time.Minute // out of service; doubles up to proveEvery
)

// proof is what a list shows its health by (RFC 5782 section 5).
type proof struct {
	listed   []string // one of these is listed
	unlisted []string // none of these is
	entry    string   // what the first is called
	never    string
}

// addressProof is that of a list of addresses; one of IPv6 alone lists the mapped form.
func addressProof() proof {
	two, one := netip.AddrFrom4([4]byte{127, 0, 0, 2}), netip.AddrFrom4([4]byte{127, 0, 0, 1})
	return proof{ // RFC 5782 section 5: 127.0.0.2 or ::FFFF:7F00:2 is listed, 127.0.0.1 and ::FFFF:7F00:1 are not
		listed:   []string{reverse(two), reverse(netip.AddrFrom16(two.As16()))},
		unlisted: []string{reverse(one), reverse(netip.AddrFrom16(one.As16()))},
		entry:    "127.0.0.2", never: "127.0.0.1",
	}
}

// domainProof is that of a list of domains.
func domainProof() proof {
	// RFC 5782 section 5: TEST is listed, INVALID is not.
	return proof{listed: []string{"test"}, unlisted: []string{"invalid"}, entry: "TEST", never: "INVALID"}
}

// proveFirst lets a zone prove itself unless it has, by now.
func (z *zone) proveFirst(ctx context.Context) {
	select {
	case z.proving <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-z.proving }()
	if z.isUntested() {
		z.prove(ctx)
	}
}

// proveNow lets a zone prove itself, whatever its state.
func (z *zone) proveNow(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	select {
	case z.proving <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-z.proving }()
	z.prove(ctx)
}

// prove lets a zone prove itself and takes note. A look-up that fails in a zone that is in service counts as any other.
func (z *zone) prove(ctx context.Context) {
	why, err := z.fault(ctx)
	if isOurs(ctx, err) {
		return
	}
	if err != nil && z.state().Up {
		z.failed(ctx, err)
		return
	}
	z.change(func() {
		if err != nil {
			why = "cannot be looked up: " + reason(err)
		}
		if why == "" {
			z.up()
			return
		}
		z.down(why)
		z.pause = min(max(2*z.pause, pauseFirst), proveEvery)
	})
}

// fault is what is wrong with the zone, "" for nothing. The error is that of a look-up that failed.
func (z *zone) fault(ctx context.Context) (why string, err error) {
	found := !z.TestEntry
	for i := 0; i < len(z.tests.listed) && !found; i++ {
		if found, why, err = z.lists(ctx, z.tests.listed[i]); why != "" || err != nil {
			return why, err
		}
	}
	if !found {
		return "does not list the test entry " + z.tests.entry, nil
	}
	for _, name := range z.tests.unlisted {
		found, why, err = z.lists(ctx, name)
		if why != "" || err != nil {
			return why, err
		}
		if found {
			return fmt.Sprintf("lists %s, so it may list everything", z.tests.never), nil
		}
	}
	return "", nil
}

// lists says whether the zone has an entry, with any code; why is set where it refuses to tell.
func (z *zone) lists(ctx context.Context, name string) (found bool, why string, err error) {
	addrs, _, err := z.resolver.Listing(ctx, name+"."+z.Name)
	if err != nil {
		return false, "", err
	}
	r := read(addrs, z.Codes)
	if r.refusal.IsValid() {
		return false, refuses(r.refusal), nil
	}
	return len(r.hits)+len(r.other) > 0, "", nil
}

// watch lets the zone prove itself from time to time.
func (z *zone) watch(ctx context.Context) {
	for ctx.Err() == nil {
		z.proveNow(ctx)
		z.rest(ctx)
	}
}

// rest returns when the next proof is due.
func (z *zone) rest(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-z.fell: // it is due sooner now
		case <-time.After(z.due()):
			return
		}
	}
}

// due is how long it is to the next proof.
func (z *zone) due() time.Duration {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.now.Up {
		return proveEvery
	}
	return max(z.pause, pauseFirst)
}

// reason is an error in few words, without the name that was asked for, since that may hold a key.
func reason(err error) string {
	if errors.Is(err, resolver.ErrBusy) {
		return "too many queries of our own"
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsTimeout {
			return "no answer in time"
		}
		return "the name servers failed"
	}
	return "the look-up failed"
}
