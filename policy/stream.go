package policy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"gatepost/internal/workers"
)

// stream is the content of a transaction while it comes in, and the checks that look at it meanwhile.
type stream struct {
	head    []byte   // ours: a check that overran may still read it when the message is gone
	readers []reader // the checks that read the content
	tasks   []*task  // all that were started with the header
	budget  time.Duration
}

// reader is a check that reads the content.
type reader struct {
	*io.PipeWriter
	stalled *time.Timer // gives the check up; runs while it is written to
}

var errAborted = errors.New("the content did not come whole")

// Content starts the checks of StageData, but for those that want the message whole; it is called when the header is whole. What it
// returns is where the content is to be written to from its first octet on; nil where no check reads it. What is written is read before
// Write returns, so the slice may be used again. Data or Reset ends it.
func (r *Run) Content(head *Message) io.Writer {
	if r.stream != nil || len(r.policy.Slots) == 0 {
		return nil
	}
	r.void(func(s Stage) bool { return s == StageRcpt })
	r.stream = &stream{head: bytes.Clone(head.Head), budget: r.policy.budget()}
	v := r.view
	v.Recipient, v.Message, v.Time = Mailbox{}, r.stream.message(head), time.Now()
	r.stream.start(r, v)
	if len(r.stream.readers) == 0 {
		return nil
	}
	return r.stream
}

// message is m with a header that stays.
func (st *stream) message(m *Message) *Message {
	if st == nil {
		return m
	}
	return &Message{Head: st.head, Size: m.Size, FromDomain: m.FromDomain}
}

// start starts the checks. The budget of each begins with the end of the content; before that it bounds how long one may leave unread what is
// written.
func (st *stream) start(r *Run, v View) {
	for i := range r.policy.Slots {
		s := &r.policy.Slots[i]
		if s.Check.Stage() == StageData && min(s.Mode, r.policy.Mode) != Off && !whole(s) {
			st.tasks = append(st.tasks, newTask(s, StageData))
		}
	}
	r.tasks = slices.Clip(append(r.tasks, st.tasks...))
	all := r.tasks
	for _, t := range st.tasks {
		ctx, cancel := context.WithCancel(r.ctx)
		t.cancel = cancel
		if reads(t.slot) {
			rd, wr := io.Pipe()
			stalled := time.AfterFunc(st.budget, func() {
				t.giveUp()
				rd.Close()
			})
			stalled.Stop()
			st.readers = append(st.readers, reader{wr, stalled})
			workers.Go(func() {
				defer cancel()
				defer rd.Close() // what is still written goes nowhere
				v := v
				v.Content = rd
				t.run(ctx, v, all)
			})
			continue
		}
		workers.Go(func() {
			defer cancel()
			t.run(ctx, v, all)
		})
	}
}

// Write gives content to every check that still reads. One that does not read it within its budget is given up.
func (st *stream) Write(p []byte) (int, error) {
	for _, rd := range st.readers {
		rd.stalled.Reset(st.budget)
		rd.Write(p)
		rd.stalled.Stop()
	}
	return len(p), nil
}

// endContent ends the stream, if one is open: with err nil the content came whole.
func (r *Run) endContent(err error) {
	st := r.stream
	if st == nil {
		return
	}
	r.stream = nil
	for _, rd := range st.readers {
		rd.CloseWithError(err) // nil is io.EOF
	}
	for _, t := range st.tasks {
		if err != nil {
			t.cancel()
			continue
		}
		if t.isDone() {
			continue
		}
		t.timer = time.AfterFunc(st.budget, t.giveUp)
	}
}
