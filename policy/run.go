package policy

import (
	"context"
	"slices"
	"time"

	"gatepost/internal/workers"
)

// Run gathers the findings of one session. Checks start as soon as the stage they need is reached, side by side, and
// are awaited when a judgement needs them. It is for one goroutine. A Run of a policy without checks costs next to nothing.
type Run struct {
	policy *Policy
	ctx    context.Context
	cancel context.CancelFunc
	view   View
	tasks  []*task // in the order they were started
	stream *stream // the content under way; nil before its header is there
}

// Begin starts a run at StageConnect. Close ends it.
func (p *Policy) Begin(ctx context.Context, v View) *Run {
	r := &Run{policy: p, view: v, ctx: ctx}
	if len(p.Slots) > 0 {
		if p.ForClient != nil {
			ctx = p.ForClient(ctx, v.Client)
		}
		r.ctx, r.cancel = context.WithCancel(ctx)
		r.view.Session = new(Marks)
	}
	r.start(StageConnect, all)
	return r
}

// Connect judges what is known before the banner: the findings of the checks that answer at once, which are those with Slot.Early and
// those named here, and the deny rules that need no more than the client, below no allow that may hold yet. It waits for no other checks.
func (r *Run) Connect(early []string) Decision {
	var fs []Finding
	for _, t := range r.tasks {
		if t.slot.Early || slices.Contains(early, t.slot.Check.Name()) {
			fs = append(fs, t.wait())
		}
	}
	if len(fs) == 0 && len(r.policy.Rules) == 0 {
		return Decision{}
	}
	c := r.facts()
	c.Findings = fs
	return r.policy.Judge(c)
}

// Helo starts what a HELO name allows. After a second HELO the findings of the first are void.
func (r *Run) Helo(name string, tls bool) {
	r.drop(StageHelo)
	r.view.Helo, r.view.TLS = name, tls
	r.start(StageHelo, all)
}

// Mail starts what the reverse-path allows.
func (r *Run) Mail(sender Mailbox, null bool) {
	r.drop(StageMail)
	r.view.Sender, r.view.NullPath, r.view.Transaction = sender, null, new(Marks)
	r.start(StageMail, all)
}

// Rcpt judges one recipient by all that is known before the content. A LastResort check runs only where nothing else refuses.
func (r *Run) Rcpt(rcpt Mailbox) Decision {
	if len(r.policy.Slots) == 0 && len(r.policy.Rules) == 0 {
		return Decision{}
	}
	r.drop(StageRcpt)
	r.view.Recipient = rcpt
	r.start(StageRcpt, not(lastResort))
	d := r.judge(StageRcpt)
	if d.Done >= Defer || !r.start(StageRcpt, func(s *Slot) bool { return lastResort(s) && r.wanted(s, d) }) {
		return d
	}
	return r.judge(StageRcpt)
}

// wanted says whether a check has something to say of the recipient at hand: it is not off for it, and no rule spares it.
func (r *Run) wanted(s *Slot, d Decision) bool {
	if r.policy.mode(s, r.policy.scope(r.view.Recipient)) == Off {
		return false
	}
	for i := range r.policy.Rules {
		if r.policy.Rules[i].Name == d.Rule {
			return !r.policy.Rules[i].skips(s.Check.Name())
		}
	}
	return true
}

// Answered tells the checks that observe how the last recipient judged was answered.
func (r *Run) Answered(rcpt Mailbox, reply Reply) {
	v := r.view
	v.Recipient = rcpt
	for i := range r.policy.Slots {
		if o, ok := r.policy.Slots[i].Check.(Observer); ok && r.policy.Slots[i].Mode != Off {
			o.Observe(v, reply)
		}
	}
}

// Data judges the message for the recipients it was taken for, which share one data-stage policy; rcpt is one of them. The findings of
// StageRcpt are not judged again.
func (r *Run) Data(m *Message, rcpt Mailbox) Decision {
	if len(r.policy.Slots) == 0 && len(r.policy.Rules) == 0 {
		return Decision{}
	}
	r.Content(m) // unless it was called with the header
	r.view.Message = r.stream.message(m)
	r.endContent(nil)
	r.start(StageData, whole)
	r.view.Recipient = rcpt
	return r.judge(StageData)
}

// Settled says that Data would find now what it will find when the content has come whole: all that look at it are done, and none wants its size.
func (r *Run) Settled() bool {
	for i := range r.policy.Slots {
		if s := &r.policy.Slots[i]; s.Check.Stage() == StageData && min(s.Mode, r.policy.Mode) != Off && whole(s) {
			return false
		}
	}
	if r.stream == nil {
		return len(r.policy.Slots) == 0
	}
	for _, t := range r.stream.tasks {
		if !t.isDone() {
			return false
		}
	}
	return true
}

