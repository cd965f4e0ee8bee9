package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"gatepost/policy"
)

// result is what became of a sample.
type result struct {
	dialogue          []string
	verdict, why, ref string
	stored            int
	header            []string // of what the mail server got last, line by line
}

// missed is what did not come as the sample wants it, in words; nothing where all did.
func (r result) missed(sm sample) []string {
	var all []string
	if r.verdict != sm.verdict || r.stored != sm.stored {
		all = append(all, fmt.Sprintf("%s, stored %d", sm.verdict, sm.stored))
	}
	said := strings.Join(append(r.dialogue, r.why), "\n")
	for _, w := range sm.says {
		if !strings.Contains(said, w) {
			all = append(all, "to be told: "+w)
		}
	}
	header := unfold(r.header)
	for _, w := range sm.shows {
		if !strings.Contains(header, w) {
			all = append(all, "in the header: "+w)
		}
	}
	for _, w := range sm.lacks {
		if strings.Contains(header, w) {
			all = append(all, "not in the header: "+w)
		}
	}
	return all
}

// unfold is a header with each field on one line (RFC 5322 section 2.2.3).
func unfold(header []string) string {
	var b strings.Builder
	for _, l := range header {
		if strings.HasPrefix(l, " ") || strings.HasPrefix(l, "\t") {
			b.WriteString(" " + strings.TrimLeft(l, " \t"))
		} else {
			b.WriteString("\n" + l)
		}
	}
	return b.String()
}

// play plays a sample. Its records are all there once its session is over.
func (st *stage) play(ctx context.Context, sm sample) (result, error) {
	if err := pause(ctx, sm.wait); err != nil {
		return result{}, err
	}
	before := st.sink.Committed()
	client, err := netip.ParseAddr(sm.client)
	if err != nil {
		return result{}, err
	}
	steps, err := st.compose(sm.steps)
	if err != nil {
		return result{}, err
	}
	lines, err := dialogue(ctx, st.tries, client, st.roots, steps)
	if err != nil {
		return result{}, err
	}
	got := result{dialogue: lines, stored: st.sink.Committed() - before, verdict: "no record"}
	if got.stored > 0 {
		got.header = st.lastHeader()
	}
	for len(st.records) > 0 {
		if r := <-st.records; r.Listener == "samples" && (got.ref == "" || len(r.Recipients) > 0) {
			got.verdict, got.why, got.ref = verdictOf(r), st.why(r), r.Ref
		}
	}
	return got, nil
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// lastHeader is the header of the mail that the mail server got last.
func (st *stage) lastHeader() []string {
	all := st.sink.Messages()
	if len(all) == 0 {
		return nil
	}
	head, _, _ := bytes.Cut(all[len(all)-1].Content, []byte("\r\n\r\n"))
	return strings.Split(string(head), "\r\n")
}

// why is the reason for a verdict, by the policy of the demo.
func (st *stage) why(r *policy.Record) string { return why(r, st.daemon.metrics.now.Load().policy) }
