package greylist

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/netip"

	"gatepost/policy"
)

// Key is the hash under which an entry is kept: nothing from outside is a key as it came.
type Key [16]byte

// String is the key in hexadecimal.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// keyOf hashes parts, each with its length before it, so that no two lists of parts are written alike.
func keyOf(parts ...string) Key {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return Key(h.Sum(nil)[:16])
}

// Identity is whom a client is taken for: a network such as "192.0.2.0/24", or a domain that SPF proved.
type Identity struct {
	Name   string
	Proved bool // a domain
}

// key is the key of the client's own entry.
func (id Identity) key() Key { return keyOf(id.class(), id.Name) }

// class keeps a domain apart from a network of the same name.
func (id Identity) class() string {
	if id.Proved {
		return "domain"
	}
	return "network"
}

// networkOf is the identity of an address.
func (s *Settings) networkOf(a netip.Addr) Identity {
	a = a.Unmap().WithZone("")
	bits := s.Prefix.IPv6
	if a.Is4() {
		bits = s.Prefix.IPv4
	}
	p, err := a.Prefix(bits)
	if err != nil { // no address, or more bits than it has: the address alone
		return Identity{Name: a.String()}
	}
	return Identity{Name: p.String()}
}

// identify is whom the client of a view is taken for. For a null sender SPF proves no more than a HELO name, which each host of a pool
// has for itself, so the network counts.
func (s *Settings) identify(v policy.View) Identity {
	if f, ok := v.Finding(spfCheck); ok && f.Outcome == policy.Pass && v.Sender.Domain != "" {
		return Identity{Name: v.Sender.Domain, Proved: true}
	}
	return s.networkOf(v.Client)
}

// knownAfter is how many mails make such a client known; 0: none do.
func (s *Settings) knownAfter(id Identity) int {
	if id.Proved {
		return s.KnownAfter.SPF
	}
	return s.KnownAfter.Network
}

// sighting is what a view is to the store.
func (s *Settings) sighting(v policy.View, now int64) Sighting {
	sender := "<>"
	if !v.NullPath {
		sender = normal(v.Sender)
	}
	return s.triplet(s.identify(v), sender, v.Recipient, now)
}

// triplet is the sighting of a sender, normalised, and a recipient by a client.
func (s *Settings) triplet(id Identity, sender string, rcpt policy.Mailbox, now int64) Sighting {
	to := plainMailbox(rcpt)
	return Sighting{
		Client:  id.key(),
		Triplet: keyOf(id.class(), id.Name, sender, to),
		Label:   newLabel(id, sender, to),
		After:   s.knownAfter(id),
		Now:     now,
	}
}
