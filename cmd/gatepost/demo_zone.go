package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"gatepost/internal/dnstest"
)

// startDNS starts a DNS server that knows the names of the demo and nothing else: no question leaves this machine. The key that
// bank.example signs with is made here, and forgotten with the stage.
func (st *stage) startDNS() error {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	zone := fmt.Sprintf(demoZone, selector, base64.StdEncoding.EncodeToString(public)) // RFC 8463 section 4.2: the bare key
	addr, stop, err := dnstest.ListenZone(zone)
	if err != nil {
		return err
	}
	st.key, st.dns = key, addr
	st.ends = append(st.ends, stop)
	return nil
}

// selector is where the key of bank.example is published.
const selector = "demo"

// demoZone is who is who in the demo, in the master file format of RFC 1035 section 5.
const demoZone = `
; This proxy, and the domains behind it.
$ORIGIN example.com.
@       MX 10 mx
mx      A 192.0.2.25
$ORIGIN example.net.
@       MX 10 mx.example.com.

; An honest shop. 127.0.0.0/8 is you, when you send by hand.
$ORIGIN shop.example.
@       MX 10 mail
@       TXT "v=spf1 ip4:198.51.100.7 ip4:127.0.0.0/8 -all"
_dmarc  TXT "v=DMARC1; p=reject"
mail    A 198.51.100.7

$ORIGIN xn--bcher-kva.example.
@       MX 10 mail.shop.example.
@       TXT "v=spf1 ip6:2001:db8:7::/48 -all"

; A bank, which signs its mail and asks to refuse what is not proved to be its own.
$ORIGIN bank.example.
@       MX 10 mail
@       TXT "v=spf1 ip4:198.51.100.20 -all"
_dmarc  TXT "v=DMARC1; p=reject"
mail    A 198.51.100.20
%s._domainkey TXT "v=DKIM1; k=ed25519; p=%s"

; A club that is not sure from where its members send.
$ORIGIN club.example.
@       MX 10 mail
@       TXT "v=spf1 ip4:198.51.100.30 ~all"
mail    A 198.51.100.30

; A forwarder, a mailing list, a partner.
$ORIGIN alumni.example.
@       MX 10 mail
@       TXT "v=spf1 ip4:198.51.100.40 -all"
mail    A 198.51.100.40
$ORIGIN lists.example.
@       MX 10 mail
@       TXT "v=spf1 ip4:198.51.100.50 -all"
mail    A 198.51.100.50
$ORIGIN partner.example.
@       MX 10 mail
@       TXT "v=spf1 ip4:203.0.113.98 -all"
mail    A 203.0.113.98

; A workshop without SPF, and a provider with many addresses; none of them has a name.
$ORIGIN workshop.example.
@       MX 10 mail
mail    A 203.0.113.130
$ORIGIN bigmail.example.
@       MX 10 mail
@       TXT "v=spf1 ip4:192.0.2.128/25 ip4:198.51.100.128/25 ip6:2001:db8:b16::/48 -all"
mail    A 192.0.2.130

; Spammers publish SPF as well: it says who they are, not that they are good.
$ORIGIN cheap-pills.example.
@       MX 10 mail
@       TXT "v=spf1 ip4:203.0.113.66 ip4:203.0.113.99 -all"
mail    A 203.0.113.66

; A block list. It lists 127.0.0.2 and not 127.0.0.1, by which it proves itself (RFC 5782 section 5).
$ORIGIN bl.demo.example.
2.0.0.127     A 127.0.0.2
99.113.0.203  A 127.0.0.2
99.113.0.203  TXT "It sent spam this morning"
98.113.0.203  A 127.0.0.2
98.113.0.203  TXT "A customer of this network sent spam"

; The names of their addresses.
$ORIGIN 100.51.198.in-addr.arpa.
7   PTR mail.shop.example.
20  PTR mail.bank.example.
30  PTR mail.club.example.
40  PTR mail.alumni.example.
50  PTR mail.lists.example.
$ORIGIN 113.0.203.in-addr.arpa.
66  PTR mail.cheap-pills.example.
98  PTR mail.partner.example.
$ORIGIN 2.0.192.in-addr.arpa.
25  PTR mx.example.com.
`
