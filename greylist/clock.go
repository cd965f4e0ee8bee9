package greylist

import "time"

// clock tells the time of day, and never jumps: it takes the time once and goes on by what has passed since. So a clock that is
// put right by a day under a running process changes no wait and ends no entry; times of before are put right where they are read.
type clock struct {
	read  func() time.Time
	start time.Time
}

func newClock(read func() time.Time) *clock { return &clock{read, read()} }

// now is in milliseconds since 1970. time.Time keeps the monotonic reading that Sub goes by.
func (c *clock) now() int64 { return c.start.UnixMilli() + c.read().Sub(c.start).Milliseconds() }
