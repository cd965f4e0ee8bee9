//go:build soak

package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// crowd is everyone who talks to gatepost.
type crowd struct {
	*ledger
	addr string
	pace time.Duration // the pause of a good sender between mails, about
}

// someone is an address of this machine that a client has.
func someone() string { return fmt.Sprintf("127.0.%d.%d", 1+rand.IntN(20), 1+rand.IntN(200)) }

// good is a sender as there should be: it brings a few mails in a session, and quits.
func (c *crowd) good(ctx context.Context, withTLS bool) {
	for ctx.Err() == nil {
		if conn, err := greet(c.addr, someone()); err == nil {
			if !withTLS || conn.secure() == nil {
				c.mails(ctx, conn)
			}
			conn.Close()
		}
		c.rest(ctx)
	}
}

func (c *crowd) rest(ctx context.Context) { pause(ctx, c.pace/2+rand.N(c.pace)) }

func (c *crowd) mails(ctx context.Context, conn *client) {
	for range 1 + rand.IntN(5) {
		if ctx.Err() != nil {
			break
		}
		conn.SetDeadline(time.Now().Add(2 * patience))
		code, err := c.mail(conn, "good.test", 1<<rand.IntN(15))
		if err != nil || code == 421 {
			return
		}
		if code/100 != 2 {
			conn.say("RSET")
		}
		c.rest(ctx)
	}
	conn.say("QUIT")
}

// mail brings one.
func (c *crowd) mail(conn *client, domainOf string, size int) (int, error) {
	id := c.open(domainOf == "good.test")
	from := id + "@" + domainOf
	code, text, err := conn.send(from, "amy@"+domain, letter(id, from, size), rand.IntN(3) == 0)
	c.tell(id, code, text, err)
	return code, err
}

// bad is a client that does now this, now that, of what clients should not do.
func (c *crowd) bad(ctx context.Context) {
	all := []func(context.Context){c.flood, c.silent, c.talk, c.drip, c.slowContent, c.cutOff, c.smuggle, c.large, c.neverReads, c.errors,
		c.halfTLS, c.gone, c.forger, c.listed, c.header, c.recipients}
	for ctx.Err() == nil {
		all[rand.IntN(len(all))](ctx)
		pause(ctx, rand.N(300*time.Millisecond))
	}
}

// with greets and lets f play; the connection is closed then.
func (c *crowd) with(from string, f func(conn *client)) {
	if conn, err := greet(c.addr, from); err == nil {
		defer conn.Close()
		f(conn)
	}
}

// flood comes and goes.
func (c *crowd) flood(context.Context) {
	from := someone()
	for range 100 {
		if conn, err := dial(c.addr, from); err == nil {
			defer conn.Close()
		}
	}
}

// silent never says a word.
func (c *crowd) silent(ctx context.Context) {
	if conn, err := dial(c.addr, someone()); err == nil {
		defer conn.Close()
		pause(ctx, rand.N(15*time.Second))
	}
}

// talk says what is no SMTP, and too much of it.
func (c *crowd) talk(context.Context) {
	words := []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00", strings.Repeat("x", 1<<20), strings.Repeat("NOOP\r\n", 1000),
		"MAIL FROM:<a@\x00>\r\n", "EHLO " + strings.Repeat("a.", 5000) + "\r\n", "EHLO x\r\nMAIL FROM:<a@b>\r\nDATA\r\n"}
	if conn, err := dial(c.addr, someone()); err == nil {
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		conn.Write([]byte(words[rand.IntN(len(words))]))
		conn.in.ReadLine()
	}
}

// drip sends a byte now and then.
func (c *crowd) drip(ctx context.Context) {
	if conn, err := dial(c.addr, someone()); err == nil {
		defer conn.Close()
		trickle(ctx, conn, strings.Repeat("E", 60))
	}
}

