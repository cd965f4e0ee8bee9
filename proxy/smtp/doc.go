// Package smtp is the wire of SMTP and nothing else: command lines, addresses, replies, the data stream (RFC 5321 and its
// extensions). It opens no connections and decides nothing; what it refuses, it refuses with the reply to send.
package smtp
