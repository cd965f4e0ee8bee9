// Package dkim is the check of DKIM signatures (RFC 6376).
//
// It verifies the signatures of a message while the content comes in, whose body is hashed once for all of them: at most five of the first hundred, those of the author's domain first. An
// RSA key of less than 1024 bits, rsa-sha1 (RFC 8301) and a signature over a part of the body alone (l=) never pass, nor does any where
// the header has a line that is no field: another server may take that for the start of the body. A message
// without a valid signature is not refused for that (RFC 6376 section 6.1): the dmarc check judges what the author's domain asks for.
//
//	[check.dkim]
//	signatures = 5             # how many are looked at, from 1 to 20
//	min_rsa_bits = 1024        # an RSA key that is shorter: policy; from 1024 to 4096
//	on = { pass = "none", fail = "none", policy = "none", none = "none", temperror = "none", permerror = "none" } # the default
//
// Outcomes: pass (a signature is valid, whoever made it); if none is, the best result of the signatures of the author's
// domain, or of all where it made none: temperror (the key could not be looked up), policy (valid in form, but not acceptable here),
// fail (the message was changed, or the signature has expired), permerror (the signature or its key is
// broken); none (the message is not signed, or by a domain that tries DKIM out, t=y, and did not pass). All lead to no action by default.
//
// Evidence: "signed", once for each domain with a valid signature, in lower case and A-labels; "signature", once for each
// that was looked at, as "d=shop.example s=mail a=rsa-sha256 bits=2048 result=fail reason=the body hash did not verify";
// "signatures", as "5 of 100"; "error", what was at fault with the header or with us.
//
// A refusal says 550 5.7.20, or 5.7.21 for policy (RFC 7372 section 3.1), and 451 4.7.5 for temperror (RFC 6376 section 6.3).
package dkim

import (
	"bufio"
	"context"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"gatepost/policy"
)

// Settings are those of [check.dkim].
type Settings struct {
	Signatures int `toml:"signatures"`   // looked at, 1 to 20
	MinRSABits int `toml:"min_rsa_bits"` // 1024 to 4096
}

// Validate tells what is wrong with the settings.
func (s *Settings) Validate(problem func(key, message string)) {
	if s.Signatures < 1 || s.Signatures > 20 {
		problem("signatures", "is not from 1 to 20: each costs a query and a pass over the message")
	}
	if s.MinRSABits < 1024 || s.MinRSABits > 4096 {
		problem("min_rsa_bits", "is not from 1024 to 4096") // RFC 8301 section 3.2
	}
}

// Kind describes the check.
func Kind() policy.Kind {
	return policy.Kind{
		Name: "dkim",
		Outcomes: map[policy.Outcome]policy.Action{
			policy.Pass: policy.None, policy.Fail: policy.None, byPolicy: policy.None,
			policy.NoneFound: policy.None, policy.TempError: policy.None, policy.PermError: policy.None,
		},
		Settings: func() any { return &Settings{Signatures: 5, MinRSABits: 1024} },
	}
}

// byPolicy is the outcome of a signature that is valid in form but not acceptable (RFC 8601 section 2.7.1).
const byPolicy policy.Outcome = "policy"

// Resolver is what the check asks of the DNS; its errors keep the contract of the package resolver.
type Resolver interface {
	TXT(ctx context.Context, name string) ([]string, error)
}

// Check is the check. It reads the content.
type Check struct {
	settings Settings
	dns      Resolver
	keys     *lru.Cache[string, readResult] // by their record: to read one takes half as long as to verify with it
}

// maxKeys is how many keys are kept, of 8 KiB each at most.
const maxKeys = 256

// New makes the check.
func New(s *Settings, r Resolver) *Check {
	keys, _ := lru.New[string, readResult](maxKeys) // Its only error is for a size below one.
	return &Check{settings: *s, dns: r, keys: keys}
}

// Name is "dkim".
func (*Check) Name() string { return "dkim" }

// Stage is data.
func (*Check) Stage() policy.Stage { return policy.StageData }

// ReadsContent marks a check that reads the content.
func (*Check) ReadsContent() {}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 32<<10) }}

// Run verifies the signatures. It stops reading where nothing is left to verify.
func (c *Check) Run(ctx context.Context, v policy.View) policy.Finding {
	content := readers.Get().(*bufio.Reader)
	content.Reset(v.Content)
	defer func() {
		content.Reset(nil)
		readers.Put(content)
	}()
	head, err := readHead(content)
	if err != nil && err != errLargeHead {
		return incomplete(err)
	}
	list, total := signatures(head, v.Time)
	looked := choose(list, author(v), c.settings.Signatures)
	if err == nil {
		err = guard(head)
	}
	if total == 0 && err != errLargeHead { // none stands in what was not read
		err = nil
	}
	if err != nil {
		settleAll(looked, policy.PermError, err.Error())
	}
	if failed := c.verifyAll(ctx, looked, head, content); failed != nil {
		return incomplete(failed)
	}
	return finding(looked, total, author(v), err)
}

func author(v policy.View) string {
	if v.Message == nil {
		return ""
	}
	return v.Message.FromDomain
}
