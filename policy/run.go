package policy

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Run gathers the findings of one session. Checks start as soon as the stage they need is reached, side by side, and
// are awaited when a judgement needs them. It is for one goroutine. A Run of a policy without checks costs nothing.
type Run struct {
	policy *Policy
	ctx    context.Context
	cancel context.CancelFunc
	view   View
	tasks  []*task // in the order they were started
}

// task is one check under way or done.
type task struct {
	slot    *Slot
	stage   Stage         // the stage at which it was started
	done    chan struct{} // closed when finding is set
	once    sync.Once
	finding Finding
	started time.Time
	expired <-chan struct{} // the end of its stage's budget
}

// Begin starts a run at StageConnect. Close ends it.
func (p *Policy) Begin(ctx context.Context, v View) *Run {
	r := &Run{policy: p, view: v}
	if len(p.Slots) > 0 {
		r.ctx, r.cancel = context.WithCancel(ctx)
	}
	r.start(StageConnect)
	return r
}

// Connect judges what is known before the banner: the findings of the checks that answer at once (Slot.Early). It does not wait for others.
func (r *Run) Connect() Decision {
	var fs []Finding
	for _, t := range r.tasks {
		if t.slot.Early {
			fs = append(fs, t.wait())
		}
	}
	if len(fs) == 0 {
		return Decision{}
	}
	return r.policy.Judge(Mailbox{}, fs)
}

// Helo starts what a HELO name allows. After a second HELO, or STARTTLS, the findings of the first are void.
func (r *Run) Helo(name string, tls bool) {
	r.drop(StageHelo)
	r.view.Helo, r.view.TLS = name, tls
	r.start(StageHelo)
}

// Mail starts what the reverse-path allows.
func (r *Run) Mail(sender Mailbox, null bool) {
	r.drop(StageMail)
	r.view.Sender, r.view.NullPath = sender, null
	r.start(StageMail)
}

// Rcpt judges one recipient by all that is known before the data. Checks of StageRcpt run only where nothing has refused the
// recipient yet.
func (r *Run) Rcpt(rcpt Mailbox) Decision {
	if len(r.policy.Slots) == 0 {
		return Decision{}
	}
	findings := r.await(StageMail)
	d := r.policy.Judge(rcpt, findings)
	if d.Done >= Defer {
		return d
	}
	r.drop(StageRcpt)
	r.view.Recipient = rcpt
	if !r.start(StageRcpt) {
		return d
	}
	return r.policy.Judge(rcpt, r.await(StageRcpt))
}

// Data judges the message for the recipients it was taken for, which share one data-stage policy; the findings of
// StageRcpt are not judged again.
func (r *Run) Data(m *Message, rcpt Mailbox) Decision {
	r.drop(StageRcpt)
	r.view.Recipient, r.view.Message = Mailbox{}, m
	if !r.start(StageData) && len(r.tasks) == 0 {
		return Decision{}
	}
	return r.policy.Judge(rcpt, r.await(StageData))
}

// Reset ends the transaction: what was found from MAIL on is void.
func (r *Run) Reset() {
	r.drop(StageMail)
	r.view.Sender, r.view.NullPath, r.view.Recipient, r.view.Message = Mailbox{}, false, Mailbox{}, nil
}

// Findings are those that are there by now, in the order of the policy.
func (r *Run) Findings() []Finding {
	var fs []Finding
	for i := range r.policy.Slots {
		for _, t := range r.tasks {
			if t.slot == &r.policy.Slots[i] && t.isDone() {
				fs = append(fs, t.finding)
			}
		}
	}
	return fs
}

// Close ends the run and everything it started.
func (r *Run) Close() {
	if r.cancel != nil {
		r.cancel()
	}
}

// start starts the checks of a stage, and says whether there were any.
func (r *Run) start(stage Stage) bool {
	n := len(r.tasks)
	for i := range r.policy.Slots {
		s := &r.policy.Slots[i]
		if s.Check.Stage() == stage && s.Mode != Off && r.policy.Mode != Off {
			r.tasks = append(r.tasks, &task{slot: s, stage: stage, done: make(chan struct{}), started: time.Now()})
		}
	}
	if len(r.tasks) == n {
		return false
	}
	budget := r.policy.Budget
	if budget == 0 {
		budget = 60 * time.Second
	}
	ctx, cancel := context.WithTimeout(r.ctx, budget)
	view, all := r.view, r.tasks[:len(r.tasks):len(r.tasks)]
	var wg sync.WaitGroup
	for _, t := range all[n:] {
		t.expired = ctx.Done()
		wg.Go(func() { t.run(ctx, view, all) })
	}
	go func() { wg.Wait(); cancel() }()
	return true
}

// drop voids the findings of a stage and of those after it.
func (r *Run) drop(from Stage) {
	kept := r.tasks[:0:0]
	for _, t := range r.tasks {
		if t.stage < from {
			kept = append(kept, t)
		}
	}
	r.tasks = kept
}

// await returns the findings up to a stage; a check that overran its budget counts as temperror (promise: our own
// faults never turn into a permanent refusal).
func (r *Run) await(upTo Stage) []Finding {
	fs := make([]Finding, 0, len(r.tasks))
	for _, t := range r.tasks {
		if t.stage <= upTo {
			fs = append(fs, t.wait())
		}
	}
	return fs
}

// wait returns the finding, or the temperror that stands for it once the budget is used up.
func (t *task) wait() Finding {
	select {
	case <-t.done:
	case <-t.expired:
		t.settle(t.fault("did not finish in time"))
	}
	<-t.done
	return t.finding
}

// run runs the check once those it follows are done.
func (t *task) run(ctx context.Context, v View, all []*task) {
	defer func() {
		if p := recover(); p != nil {
			t.settle(t.fault(fmt.Sprint("panic: ", p)))
		}
	}()
	if f, ok := t.slot.Check.(Follower); ok {
		followed := map[string]Finding{}
		for _, name := range f.Follows() {
			for _, other := range all {
				if other != t && other.slot.Check.Name() == name {
					followed[name] = other.wait()
				}
			}
		}
		v.findings = func(name string) (Finding, bool) { x, ok := followed[name]; return x, ok }
	}
	f := t.slot.Check.Run(ctx, v)
	f.Check, f.Stage = t.slot.Check.Name(), t.stage
	f.Took = time.Since(t.started)
	t.settle(f)
}

// settle sets the finding; the first one stands.
func (t *task) settle(f Finding) {
	t.once.Do(func() {
		t.finding = f
		close(t.done)
	})
}

// fault is the finding of a check that failed by our own fault.
func (t *task) fault(why string) Finding {
	return Finding{Check: t.slot.Check.Name(), Stage: t.stage, Outcome: TempError, Status: Status{3, 0},
		Text:  "Temporary fault while checking this mail; please try again",
		Facts: []Fact{{"error", why}}, Took: time.Since(t.started)}
}

func (t *task) isDone() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}