func trickle(ctx context.Context, conn net.Conn, text string) {
	for i := 0; i < len(text) && ctx.Err() == nil; i++ {
		if _, err := conn.Write([]byte{text[i]}); err != nil {
			return
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// begin opens a transaction up to the 354, and says whether it came so far. What the sender does then ends without a reply.
func (c *crowd) begin(conn *client) (id string, ok bool) {
	id = c.open(false)
	code, _, err := conn.envelope(id+"@good.test", "amy@"+domain)
	if err != nil || code/100 != 2 {
		return id, false
	}
	return id, conn.must("DATA", 354) == nil
}

// slowContent drips content, and goes away in the middle of it.
func (c *crowd) slowContent(ctx context.Context) {
	c.with(someone(), func(conn *client) {
		if _, ok := c.begin(conn); ok {
			trickle(ctx, conn, "Subject: slow\r\n\r\n"+strings.Repeat(".", 40))
		}
	})
}

// cutOff resets the connection in the middle of content.
func (c *crowd) cutOff(context.Context) {
	c.with(someone(), func(conn *client) {
		if id, ok := c.begin(conn); ok {
			fmt.Fprint(conn, letter(id, id+"@good.test", rand.IntN(3<<20)))
			conn.Conn.(*net.TCPConn).SetLinger(0)
		}
	})
}

// gone has sent all, and goes away before the reply: the mail may be there or not, as the record says.
func (c *crowd) gone(context.Context) {
	c.with(someone(), func(conn *client) {
		if id, ok := c.begin(conn); ok {
			fmt.Fprint(conn, strings.ReplaceAll(letter(id, id+"@good.test", 100), "\n.", "\n..")+".\r\n")
			if rand.IntN(2) > 0 {
				conn.Conn.(*net.TCPConn).SetLinger(0)
			}
		}
	})
}

// smuggle hides a second mail behind what some take for the end: it would be one that nobody sent.
func (c *crowd) smuggle(context.Context) {
	ends := []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r\n", "\r\n\x00.\r\n"}
	inner := "MAIL FROM:<smuggled@good.test>\r\nRCPT TO:<amy@" + domain + ">\r\nDATA\r\nSubject: y\r\n\r\ny"
	c.with(someone(), func(conn *client) {
		if id, ok := c.begin(conn); ok {
			fmt.Fprint(conn, "Subject: x\r\n\r\nx"+ends[rand.IntN(len(ends))]+inner)
			code, text, err := conn.say("\r\n.")
			c.tell(id, code, text, err)
		}
	})
}

// large brings a mail that goes to a file.
func (c *crowd) large(context.Context) {
	c.with(someone(), func(conn *client) { c.mail(conn, "good.test", 2<<20+rand.IntN(4<<20)) })
}

// neverReads asks and asks, and takes no answer.
func (c *crowd) neverReads(context.Context) {
	if conn, err := dial(c.addr, someone()); err == nil {
		defer conn.Close()
		conn.Conn.(*net.TCPConn).SetReadBuffer(1 << 10)
		conn.SetDeadline(time.Now().Add(3 * time.Second))
		for err == nil {
			_, err = conn.Write([]byte(strings.Repeat("EHLO x\r\nRSET\r\n", 1000)))
		}
	}
}

// errors makes one after the other, a relay's recipient among them, until it is sent away.
func (c *crowd) errors(context.Context) {
	c.with(someone(), func(conn *client) {
		for _, line := range strings.Fields("FOO DATA RCPT MAIL HELP BDAT EXPN AUTH STARTTLSX VRFY") {
			if _, _, err := conn.say(line); err != nil {
				return
			}
		}
		id := c.open(false)
		code, text, err := conn.envelope(id+"@good.test", "someone@elsewhere.test")
		c.tell(id, code, text, err)
	})
}

// halfTLS breaks off the handshake, or speaks plainly in it.
func (c *crowd) halfTLS(ctx context.Context) {
	c.with(someone(), func(conn *client) {
		if conn.must("STARTTLS", 220) == nil {
			conn.Write([]byte("\x16\x03\x01\x02\x00\x01\x00MAIL FROM:<a@good.test>\r\n"))
			pause(ctx, rand.N(5*time.Second))
		}
	})
}

// forger claims a domain whose mail never comes from here.
func (c *crowd) forger(context.Context) {
	c.with(someone(), func(conn *client) { c.mail(conn, "bad.test", 100) })
}

// listed is on a block list.
func (c *crowd) listed(context.Context) {
	c.with("127.0.0.66", func(conn *client) { c.mail(conn, "bad.test", 100) })
}

// header has more of a header than there may be.
func (c *crowd) header(context.Context) {
	c.with(someone(), func(conn *client) {
		if id, ok := c.begin(conn); ok {
			fmt.Fprint(conn, strings.Repeat("X-Filler: "+strings.Repeat("x", 60)+"\r\n", 9000))
			code, text, err := conn.say("\r\n.")
			c.tell(id, code, text, err)
		}
	})
}

// recipients are more than there may be.
func (c *crowd) recipients(context.Context) {
	c.with(someone(), func(conn *client) {
		id := c.open(false)
		for _, line := range append([]string{"MAIL FROM:<" + id + "@good.test>"}, strings.Split(strings.Repeat("RCPT TO:<amy@"+domain+">,", 210), ",")...) {
			if code, _, err := conn.say(line); err != nil || code == 421 {
				return
			}
		}
		code, text, err := conn.say("RSET")
		if err == nil && code == 250 {
			code = 0 // it was given up
		}
		c.tell(id, code, text, err)
	})
}
