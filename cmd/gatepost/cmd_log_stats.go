package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatepost/journal"
	"gatepost/policy"
)

func (f *logFlags) statsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Count recipients by verdict, check, sender's domain, client's network and hour",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := f.query(time.Now())
			if err != nil {
				return err
			}
			r, err := f.open()
			if err != nil {
				return err
			}
			st, fault := r.Stats(cmd.Context(), q)
			if fault = asWhom(fault); st == nil {
				return fault
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s mail(s) and sessions %s\n", thousands(int(st.Entries)), span(q))
			t := statsTeller{cmd.OutOrStdout(), f.json, newPaint(cmd.OutOrStdout()), f.lines}
			return errors.Join(t.all(st), fault)
		},
	}
	f.withFilters(cmd)
	f.withJSON(cmd)
	cmd.Flags().IntVar(&f.lines, "top", 10, "at most this `many` of each; 0: all")
	return cmd
}

// statsTeller writes counts, as bars or as JSON.
type statsTeller struct {
	out   io.Writer
	json  bool
	paint paint
	top   int
}

// counted is one count.
type counted struct {
	name string
	n    int64
}

func (t statsTeller) all(st *journal.Stats) error {
	networks := make(map[string]int64)
	for p, n := range st.Networks {
		name := "no address"
		if p.IsValid() {
			name = p.String()
		}
		networks[name] = n
	}
	return errors.Join(t.chart("verdict", "By verdict", verdictCounts(st), 0),
		t.chart("by", "Deferred or rejected, by what decided", ranked(st.Checks), t.top),
		t.chart("would_by", "Let through, but not were all checks enforced", ranked(st.Would), t.top),
		t.chart("sender_domain", "By domain of the sender", ranked(st.Domains), t.top),
		t.chart("network", "By network of the client", ranked(networks), t.top),
		t.hours(st))
}

func verdictCounts(st *journal.Stats) (cs []counted) {
	for v := policy.Accepted; v <= policy.Rejected; v++ {
		cs = append(cs, counted{v.String(), st.Verdicts[v]})
	}
	return append(cs, counted{policy.Undecided.String(), st.Verdicts[policy.Undecided]})
}

// ranked are counts, the largest first.
func ranked(m map[string]int64) (cs []counted) {
	for name, n := range m {
		cs = append(cs, counted{cmp.Or(name, "-"), n})
	}
	slices.SortFunc(cs, func(a, b counted) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.name, b.name)) })
	return cs
}

// longestBar is how long the longest bar is.
const longestBar = 28

// chart writes one table of counts; top bounds its lines, 0 does not.
func (t statsTeller) chart(key, title string, cs []counted, top int) error {
	if t.json {
		return t.chartJSON(key, cs, top)
	}
	if len(cs) == 0 {
		return nil
	}
	var most, rest int64
	for _, c := range cs {
		most = max(most, c.n)
	}
	fmt.Fprintln(t.out, t.paint.in(bold, title))
	for i, c := range cs {
		if top > 0 && i >= top {
			rest += c.n
			continue
		}
		t.bar(c, most)
	}
	if rest > 0 {
		fmt.Fprintf(t.out, "  %-34s %10s\n", fmt.Sprintf("and %d more", len(cs)-top), thousands(int(rest)))
	}
	return nil
}

func (t statsTeller) bar(c counted, most int64) {
	length := 0
	if most > 0 {
		length = int((c.n*longestBar + most - 1) / most)
	}
	line := fmt.Sprintf("  %-34s %10s %s", shorten(printable(c.name), 34), thousands(int(c.n)), strings.Repeat("#", length))
	fmt.Fprintln(t.out, strings.TrimRight(line, " "))
}

func (t statsTeller) chartJSON(key string, cs []counted, top int) error {
	for i, c := range cs {
		if top > 0 && i >= top {
			return nil
		}
		if err := writeJSON(t.out, struct {
			Kind  string `json:"kind"`
			Name  string `json:"name"`
			Count int64  `json:"count"`
		}{key, printable(c.name), c.n}); err != nil {
			return err
		}
	}
	return nil
}

// hours writes a bar an hour: "#" for what was taken, "x" for what was not. Hours without any are told too, unless that would be long.
func (t statsTeller) hours(st *journal.Stats) error {
	var times []time.Time
	var most int64
	for h, vs := range st.Hours {
		times = append(times, h)
		most = max(most, total(vs))
	}
	slices.SortFunc(times, time.Time.Compare)
	if !t.json && len(times) > 0 {
		fmt.Fprintln(t.out, t.paint.in(bold, `By hour, UTC ("#" accepted or tagged, "x" the rest)`))
	}
	for _, h := range times {
		if err := t.hour(h, st.Hours[h], most); err != nil {
			return err
		}
	}
	return nil
}

func total(vs map[policy.Verdict]int64) (n int64) {
	for _, x := range vs {
		n += x
	}
	return n
}

func (t statsTeller) hour(h time.Time, vs map[policy.Verdict]int64, most int64) error {
	all, good := total(vs), vs[policy.Accepted]+vs[policy.Tagged]
	if t.json {
		return writeJSON(t.out, struct {
			Kind  string    `json:"kind"`
			Hour  time.Time `json:"hour"`
			Count int64     `json:"count"`
			Taken int64     `json:"taken"`
		}{"hour", h, all, good})
	}
	long := int((all*longestBar + most - 1) / most)
	marks := int(good * int64(long) / all)
	_, err := fmt.Fprintf(t.out, "  %-34s %10s %s%s\n", h.Format("2006-01-02 15:00"), thousands(int(all)), t.paint.in(green, strings.Repeat("#", marks)),
		t.paint.in(red, strings.Repeat("x", long-marks)))
	return err
}
