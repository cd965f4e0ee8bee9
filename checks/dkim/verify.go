package dkim

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"gatepost/policy"
)

// verifyAll settles the signatures that are not settled yet, reading the body once for all of them. The error is the body's: it did not come whole.
func (c *Check) verifyAll(ctx context.Context, list []*signature, head []byte, body *bufio.Reader) error {
	var wg sync.WaitGroup
	var to []*io.PipeWriter
	for _, s := range list {
		if s.result != "" {
			continue
		}
		r, w := io.Pipe()
		to = append(to, w)
		wg.Go(func() {
			defer r.Close() // a body that nobody needs any more is not waited with
			c.verify(ctx, s, io.MultiReader(bytes.NewReader(headFor(s, head)), r))
		})
	}
	if len(to) == 0 {
		return nil
	}
	err := spread(body, to)
	wg.Wait()
	if errors.Is(err, errLongGap) {
		return nil
	}
	return err
}

// spread writes the body to all pipes, until it ends or none of them is read any more.
func spread(body *bufio.Reader, to []*io.PipeWriter) error {
	var gap gap
	for {
		_, err := body.Peek(1)
		part, _ := body.Peek(body.Buffered())
		switch {
		case gap.add(part):
			return end(to, errLongGap)
		case len(part) > 0 && !write(to, part):
			return nil
		case err != nil:
			return end(to, err)
		}
		body.Discard(len(part))
	}
}

// write writes to all pipes and says whether any is still read.
func write(to []*io.PipeWriter, p []byte) (open bool) {
	for _, w := range to {
		if _, err := w.Write(p); err == nil {
			open = true
		}
	}
	return open
}

// end tells all pipes how the body ended. The error is nil where it came whole.
func end(to []*io.PipeWriter, err error) error {
	for _, w := range to {
		w.CloseWithError(err)
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// maxGap bounds the white space in a row in a body, in octets. The library keeps empty lines until it sees what follows, and copies them
// again with each write: without a bound, 50 MB of them take minutes.
const maxGap = 256 << 10

var errLongGap = errors.New("the body has more than 256 KiB of white space in a row")

// gap counts the white space at the end of what it has seen.
type gap int

// add takes the next part of the body and says whether there was too much of it in a row. One part is taken to be smaller than maxGap.
func (g *gap) add(p []byte) bool {
	rest := bytes.TrimLeft(p, wsp)
	if len(rest) == 0 {
		*g += gap(len(p))
		return *g > maxGap
	}
	long := int(*g)+len(p)-len(rest) > maxGap
	*g = gap(len(rest) - len(bytes.TrimRight(rest, wsp)))
	return long
}

// verify settles one signature, with the library; it stands first in the message.
func (c *Check) verify(ctx context.Context, s *signature, message io.Reader) {
	defer func() {
		if p := recover(); p != nil { // in a goroutine of ours the core cannot catch it
			s.settle(policy.TempError, fmt.Sprint("panic: ", p))
		}
	}()
	found, err := msgauth.VerifyWithOptions(message, &msgauth.VerifyOptions{
		MaxVerifications: 1, LookupTXT: func(string) ([]string, error) { return c.lookup(ctx, s) }})
	if err != nil && !errors.Is(err, msgauth.ErrTooManySignatures) {
		s.settleBody(err)
		return
	}
	s.settleBy(found[0].Err, c.settings.MinRSABits)
}

// lookup gets the key. The name that the library asks for is not used: it does not know A-labels.
func (c *Check) lookup(ctx context.Context, s *signature) ([]string, error) {
	records, err := c.dns.TXT(ctx, s.keyName())
	if err != nil {
		return nil, err
	}
	if s.key, err = readKey(records); err != nil {
		s.settle(policy.PermError, err.Error())
	}
	return records, err
}

// settleBody settles a signature whose body could not be read.
func (s *signature) settleBody(err error) {
	if errors.Is(err, errLongGap) {
		s.settle(policy.PermError, errLongGap.Error())
		return
	}
	s.settle(policy.TempError, "the body did not come whole")
}

// settleBy settles a signature by the library's verdict.
func (s *signature) settleBy(err error, minRSABits int) {
	switch {
	case msgauth.IsTempFail(err): // RFC 6376 section 6.1.2
		s.settle(policy.TempError, "its key could not be looked up")
	case msgauth.IsPermFail(err):
		s.settle(policy.PermError, reason(err))
	case err != nil:
		s.settle(policy.Fail, reason(err))
	case s.key.rsa && s.key.bits < minRSABits:
		s.settle(byPolicy, fmt.Sprintf("its key has %d bits, %d are asked for", s.key.bits, minRSABits))
	case s.key.strict && !s.ownIdentity(): // RFC 6376 section 3.6.1, t=s
		s.settle(policy.PermError, "its key allows no i= below the domain")
	default:
		s.settle(policy.Pass, "")
	}
}

// ownIdentity says whether i= is in the domain itself, not below it.
func (s *signature) ownIdentity() bool {
	_, domain, _ := strings.Cut(s.identity, "@")
	return s.identity == "" || domainName(domain) == s.domain
}

// reason is the library's verdict in few words, without text from outside: what it quotes stands behind a colon.
func reason(err error) string {
	text := strings.TrimPrefix(err.Error(), "dkim: ")
	switch what, _, _ := strings.Cut(text, ":"); what {
	case "no key for signature", "no valid key found":
		return "there is no key"
	case "body hash did not verify":
		return "the body hash did not verify"
	default:
		return what
	}
}
