package dkim

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"gatepost/internal/workers"
	"gatepost/policy"
)

// verifyAll settles the signatures that are not settled yet. The keys are looked up while the body is read, once for all of them. The error is the
// body's: it did not come whole.
func (c *Check) verifyAll(ctx context.Context, list []*signature, head []byte, body *bufio.Reader) error {
	var open []*signature
	for _, s := range list {
		if s.result == "" {
			open = append(open, s)
		}
	}
	if len(open) == 0 {
		return nil
	}
	var keys sync.WaitGroup
	var left atomic.Int32 // signatures that may still pass
	left.Store(int32(len(open)))
	for _, s := range open {
		keys.Add(1)
		workers.Go(func() {
			if c.findKey(ctx, s); s.result != "" {
				left.Add(-1)
			}
			keys.Done()
		})
	}
	hashes, err := hashBody(body, open, &left)
	keys.Wait()
	if err != nil {
		if left.Load() == 0 { // nobody needs the body any more
			return nil
		}
		return err
	}
	fields := newIndex(head)
	for _, s := range open {
		if s.result == "" {
			s.verify(hashes[s.bodyRelaxed], fields, c.settings.MinRSABits)
		}
	}
	return nil
}

// hashBody gives the hash of the body in each form that the signatures ask for, by whether that is the relaxed one. It stops where none of them is left.
func hashBody(body *bufio.Reader, open []*signature, left *atomic.Int32) (map[bool][]byte, error) {
	forms := map[bool]*bodyHash{}
	for _, s := range open {
		if forms[s.bodyRelaxed] == nil {
			forms[s.bodyRelaxed] = newBodyHash(s.bodyRelaxed)
		}
	}
	for left.Load() > 0 {
		_, err := body.Peek(1)
		part, _ := body.Peek(body.Buffered())
		for _, f := range forms {
			f.write(part)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		body.Discard(len(part))
	}
	sums := map[bool][]byte{}
	for relaxed, f := range forms {
		sums[relaxed] = f.end()
	}
	return sums, nil
}

// findKey gets the key of a signature, and settles the signature where that is of no use.
func (c *Check) findKey(ctx context.Context, s *signature) {
	defer func() {
		if p := recover(); p != nil { // in a goroutine of ours the core cannot catch it
			s.settle(policy.TempError, fmt.Sprint("panic: ", p))
		}
	}()
	records, err := c.dns.TXT(ctx, s.keyName())
	switch e, _ := err.(*net.DNSError); {
	case err == nil && len(records) > 0:
		if s.key, err = c.readKey(records); err == nil {
			err = s.key.fits(s)
		}
		if err != nil {
			s.settle(policy.PermError, err.Error())
		}
	case err == nil, e != nil && e.IsNotFound:
		s.settle(policy.PermError, "there is no key")
	default: // RFC 6376 section 6.1.2
		s.settle(policy.TempError, "its key could not be looked up")
	}
}

// verify settles a signature by the hash of the body and the fields of the header (RFC 6376 section 6.1.3).
func (s *signature) verify(body []byte, fields index, minRSABits int) {
	if subtle.ConstantTimeCompare(body, s.bodySum) != 1 {
		s.settle(policy.Fail, "the body hash did not verify")
		return
	}
	sum := sha256.New()
	fields.write(sum, s)
	switch {
	case !s.key.signed(sum.Sum(nil), s.value):
		s.settle(policy.Fail, "signature did not verify")
	case s.key.rsa && s.key.bits < minRSABits:
		s.settle(byPolicy, fmt.Sprintf("its key has %d bits, %d are asked for", s.key.bits, minRSABits))
	case s.key.strict && !s.ownIdentity(): // RFC 6376 section 3.6.1, t=s
		s.settle(policy.PermError, "its key allows no i= below the domain")
	default:
		s.settle(policy.Pass, "")
	}
}

// signed says whether a signature of a hash was made with the key.
func (k *key) signed(sum, signature []byte) bool {
	if k.rsa {
		pub, ok := k.public.(*rsa.PublicKey)
		return ok && rsa.VerifyPKCS1v15(pub, crypto.SHA256, sum, signature) == nil
	}
	pub, ok := k.public.(ed25519.PublicKey) // RFC 8463 section 3: the hash is what is signed
	return ok && ed25519.Verify(pub, sum, signature)
}

// ownIdentity says whether i= is in the domain itself, not below it.
func (s *signature) ownIdentity() bool {
	return s.identity == "" || s.identityDomain() == s.domain
}
