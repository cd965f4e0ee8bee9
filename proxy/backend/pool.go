package backend

import (
	"context"
	"time"

	"gatepost/proxy/smtp"
)

// The bounds of the pool. A connection that waits holds a process of many servers, and some give up after 10 s under stress.
const (
	poolSize = 32
	poolIdle = 5 * time.Second
	poolAge  = 5 * time.Minute

	// On one connection since its last message:
	poolErrors = 8  // refusals; servers slow down and hang up at ten or twenty (Postfix: smtpd_soft_error_limit)
	poolResets = 20 // RSETs; Postfix takes them for errors from 100 on (smtpd_junk_command_limit)
)

// Open gives a connection on which the server knows of the client: one that an earlier session released, where that can be, else as
// Dial. Reused tells which.
func (b *Backend) Open(ctx context.Context, c Client) (*Conn, error) {
	for conn := b.take(); conn != nil; conn = b.take() {
		if conn.introduce(&c) {
			conn.reused = true
			return conn, nil
		}
		conn.Abort()
	}
	return b.Dial(ctx, c)
}

// Reused says that the connection carried earlier sessions or transactions: it may have died since.
func (c *Conn) Reused() bool { return c.reused }

// Release gives the connection up at the end of a session. It is kept for a while for another one where that can be; else it is quit. An open
// transaction is ended before anything else is done on it.
func (c *Conn) Release() {
	if c.closed != nil {
		return
	}
	if c.Reset(); c.closed != nil {
		return
	}
	if !c.reusable() || !c.backend.keep(c) {
		c.Quit()
	}
}

// reusable says whether another session can use the connection: the server can be told of the next client, and has not had enough of us.
func (c *Conn) reusable() bool {
	return c.retells() && c.read == c.sent && c.errors < poolErrors && c.resets < poolResets && time.Since(c.born) < poolAge
}

// retells says whether the server can be told of another client. What the PROXY header told can't be told again; Postfix takes XCLIENT from
// the clients that it trusts alone, of whom the one it was told of is none.
func (c *Conn) retells() bool {
	switch c.backend.settings.ClientIP {
	case ClientIPProxyV2:
		return false
	case ClientIPXClient:
		return c.link.caps.XClient&smtp.XAddr != 0
	}
	return true
}

// introduce tells the server of the next client, and says whether the connection is fit for it.
func (c *Conn) introduce(client *Client) bool {
	if c.Stale() {
		return false
	}
	if c.backend.settings.ClientIP != ClientIPXClient {
		return true
	}
	if !c.drain() {
		return false
	}
	o := opening{settings: &c.backend.settings, link: c.link, client: client}
	return o.xclient() == nil
}

// drain writes the RSET that is queued, if one is, and reads its reply.
func (c *Conn) drain() bool {
	for c.closed == nil && c.read < len(c.queue) {
		if _, f := c.next(c.queue[c.read]); f != nil {
			c.close(f)
		}
	}
	return c.closed == nil
}

// count keeps the numbers of refusals and RSETs since the last message, by which servers judge a client.
func (c *Conn) count(stage string, r smtp.Reply) {
	switch {
	case r.Class() >= 4:
		c.errors++
	case stage == stageRset:
		c.resets++
	case stage == stageFinal:
		c.errors, c.resets = 0, 0
	}
}

// keep puts a connection into the pool; false where it is full or closed.
func (b *Backend) keep(c *Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut || len(b.idle) >= poolSize {
		return false
	}
	c.since = time.Now()
	b.idle = append(b.idle, c)
	if b.reaper == nil {
		b.reaper = time.AfterFunc(poolIdle, b.reap)
	}
	return true
}

// take takes the connection from the pool that was used last; nil where there is none.
func (b *Backend) take() *Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.idle)
	if n == 0 {
		return nil
	}
	c := b.idle[n-1]
	b.idle[n-1] = nil
	b.idle = b.idle[:n-1]
	return c
}

// reap closes what has waited for too long. The oldest come first.
func (b *Backend) reap() {
	b.mu.Lock()
	old := 0
	for old < len(b.idle) && time.Since(b.idle[old].since) >= poolIdle {
		old++
	}
	gone := append([]*Conn(nil), b.idle[:old]...)
	b.idle = append(b.idle[:0], b.idle[old:]...)
	b.reaper = nil
	if len(b.idle) > 0 {
		b.reaper = time.AfterFunc(poolIdle-time.Since(b.idle[0].since), b.reap)
	}
	b.mu.Unlock()
	for _, c := range gone {
		c.part()
	}
}

// part says QUIT and closes without waiting for the reply: nobody is there to wait.
func (c *Conn) part() {
	_ = c.link.write([]byte("QUIT\r\n"), until(time.Second))
	c.Abort()
}

// Close closes the connections that wait in the pool, and lets none in any more. Those in use are not touched.
func (b *Backend) Close() {
	b.mu.Lock()
	gone := b.idle
	b.idle, b.shut = nil, true
	if b.reaper != nil {
		b.reaper.Stop()
		b.reaper = nil
	}
	b.mu.Unlock()
	for _, c := range gone {
		c.part()
	}
}
