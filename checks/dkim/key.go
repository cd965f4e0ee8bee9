package dkim

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// Bounds of a key record. A key of 16 kbit takes a hundred times as long as one of 2 kbit, and a stranger picks it.
const (
	maxKeyRecord = 8 << 10 // octets
	maxRSABits   = 8192    // RFC 8301 section 3.2: up to 4096 is to be expected
)

var (
	errLargeRecord = errors.New("its key record is larger than 8 KiB")
	errLongKey     = errors.New("its key has more than 8192 bits")
)

// key is what a key record (RFC 6376 section 3.6.1) says beside the key itself.
type key struct {
	rsa     bool
	bits    int  // 0 where the key cannot be read
	testing bool // t=y: the domain tries DKIM out
	strict  bool // t=s: no i= below the domain
}

// readKey reads the key records that were found. The error is that of a key not worth the time; whatever else is wrong, the library
// finds out.
func readKey(records []string) (key, error) {
	if len(records) != 1 {
		return key{}, nil
	}
	if len(records[0]) > maxKeyRecord {
		return key{}, errLargeRecord
	}
	tags, err := parseTags(records[0])
	if err != nil {
		return key{}, nil
	}
	flags := strings.Split(solid(tags["t"]), ":")
	k := key{testing: slices.Contains(flags, "y"), strict: slices.Contains(flags, "s")}
	k.rsa, k.bits = keySize(tags["k"], tags["p"])
	if k.bits > maxRSABits {
		return k, errLongKey
	}
	return k, nil
}

// keySize says whether a key is one for RSA, and how many bits it has; 0 where it cannot be read.
func keySize(kind, p string) (isRSA bool, bits int) {
	b, err := base64.StdEncoding.DecodeString(solid(p))
	if err != nil {
		return false, 0
	}
	if kind == "ed25519" { // RFC 8463 section 4
		return false, len(b) * 8
	}
	if pub, err := x509.ParsePKCS1PublicKey(b); err == nil { // RFC 6376 erratum 3017: both forms
		return true, pub.N.BitLen()
	}
	pub, _ := x509.ParsePKIXPublicKey(b)
	if pub, ok := pub.(*rsa.PublicKey); ok {
		return true, pub.N.BitLen()
	}
	return false, 0
}
