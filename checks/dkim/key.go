package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// Bounds of a key record. A key of 16 kbit takes a hundred times as long as one of 2 kbit, and a stranger picks it.
const (
	maxKeyRecord  = 8 << 10 // octets
	lowestRSABits = 1024    // RFC 8301 section 3.2: what is shorter must not pass
	maxRSABits    = 8192    // RFC 8301 section 3.2: up to 4096 is to be expected
)

// What can be wrong with a key.
var (
	errLargeRecord = errors.New("its key record is larger than 8 KiB")
	errManyRecords = errors.New("multiple TXT records found for key") // RFC 6376 section 3.6.2.2
	errRecord      = errors.New("key record error")
	errKeyVersion  = errors.New("incompatible public key version")
	errKeySyntax   = errors.New("key syntax error")
	errRevoked     = errors.New("key revoked") // RFC 6376 section 3.6.1, p=
	errKeyKind     = errors.New("unsupported key algorithm")
	errEdSize      = errors.New("invalid Ed25519 public key size")
	errShortKey    = errors.New("key is too short")
	errLongKey     = errors.New("its key has more than 8192 bits")
	errOtherKind   = errors.New("inappropriate key algorithm")
	errOtherHash   = errors.New("inappropriate hash algorithm")
	errOtherUse    = errors.New("inappropriate service")
)

// key is a public key with what its record says beside it (RFC 6376 section 3.6.1).
type key struct {
	public  crypto.PublicKey // *rsa.PublicKey or ed25519.PublicKey; nil where it cannot be read
	rsa     bool
	bits    int  // 0 where the key cannot be read
	sha256  bool // h= allows it
	mail    bool // s= allows it
	testing bool // t=y: the domain tries DKIM out
	strict  bool // t=s: no i= below the domain
}

// readResult is what readKey gives.
type readResult struct {
	key key
	err error
}

// readKey is readKey for records that may have been read before.
func (c *Check) readKey(records []string) (key, error) {
	if len(records) != 1 || len(records[0]) > maxKeyRecord {
		return readKey(records)
	}
	r, ok := c.keys.Get(records[0])
	if !ok {
		r.key, r.err = readKey(records)
		c.keys.Add(records[0], r)
	}
	return r.key, r.err
}

// readKey reads the key records that were found, at least one. With an error, the key has what could be read.
func readKey(records []string) (key, error) {
	if ours := slices.DeleteFunc(slices.Clone(records), ofOtherVersion); len(ours) > 0 {
		records = ours
	}
	switch {
	case len(records) > 1:
		return key{}, errManyRecords
	case len(records[0]) > maxKeyRecord:
		return key{}, errLargeRecord
	}
	tags, err := parseTags(records[0])
	if err != nil {
		return key{}, errRecord
	}
	flags := elements(tags["t"])
	k := key{testing: slices.Contains(flags, "y"), strict: slices.Contains(flags, "s"),
		sha256: allows(tags, "h", "sha256"), mail: allows(tags, "s", "email", "*")}
	if v, ok := tags["v"]; ok && v != "DKIM1" {
		return k, errKeyVersion
	}
	return k, k.read(tags)
}

// ofOtherVersion says whether a record is to be discarded since it starts with a v= that is not ours (RFC 6376 section 3.6.1).
func ofOtherVersion(record string) bool {
	first, _, _ := strings.Cut(record, ";")
	name, value, _ := strings.Cut(first, "=")
	return strings.Trim(name, wsp) == "v" && strings.Trim(value, wsp) != "DKIM1"
}

// elements is what stands between the colons of a value.
func elements(value string) []string {
	list := strings.Split(value, ":")
	for i := range list {
		list[i] = strings.Trim(list[i], wsp)
	}
	return list
}

// allows says whether a list that a tag holds has one of some words; one that is not there allows all.
func allows(tags map[string]string, tag string, words ...string) bool {
	value, ok := tags[tag]
	return !ok || slices.ContainsFunc(elements(value), func(s string) bool { return slices.Contains(words, s) })
}

// read reads the key itself, from k= and p=.
func (k *key) read(tags map[string]string) error {
	p, ok := tags["p"]
	if !ok {
		return errKeySyntax
	}
	if p == "" {
		return errRevoked
	}
	b, err := base64.StdEncoding.DecodeString(solid(p))
	if err != nil {
		return errKeySyntax
	}
	switch tags["k"] {
	case "", "rsa":
		return k.readRSA(b)
	case "ed25519": // RFC 8463 section 4
		k.bits = len(b) * 8
		if len(b) != ed25519.PublicKeySize {
			return errEdSize
		}
		k.public = ed25519.PublicKey(b)
		return nil
	}
	return errKeyKind
}

// readRSA reads a key in either of its forms (RFC 6376 erratum 3017).
func (k *key) readRSA(b []byte) error {
	k.rsa = true
	pub, err := x509.ParsePKCS1PublicKey(b)
	if err != nil {
		other, _ := x509.ParsePKIXPublicKey(b)
		var ok bool
		if pub, ok = other.(*rsa.PublicKey); !ok {
			return errKeySyntax
		}
	}
	k.public, k.bits = pub, pub.N.BitLen()
	switch {
	case k.bits < lowestRSABits:
		return errShortKey
	case k.bits > maxRSABits:
		return errLongKey
	}
	return nil
}

// fits is the error of a key that is not for such a signature (RFC 6376 section 6.1.2).
func (k *key) fits(s *signature) error {
	switch {
	case !k.sha256:
		return errOtherHash
	case k.rsa != (s.algorithm == "rsa-sha256"):
		return errOtherKind
	case !k.mail:
		return errOtherUse
	}
	return nil
}
