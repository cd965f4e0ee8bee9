package config

// Example is the config that `gatepost init` prints. A line that begins with "#" and a letter or bracket shows a default,
// or a setting that needs the admin's own value; all else is in force.
func Example() string { return example }

const example = `# gatepost, an SMTP proxy in front of a mail server.
# "gatepost check" tells what is wrong with this file; a running gatepost reads it again on SIGHUP.
# A line such as "#soft = false" shows a default; take the "#" away to change it.
# Durations and sizes bear a unit: "90s", "5m", "48h", "36d", "2w"; "64KiB", "50MB".

# The name of this server, as DNS has it: in the banner, Received and Authentication-Results.
# Without it, the name of the machine, if that is fully qualified.
hostname = "mx.example.com"

# A ceiling over every check: "monitor" records what would be refused and refuses nothing, "enforce" (the default) acts.
# Watch for a week with "gatepost report", then change this one word.
mode = "monitor"

# Where senders come in. Without any [listen.NAME]: port 25 on all addresses.
[listen.smtp]
# "host:port", ":25" for all addresses, or "systemd:NAME" for a socket from systemd.
address = [":25"]
# "starttls" (the default where [tls] has a certificate), "implicit" (from the first octet) or "none".
#tls = "starttls"
# Networks whose PROXY header is believed and then demanded, such as a load balancer's; by default none.
#proxy_protocol_from = []
# Networks that may send XCLIENT; by default none.
#xclient_from = []
# Checks whose refusal is told before the banner, such as ["dnsbl"], not at RCPT; by default none, so that every refusal knows
# its sender and recipient.
#early = []

# The certificate for STARTTLS; without it there is no TLS towards senders.
#[tls]
#certificate = "/etc/gatepost/fullchain.pem"
#key = "/etc/gatepost/privkey.pem"

# The mail server behind. A recipient whose domain no backend lists is refused, so this is never an open relay.
[backend.main]
# "host:port" or "unix:/path"; more than one are tried in order.
address = ["127.0.0.1:10026"]
# A leading dot means the domain and all below it.
domains = ["example.com"]
# How the backend learns the sender's address: "xclient", "proxy-v2" or "none" (the default).
#client_ip = "none"
# "none" (the default on this machine), "opportunistic" (the default elsewhere) or "required".
#tls = "none"
# Whether the backend's certificate must be valid; by default where tls = "required".
#tls_verify = false
# The name in that certificate; by default the host of the address.
#tls_name = "mail.example.com"

# Which checks run and how refusals are sent.
[policy]
# The checks in the order of judgement; by default all there are.
#checks = []
# The address that every refusal names, so one that takes mail; by default postmaster at the first domain of the first backend.
#contact = "postmaster@example.com"
# With true, every permanent refusal of the policy is sent as a temporary one: a mistake then costs delay, not mail.
#soft = false

# Each check is right without a table. A [check.NAME] table changes its mode ("enforce" by default, "monitor" or "off"),
# what is done about an outcome ("none", "tag", "defer" or "reject"), and its own settings:
#
#     [check.spf]
#     mode = "monitor"
#     on = { fail = "reject", softfail = "tag" }
#
#     [check.greylist]
#     delay = "5m"      # how long strangers wait; by default only those without SPF or a reverse name do

# What is different for some recipients, a domain with all below it or one address; by default nothing:
#
#     [domain."example.com"]
#     check.spf.mode = "off"

# Exceptions, in this order; the first whose conditions all hold counts. "allow" skips the named checks (all, if none is
# named), "deny" refuses: one by client alone before the banner, unless an allow above it may hold yet. An allow by a name
# wants a proof, or anyone could claim the name; by default there are none:
#
#     [rule.our-bank]
#     action = "allow"
#     sender_domain = ["bank.example"]
#     proof = "spf or dkim"
#     skip = ["greylist", "dnsbl"]
#     expires = 2027-01-31
#
# Conditions: client, helo, sender, sender_domain, recipient, from_domain. A comment = "..." is kept for the log.

# What no stranger can exceed.
[limits]
# Open sessions, in all and of one client (a /32 of IPv4, a /64 of IPv6).
#connections = 1000
#connections_per_client = 50
# The largest message; lowered to what the backend takes.
#message_size = "50MB"
# Recipients of one message.
#recipients = 200
# Memory for the content of all messages under way.
#memory = "256MB"
# Memory for one message (less while half of limits.memory is in use). What is larger goes to the server while it comes in, or to a file where a
# check, as dkim of a signed message, waits for all of it; and where that file is made.
#spool_memory = "1MiB"
#spool_dir = "/tmp"
# Bad commands, and commands without effect, before a session is ended.
#errors = 20
#idle_commands = 100
# Patience for the next command, for a whole message, for a whole session: no mail begins after that, and one that is coming in has data_timeout.
#command_timeout = "5m"
#data_timeout = "30m"
#session_timeout = "60m"

# Choices in the protocol itself.
[smtp]
# Lines of a message that end in a bare LF: "normalize" makes them CRLF (the default), "reject" refuses the message.
#bare_lf = "normalize"

# Whom the checks ask.
[dns]
# Addresses such as "127.0.0.1" or "127.0.0.1:5353"; by default those of /etc/resolv.conf. Block lists want a resolver of your own.
#servers = []
# How long one question may take, with its retries.
#timeout = "3s"

# The record of every message: who, to whom, what was decided and why; never the content.
[journal]
# The folder of the stored records, which "gatepost log" and "gatepost report" read; "" (the default) stores none.
dir = "/var/lib/gatepost"
# How long they are kept, and how much room they may take; whole days go, the oldest first.
#keep = "30d"
#max_size = "5GB"
# How much of people's addresses is kept: "full", "domain" (@example.com) or "hash" (#5f2c09d1a4be@example.com: the same person can be
# found again, but not read).
#personal = "full"
# Whether the subject is kept.
#subject = false
# Which SMTP dialogues are kept, never with the content: "none", "refused" or "all".
#transcript = "none"
# Records as JSON Lines: a path, "-" for standard output, or "" (the default) for none.
#file = ""

# Metrics and health for monitoring.
[admin]
# A loopback address; "" turns it off.
#address = "127.0.0.1:9625"

# What is told on standard error.
[log]
# "text" or "json".
#format = "text"
# "debug", "info", "warn" or "error".
#level = "info"
`
