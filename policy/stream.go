package policy

import (
	"context"
	"errors"
	"io"
	"time"
)

// stream hands the content of a transaction to the checks that read it, while it comes in.
type stream struct {
	pipes  []*io.PipeWriter
	tasks  []*task
	cancel []context.CancelFunc
}

var errAborted = errors.New("the content did not come whole")

// Content starts the checks that read the content, and returns where it is to be written to; nil where no check reads it. What is
// written is read before Write returns, so the slice may be used again. Data or Reset ends it.
func (r *Run) Content(head *Message) io.Writer {
	for i := range r.policy.Slots {
		s := &r.policy.Slots[i]
		if min(s.Mode, r.policy.Mode) == Off || !reads(s) {
			continue
		}
		if r.stream == nil {
			r.stream = &stream{}
		}
		r.stream.add(r, s, head)
	}
	if r.stream == nil {
		return nil
	}
	return r.stream
}

// add starts one check. Its budget begins with the end of the content.
func (st *stream) add(r *Run, s *Slot, head *Message) {
	t := newTask(s, StageData)
	rd, wr := io.Pipe()
	ctx, cancel := context.WithCancel(r.ctx)
	v := r.view
	v.Message, v.Content, v.Time = head, rd, time.Now()
	r.tasks = append(r.tasks, t)
	st.pipes, st.tasks, st.cancel = append(st.pipes, wr), append(st.tasks, t), append(st.cancel, cancel)
	go func() {
		defer cancel()
		defer rd.Close() // what is still written goes nowhere
		t.run(ctx, v, nil)
	}()
}

// Write gives content to every check that still reads.
func (st *stream) Write(p []byte) (int, error) {
	for _, w := range st.pipes {
		w.Write(p)
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
	for i, w := range st.pipes {
		w.CloseWithError(err) // nil is io.EOF
		t, cancel := st.tasks[i], st.cancel[i]
		if err != nil {
			cancel()
			continue
		}
		t.timer = time.AfterFunc(r.policy.budget(), func() {
			t.settle(t.fault("did not finish in time"))
			cancel()
		})
	}
}