// For judges again what Data judged, for another recipient of the message: what is done is the same for all, but not what would be.
func (r *Run) For(rcpt Mailbox) Decision {
	if len(r.policy.Slots) == 0 && len(r.policy.Rules) == 0 {
		return Decision{}
	}
	r.view.Recipient = rcpt
	return r.judge(StageData)
}

// Reset ends the transaction: what was found from MAIL on is void.
func (r *Run) Reset() {
	r.endContent(errAborted)
	r.drop(StageMail)
	r.view.Sender, r.view.NullPath, r.view.Recipient, r.view.Message = Mailbox{}, false, Mailbox{}, nil
}

// Findings are those that are there by now, in the order of the policy, without those of StageRcpt, which are of one recipient each.
func (r *Run) Findings() []Finding {
	if len(r.tasks) == 0 {
		return nil
	}
	fs := make([]Finding, 0, len(r.tasks))
	for i := range r.policy.Slots {
		for _, t := range r.tasks {
			if t.slot == &r.policy.Slots[i] && t.stage != StageRcpt && t.isDone() {
				fs = append(fs, t.finding)
			}
		}
	}
	if len(fs) == 0 {
		return nil
	}
	return fs
}

// Close ends the run and everything it started.
func (r *Run) Close() {
	r.endContent(errAborted)
	if r.cancel != nil {
		r.cancel()
	}
}

// judge awaits the findings up to a stage and judges them.
func (r *Run) judge(upTo Stage) Decision {
	c := r.facts()
	c.Findings = make([]Finding, 0, len(r.tasks))
	for _, t := range r.tasks {
		if t.stage <= upTo {
			c.Findings = append(c.Findings, t.wait())
			t.stopTimer()
		}
	}
	return r.policy.Judge(c)
}

// facts is the case as far as it is known, without findings.
func (r *Run) facts() Case {
	v := &r.view
	c := Case{Time: v.Time, Client: v.Client, Helo: v.Helo, Sender: v.Sender, NullPath: v.NullPath,
		HasSender: v.NullPath || v.Sender != Mailbox{}, Recipient: v.Recipient}
	if v.Message != nil {
		c.FromDomain = v.Message.FromDomain
	}
	return c
}

// start starts those checks of a stage that are wanted, and says whether there were any.
func (r *Run) start(stage Stage, wanted func(*Slot) bool) bool {
	n := len(r.tasks)
	for i := range r.policy.Slots {
		s := &r.policy.Slots[i]
		if s.Check.Stage() == stage && min(s.Mode, r.policy.Mode) != Off && wanted(s) {
			r.tasks = append(r.tasks, newTask(s, stage))
		}
	}
	if len(r.tasks) == n {
		return false
	}
	r.view.Time = time.Now()
	budget := r.policy.budget()
	tasks, v := slices.Clip(r.tasks), r.view
	for _, t := range tasks[n:] {
		ctx, cancel := context.WithTimeout(r.ctx, budget)
		t.expired, t.cancel = ctx.Done(), cancel
		workers.Go(func() {
			defer cancel()
			t.run(ctx, v, tasks)
		})
	}
	return true
}

func (p *Policy) budget() time.Duration {
	if p.Budget > 0 {
		return p.Budget
	}
	return 60 * time.Second // REPLIES: all content checks together
}

// drop voids the findings of a stage and of those after it.
func (r *Run) drop(from Stage) { r.void(func(s Stage) bool { return s >= from }) }

// void ends the checks of some stages: a sender that begins anew, again and again, is not to leave them behind.
func (r *Run) void(meant func(Stage) bool) {
	r.tasks = slices.DeleteFunc(slices.Clone(r.tasks), func(t *task) bool {
		if meant(t.stage) {
			t.cancel()
		}
		return meant(t.stage)
	})
}

// all, not, lastResort, reads and whole say which checks of a stage are meant.
func all(*Slot) bool { return true }

func not(f func(*Slot) bool) func(*Slot) bool { return func(s *Slot) bool { return !f(s) } }

func lastResort(s *Slot) bool { _, ok := s.Check.(LastResort); return ok }

func reads(s *Slot) bool { _, ok := s.Check.(Reader); return ok }

func whole(s *Slot) bool { _, ok := s.Check.(Whole); return ok }
