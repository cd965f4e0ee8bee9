package mailsink

import (
	"context"
	"net"
	"time"
)

// outbox writes answers in a goroutine of its own, so that a session goes on reading while the peer, busy writing, does
// not read yet: on a synchronous pipe the two would else wait for each other.
type outbox struct {
	ctx     context.Context
	conn    net.Conn
	pending []byte // answers of the group at hand
	queue   chan parcel
	failed  chan struct{} // closed at the first failed write
	done    chan struct{} // closed when the goroutine is gone
	ended   bool
}

// parcel is what goes out in one write; with drip, in one write an octet.
type parcel struct {
	text []byte
	drip time.Duration
}

func newOutbox(ctx context.Context, conn net.Conn) *outbox {
	o := &outbox{
		ctx: ctx, conn: conn,
		queue: make(chan parcel, 16), failed: make(chan struct{}), done: make(chan struct{}),
	}
	go o.run()
	return o
}

func (o *outbox) run() {
	defer close(o.done)
	broken := false
	for p := range o.queue {
		if !broken && !o.write(p) {
			broken = true
			close(o.failed)
		}
	}
}

func (o *outbox) write(p parcel) bool {
	if p.drip <= 0 {
		_, err := o.conn.Write(p.text)
		return err == nil
	}
	for i := range p.text {
		if _, err := o.conn.Write(p.text[i : i+1]); err != nil {
			return false
		}
		select {
		case <-time.After(p.drip):
		case <-o.ctx.Done():
			return false
		}
	}
	return true
}

// put hands p to the goroutine; false where nothing can be written any more.
func (o *outbox) put(p parcel) bool {
	select {
	case <-o.failed:
		return false
	default:
	}
	select {
	case o.queue <- p:
		return true
	case <-o.failed:
	case <-o.ctx.Done():
	}
	return false
}

// add keeps an answer for the next flush; a dripping one goes alone, behind what is pending.
func (o *outbox) add(text string, drip time.Duration) {
	if drip > 0 {
		o.flush()
		o.put(parcel{[]byte(text), drip})
		return
	}
	o.pending = append(o.pending, text...)
}

func (o *outbox) flush() {
	if len(o.pending) > 0 {
		o.put(parcel{text: o.pending})
		o.pending = nil
	}
}

// drain returns when all is written or lost; nothing may be added then. A second call does nothing.
func (o *outbox) drain() {
	if o.ended {
		return
	}
	o.ended = true
	o.flush()
	close(o.queue)
	<-o.done
}
