package resolver

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/miekg/dns"
)

// tries is how often a question is sent, over all servers.
const tries = 3

// question is what is asked: the key of the cache and of the flights.
type question struct {
	name  string // as of canonical
	qtype uint16
}

// freshness says whether an answer past its time will do where no other is to be had.
type freshness bool

const (
	orStale   freshness = false
	onlyFresh freshness = true
)

// pending is a question under way, or one that is answered already.
type pending struct {
	q      question
	fresh  freshness
	answer *answer
	failed *net.DNSError
	flight *flight // nil: answer or failed says it
}

// lookup gives the answer to a question where it has records.
func (r *Resolver) lookup(ctx context.Context, name string, qtype uint16) (*answer, error) {
	return r.records(ctx, r.begin(ctx, name, qtype, orStale))
}

// records is await for those who take an answer without records for an error.
func (r *Resolver) records(ctx context.Context, p pending) (*answer, error) {
	a, err := r.await(ctx, p)
	if err != nil {
		return nil, err
	}
	if a.missing != nil {
		return nil, a.missing
	}
	return a, nil
}

// begin looks into the cache, and sends the question on its way where that has nothing. It doesn't wait: await must follow.
func (r *Resolver) begin(ctx context.Context, name string, qtype uint16, fresh freshness) pending {
	clean, ok := canonical(name)
	if !ok {
		return pending{answer: &answer{missing: notFound(name, "no valid name")}}
	}
	p := pending{q: question{clean, qtype}, fresh: fresh}
	if err := ctx.Err(); err != nil {
		p.failed = ended(clean, err)
		return p
	}
	var known bool
	if p.answer, p.failed, known = r.cache.get(p.q, time.Now()); !known {
		if p.flight = r.fly(p.q, clientOf(ctx)); p.flight == nil {
			p.failed = busy(temporary(clean, "", ErrBusy.Error()))
		}
	}
	return p
}

// await waits for the answer. The error is only ever a temporary one.
func (r *Resolver) await(ctx context.Context, p pending) (*answer, error) {
	if p.flight != nil {
		select {
		case <-ctx.Done():
			r.flights.leave(p.q, p.flight)
			return nil, p.flight.givenUp(p.q, ctx.Err())
		case <-p.flight.done:
			p.answer, p.failed = p.flight.outcome.answer, p.flight.outcome.failed
		}
	}
	if p.failed == nil {
		return p.answer, nil
	}
	if p.fresh == orStale && ctx.Err() == nil {
		if a := r.cache.past(p.q, time.Now()); a != nil {
			return a, nil
		}
	}
	return nil, p.failed
}

// resolve asks a question, and once more where the answer is a CNAME record without its target.
func (r *Resolver) resolve(ctx context.Context, q question) (o outcome) {
	defer func() {
		// A fault in reading what a stranger's server has sent costs this answer, not the process.
		if p := recover(); p != nil {
			o = outcome{failed: temporary(q.name, "", "unreadable answer")}
		}
	}()
	at := alias{name: q.name, ttl: r.settings.MaxTTL}
	m, failed := r.step(ctx, q, &at)
	if failed == nil && dangling(m, at, q.qtype) {
		m, failed = r.onceMore(ctx, q, &at)
	}
	if failed != nil {
		return outcome{failed: failed}
	}
	a, err := distil(m, q, at)
	if err != nil {
		return outcome{failed: temporary(q.name, "", err.Error())}
	}
	return outcome{answer: a}
}

// onceMore asks for the target of a CNAME record that came without. A server that leads on and on is left there.
func (r *Resolver) onceMore(ctx context.Context, q question, at *alias) (*dns.Msg, *net.DNSError) {
	before := at.hops
	m, failed := r.step(ctx, q, at)
	if failed == nil && at.hops > before && dangling(m, *at, q.qtype) {
		return nil, temporary(q.name, "", errChain.Error())
	}
	return m, failed
}

// step asks for the name that at has come to, and takes at on from there.
func (r *Resolver) step(ctx context.Context, q question, at *alias) (*dns.Msg, *net.DNSError) {
	m, failed := r.ask(ctx, question{at.name, q.qtype})
	if failed != nil {
		failed.Name = shown(q.name)
		return nil, failed
	}
	if err := at.follow(m.Answer, q.qtype); err != nil {
		return nil, temporary(q.name, "", err.Error())
	}
	return m, nil
}

// ask sends a question to the servers, one after the other, until one has an answer.
func (r *Resolver) ask(ctx context.Context, q question) (*dns.Msg, *net.DNSError) {
	var failed *net.DNSError
	var quiet []*server
	left := r.inOrder(time.Now())
	for n := tries; n > 0 && len(left) > 0; n-- {
		if err := ctx.Err(); err != nil {
			if failed == nil {
				failed = ended(q.name, err)
			}
			return nil, failed // of the last server that was asked, where there is one
		}
		s := left[0]
		left = left[1:]
		m, err := r.try(ctx, s, q, n)
		switch {
		case err != nil:
			failed = err
			left = append(left, s)
			quiet = append(quiet, s)
		case m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError:
			for _, other := range quiet {
				if other != s {
					other.blame(q.name, time.Now())
				}
			}
			return m, nil
		default: // It would say the same again.
			failed = temporary(q.name, s.state.Address, rcodeName(m.Rcode))
		}
	}
	return nil, failed
}

// longestTry is the time for one server where there are more: who asks may have less patience than a query has time.
const longestTry = 2 * time.Second

// try sends a question to one server. It leaves time for the other tries: n are left, this one included.
func (r *Resolver) try(ctx context.Context, s *server, q question, n int) (*dns.Msg, *net.DNSError) {
	if deadline, ok := ctx.Deadline(); ok {
		wait := time.Until(deadline) / time.Duration(n)
		if len(r.servers) > 1 && n > 1 {
			wait = min(wait, longestTry)
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	m, err := r.exchange(ctx, s.addr, q)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		s.note(unheard, q.name, time.Now())
		return nil, ended(q.name, ctx.Err())
	}
	if err != nil {
		failed := failed(q.name, s.state.Address, err)
		s.note(silent, q.name, time.Now())
		r.counts.failure(q.qtype, failed)
		return nil, failed
	}
	s.note(kind(m.Rcode), q.name, time.Now())
	r.counts.answer(q.qtype, m.Rcode)
	return m, nil
}
