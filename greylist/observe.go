package greylist

import (
	"context"
	"time"

	"gatepost/policy"
)

// heldSize is how many that were told to wait are held for Observe. Each is answered moments later.
const heldSize = 8192

// envelope is what Run and Observe both know a recipient by.
type envelope struct {
	client, sender, rcpt string
}

func envelopeOf(v policy.View) envelope {
	return envelope{v.Client.String(), v.Sender.String(), v.Recipient.String()}
}

// excuseTime is how long the store may take to note an excuse: a session is waiting.
const excuseTime = time.Second

// Observe learns of mail that passed although it should have waited, as in monitor mode. Its sender has no reason to come again, so its
// entry is excused from coming back within the window.
func (c *Check) Observe(v policy.View, r policy.Reply) {
	s, ok := c.held.Get(envelopeOf(v))
	if !ok {
		return
	}
	c.held.Remove(envelopeOf(v))
	if r.Code/100 != 2 {
		return
	}
	s.Excuse = true
	ctx, cancel := context.WithTimeout(context.Background(), excuseTime)
	defer cancel()
	if _, err := c.store.Sight(ctx, s); err != nil {
		c.warn(s.Now, err)
	}
}
