package backend

import (
	"context"
	"net"
	"strings"
	"testing"
)

// loop is a server in memory that answers each write with the next of its replies, round and round.
type loop struct {
	tape
	said    strings.Reader
	replies []string
	next    int
}

func (c *loop) Write(p []byte) (int, error) {
	c.said.Reset(c.replies[c.next])
	c.next = (c.next + 1) % len(c.replies)
	return len(p), nil
}

func (c *loop) Read(p []byte) (int, error) { return c.said.Read(p) }

// ready is content that costs nothing.
type ready []byte

func (r ready) Size() int64          { return int64(len(r)) }
func (r ready) Dotted() bool         { return false }
func (r ready) Pieces(to Sink) error { return to.Write(r) }

// BenchmarkTransaction is one message of 4 KiB to two recipients on an open connection, without the network's share.
func BenchmarkTransaction(b *testing.B) {
	const envelopeReplies = "250 2.1.0 ok\r\n250 2.1.5 ok\r\n250 2.1.5 ok\r\n"
	for _, bc := range []struct {
		name, caps string
		replies    []string
	}{
		{"BDAT", "250-PIPELINING\r\n250 CHUNKING\r\n", []string{envelopeReplies, "250 2.0.0 queued\r\n"}},
		{"DATA", "250 PIPELINING\r\n", []string{envelopeReplies, "354 go\r\n", "250 2.0.0 queued\r\n"}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			var content Content = ready("Received: by gate.test\r\n" + strings.Repeat("A line of text.\r\n", 240))
			back := New(Settings{Addresses: []string{"mx.test:25"}, Hostname: "gate.test"})
			server := &loop{replies: []string{"250-mx.test\r\n" + bc.caps}}
			server.said.Reset("220 mx.test\r\n")
			back.dial = func(context.Context, string, string) (net.Conn, error) { return server, nil }
			c, err := back.Open(b.Context(), Client{})
			if err != nil {
				b.Fatal(err)
			}
			server.replies = bc.replies
			b.ReportAllocs()
			for b.Loop() {
				transaction(b, c, content)
			}
		})
	}
}

func transaction(b *testing.B, c *Conn, content Content) {
	envelope(c)
	for range 3 {
		if r, err := c.Reply(); err != nil || r.Code != 250 {
			b.Fatal(r, err)
		}
	}
	if r, err := c.Send(content); err != nil || r.Code != 250 {
		b.Fatal(r, err)
	}
}
