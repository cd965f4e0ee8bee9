package framing

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// inner is what a smuggler would have the backend take for a message of its own.
const inner = "MAIL FROM:<evil@client.example>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nSubject: y\r\n\r\nsmuggled"

// near are end marks to someone, but for the true one, which is the last.
var near = []string{
	"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\n.\r\r\n", "\r\n.\r\x00\n", "\n\r.\r\n",
	"\r\r\n.\r\n\n", "\n\n.\n\n", "\r\n..\r\n", "\r\n. \r\n", "\r\n .\r\n", "\n..\n", "\n..\r\n", "\r\n..\n", "\x00\n.\n", "\r\n.\r\n",
}

// bits are what content and damage are made of.
var bits = []string{
	"\r", "\n", "\r\n", "\x00", ".", "..", "...", "\r\n.", "\n.", ".a", "..a", "\r\n..", " ", "\xff", "é", "BDAT 3\r\n", "BDAT 0 LAST\r\n", "DATA\r\n", "RSET\r\n",
	"NOOP\r\n", "MAIL FROM:<evil@client.example>\r\n", "RCPT TO:<bob@example.com>\r\n", "QUIT\r\n", "EHLO client.example\r\n", "\n.\nRSET\r\n", "\r\n\r\n",
}

// edges are sizes at which a buffer of someone ends, or from which on content is passed on before it is whole.
var edges = []int{1 << 10, 4 << 10, 16 << 10, 32 << 10, 64 << 10, 80 << 10, 144 << 10}

// source makes streams.
type source struct{ *rand.Rand }

func (g source) of(all []string) string { return all[g.IntN(len(all))] }

// once says yes once in n.
func (g source) once(n int) bool { return g.IntN(n) == 0 }

func (g source) stream() stream {
	var b strings.Builder
	for range 1 + g.IntN(3) {
		g.transaction(&b)
	}
	s := stream{bytes: []byte(b.String()), waits: !g.once(6), aborts: g.once(4)}
	if g.once(3) {
		for range 1 + g.IntN(3) {
			s.bytes = g.damage(s.bytes)
		}
	}
	if s.aborts {
		s.bytes = s.bytes[:g.IntN(len(s.bytes)+1)]
	}
	switch g.IntN(6) {
	case 0, 1: // one write
	case 2: // byte by byte
		if s.pieces = []byte{0}; len(s.bytes) > 1<<10 {
			s.pieces = []byte{255, 0, 0}
		}
	default:
		for range 1 + g.IntN(6) {
			s.pieces = append(s.pieces, byte(g.IntN(1+g.IntN(255))))
		}
		s.pieces = append(s.pieces, byte(len(s.bytes)>>10)) // not thousands of writes
	}
	return s
}

// transaction is one from MAIL on, whose commands are mostly in one group.
func (g source) transaction(b *strings.Builder) {
	b.WriteString("MAIL FROM:<a@client.example>\r\n")
	for i := range 1 + g.IntN(3) {
		if g.once(8) {
			b.WriteString("RCPT TO:<u@elsewhere.example>\r\n")
			continue
		}
		fmt.Fprintf(b, "RCPT TO:<%c@example.com>\r\n", 'p'+rune(i))
	}
	switch {
	case g.once(12):
		b.WriteString(g.of(bits) + "\r\n")
	case g.once(12):
		b.WriteString("NOOP\r\nRSET\r\n")
		return
	}
	if g.once(3) {
		g.chunks(b, g.content(b.Len()))
		return
	}
	b.WriteString("DATA\r\n" + g.content(b.Len()) + "\r\n.\r\n")
}

// chunks cuts content anywhere.
func (g source) chunks(b *strings.Builder, content string) {
	for content != "" && !g.once(4) {
		n := g.IntN(len(content) + 1)
		fmt.Fprintf(b, "BDAT %d\r\n%s", n, content[:n])
		content = content[n:]
		if g.once(10) {
			b.WriteString(g.of(bits))
		}
	}
	fmt.Fprintf(b, "BDAT %d LAST\r\n%s", len(content), content)
}

// content begins at a place in the stream, which matters where it is to reach the edge of a buffer.
func (g source) content(at int) string {
	var b strings.Builder
	if !g.once(8) {
		b.WriteString("Subject: x\r\n\r\n")
	}
	fill := g.once(16)
	if fill && g.once(2) {
		g.fill(&b, at)
	}
	for range g.IntN(8) {
		switch g.IntN(12) {
		case 0:
			b.WriteString(g.of(bits))
		case 1:
			b.WriteString(g.of(near) + inner)
		case 2:
			b.WriteString("one\ntwo\r\n")
		case 3, 4:
			b.WriteString("." + g.of([]string{"", "a", ".", "..b"}) + "\r\n") // seldom an end of its own
		default:
			b.WriteString(g.of([]string{"hello", "..stuffed", "..", "a.b"}) + "\r\n")
		}
	}
	if fill && g.once(2) {
		g.fill(&b, at)
	}
	return b.String()
}

// fill makes content reach about the edge of a buffer.
func (g source) fill(b *strings.Builder, at int) {
	n := edges[g.IntN(len(edges))] - g.IntN(8)
	if g.once(2) {
		n -= at
	}
	for n -= b.Len(); n > 0; {
		line := strings.Repeat("x", min(n, 70))
		b.WriteString(line + "\r\n")
		n -= len(line) + 2
	}
}

// damage changes a stream in one place.
func (g source) damage(b []byte) []byte {
	at := g.IntN(len(b) + 1)
	end := min(at+g.IntN(4), len(b))
	with := g.of(bits)
	switch g.IntN(4) {
	case 0:
		with, end = g.of(near)+inner, at
	case 1:
		with = ""
	case 2:
		end = at
	}
	return append(append(append([]byte{}, b[:at]...), with...), b[end:]...)
}
