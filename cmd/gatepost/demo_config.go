package main

import (
	"fmt"
	"os"

	"gatepost/checks"
	"gatepost/config"
)

// config writes the config and reads it as a file is read.
func (st *stage) config() (*config.Config, error) {
	text := fmt.Sprintf(demoConfig, demoHost, st.smtp, st.tries, st.file("cert.pem"), st.file("key.pem"), st.sinkAddr,
		st.dns, st.file("journal"), st.file("journal.jsonl"), st.admin)
	if err := os.WriteFile(st.file("gatepost.toml"), []byte(text), 0o600); err != nil {
		return nil, err
	}
	return config.Parse("gatepost.toml", []byte(text), checks.Kinds())
}

const demoConfig = `# The config of "gatepost demo".
hostname = %q
mode = "enforce"

[listen.smtp]
address = [%q]

# The samples come in here, each with the address of its sender in a PROXY header.
[listen.samples]
address = [%q]
proxy_protocol_from = ["127.0.0.1/32"]

[tls]
certificate = %q
key = %q

[backend.main]
address = [%q]
domains = ["example.com", ".example.net"]
client_ip = "xclient"

[dns]
servers = [%q] # the demo's own, which knows the names of the samples and no others

[policy]
contact = "postmaster@example.com"
checks = [ # in the order of judgement
  "pregreet",     # who talks before the banner is no mail server
  "rdns",         # the name of the sender's address: for the record and the headers
  "dnsbl",        # block lists, by the sender's address
  "helo",         # whether a stranger greets by our own name
  "spf",          # whether the domain of the sender lets this address send for it
  "senderdomain", # whether that domain could be answered at all
  "greylist",     # whether a stranger comes again
  "dkim",         # signatures: what is found is for dmarc
  "dmarc",        # whether the author that people see is proved, and what its domain wants where not
]

[check.pregreet]
wait = "50ms" # short, for the sake of the audience

[check.dnsbl.zone."bl.demo.example"]

[check.spf]
on = { fail = "reject", softfail = "tag" } # as it is without a word, written out for the line numbers below

[check.dmarc]
on = { fail-reject = "reject", fail-reject-indirect = "tag" } # likewise

[check.senderdomain]
mode = "monitor" # it watches and records, and refuses nothing

[check.greylist]
delay = "1s" # the shortest there is, for the sake of the audience
store = "memory" # forgotten with the demo

[domain."example.com"]
check.greylist.mode = "off" # example.net alone has it

[rule.partner] # its network is on the block list, for the doings of others
action = "allow"
sender_domain = ["partner.example"]
proof = "spf" # else anyone could claim the name
skip = ["dnsbl"]

[journal]
dir = %q
file = %q

[admin]
address = %q

[log]
level = "error"
`
