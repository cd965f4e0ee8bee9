package policy

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// task is one check under way or done.
type task struct {
	slot    *Slot
	stage   Stage
	started time.Time
	cancel  context.CancelFunc // ends it
	done    chan struct{}      // closed when finding is set
	expired <-chan struct{}    // closed at the end of its budget; nil where timer keeps it
	timer   *time.Timer        // of a check that was started with the header: runs from the end of the content on
	once    sync.Once
	finding Finding
}

func newTask(s *Slot, stage Stage) *task {
	return &task{slot: s, stage: stage, started: time.Now(), done: make(chan struct{})}
}

// wait returns the finding, or the temperror that stands for it once the budget is used up (promise: our own faults never turn
// into a permanent refusal).
func (t *task) wait() Finding {
	select {
	case <-t.done:
	case <-t.expired:
		t.settle(t.fault("did not finish in time"))
	}
	<-t.done
	return t.finding
}

// run runs the check. What those it follows find, it waits for where it asks for it.
func (t *task) run(ctx context.Context, v View, all []*task) {
	defer func() {
		if p := recover(); p != nil {
			t.settle(t.fault(fmt.Sprint("panic: ", p)))
		}
	}()
	if f, ok := t.slot.Check.(Follower); ok {
		v.findings = t.follow(f.Follows(), all)
	}
	f := t.slot.Check.Run(ctx, v)
	f.Check, f.Stage, f.Took = t.slot.Check.Name(), t.stage, time.Since(t.started)
	t.settle(f)
}

// follow gives the findings of the checks with these names, each awaited when it is asked for: what a check does before that goes on
// beside them.
func (t *task) follow(names []string, all []*task) func(string) (Finding, bool) {
	return func(name string) (Finding, bool) {
		for _, other := range all {
			if other != t && other.slot.Check.Name() == name && slices.Contains(names, name) {
				return other.wait(), true
			}
		}
		return Finding{}, false
	}
}

// settle sets the finding; the first one stands.
func (t *task) settle(f Finding) {
	t.once.Do(func() {
		t.finding = f
		close(t.done)
	})
}

// giveUp ends the check: its time is up.
func (t *task) giveUp() {
	t.settle(t.fault("did not finish in time"))
	t.cancel()
}

// fault is the finding of a check that failed by our own fault.
func (t *task) fault(why string) Finding {
	return Finding{Check: t.slot.Check.Name(), Stage: t.stage, Outcome: TempError, Status: Status{3, 0},
		Text:  "A temporary fault while checking this mail, please try again later",
		Facts: []Fact{{"error", why}}, Took: time.Since(t.started)}
}

func (t *task) stopTimer() {
	if t.timer != nil {
		t.timer.Stop()
	}
}

func (t *task) isDone() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}
