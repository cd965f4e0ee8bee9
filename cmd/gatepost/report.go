package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatepost/journal/rejudge"
	"gatepost/policy"
)

// reportFlags say which time is looked at.
type reportFlags struct {
	config, dir, since, until, html string
	json                            bool
}

func reportCommand() *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report [--since 7d]",
		Short: "Say what monitored checks would have refused, and which rules would spare good senders",
		Long: "For each check that the config only monitors: how many of the recipients whose mail was accepted it would have refused, from whom, " +
			"how many of them no other monitored check would have; and rules, ready to paste, for the senders among them who are proved by SPF " +
			"or DKIM. When a check refuses nobody whom you want, enforce it.",
		Example: "  gatepost report --since 7d\n  gatepost report --since 30d --html report.html",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), time.Now())
		},
	}
	cmd.Flags().StringVar(&f.config, "config", defaultConfig, "the config `file`")
	cmd.Flags().StringVar(&f.dir, "dir", "", "the `folder` of the journal; by default journal.dir of the config")
	cmd.Flags().StringVar(&f.since, "since", "24h", "from this `time` on: 2h, 7d, yesterday, 2026-11-20")
	cmd.Flags().StringVar(&f.until, "until", "", "before this `time`; by default until now")
	cmd.Flags().StringVar(&f.html, "html", "", "write the report to this `file` as one page, with charts")
	cmd.Flags().BoolVar(&f.json, "json", false, "JSON Lines: an object for each check")
	return cmd
}

func (f *reportFlags) run(ctx context.Context, out, talk io.Writer, now time.Time) error {
	c, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	p, err := judging(c)
	if err != nil {
		return err
	}
	src, err := openRecords(c, f.dir, f.since, f.until, now)
	if err != nil {
		return err
	}
	fmt.Fprintf(talk, "Looking at the records %s.\n", src.span())
	w := rejudge.NewWatch(p)
	err = src.each(ctx, talk, func(r *policy.Record) error {
		for i := range r.Recipients {
			w.Add(r, &r.Recipients[i])
		}
		return nil
	})
	if _, part := errors.AsType[unreadError](err); err != nil && !part {
		return err
	}
	return cmp.Or(f.tell(out, talk, newWatchReport(w, src)), err)
}

// tell writes the report as it is wanted.
func (f *reportFlags) tell(out, talk io.Writer, rep *watchReport) error {
	if f.html != "" {
		return f.writeHTML(talk, rep)
	}
	if f.json {
		return rep.writeJSON(out)
	}
	return rep.write(out)
}

func (f *reportFlags) writeHTML(talk io.Writer, rep *watchReport) error {
	file, err := os.Create(f.html)
	if err != nil {
		return fmt.Errorf("the report: %w", err)
	}
	if err := rep.writeHTML(file); err != nil {
		file.Close()
		return fmt.Errorf("the report: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("the report: %w", err)
	}
	fmt.Fprintf(talk, "The report is in %s.\n", f.html)
	return nil
}

// watchReport is what is told of all monitored checks.
type watchReport struct {
	Span     string // of the records
	Accepted int
	Checks   []watchedCheck
}

// watchedCheck is one monitored check.
type watchedCheck struct {
	Check      string          `json:"check"`
	Accepted   int             `json:"accepted"`         // recipients whose mail was accepted
	Would      int             `json:"would_refuse"`     // of these, whom the check would have refused
	Defers     bool            `json:"would_only_defer"` // all of these for now
	Only       int             `json:"only_by_this"`     // of these, whom no other monitored check would have
	Proved     int             `json:"proved"`           // whose sender is proved by SPF or DKIM; for dmarc, whose author is
	Listed     int             `json:"through_lists"`    // that came through a mailing list
	Senders    []rejudge.Count `json:"senders"`
	SendersOf  int             `json:"-"`
	Lists      []rejudge.Count `json:"lists,omitempty"`
	Rules      string          `json:"rules,omitempty"`      // TOML
	Forwarders string          `json:"forwarders,omitempty"` // TOML
	Days       map[string]int  `json:"days,omitempty"`
	others     int             // recipients of senders that are not among Senders
}

// mostSpares is how many rules are proposed for one check.
const mostSpares = 10

func newWatchReport(w *rejudge.Watch, src *records) *watchReport {
	rep := &watchReport{Span: src.span(), Accepted: w.Accepted}
	for _, x := range w.Checks() {
		c := watchedCheck{Check: x.Check, Accepted: w.Accepted, Would: x.Would, Defers: x.Would > 0 && x.Forever == 0, Only: x.Only, Proved: x.Proved, Listed: x.Listed, Days: x.Days}
		c.Senders, c.others = x.Senders.Top(topNames)
		c.SendersOf, _ = x.Senders.Names()
		c.Lists, _ = x.Lists.Top(topNames)
		c.Rules, c.Forwarders = pasteable(x)
		rep.Checks = append(rep.Checks, c)
	}
	return rep
}

// pasteable is TOML that would spare the proved senders a check: rules, and for dmarc the forwarders of lists.
func pasteable(x *rejudge.Watched) (rules, forwarders string) {
	var b strings.Builder
	for _, s := range x.Spares(mostSpares) {
		s.Rule.Name += "-" + x.Check
		text, ok := ruleTOML(s.Rule, fmt.Sprintf("%s would have refused %s %s of it", x.Check, thousands(s.N), plural(s.N, "recipient")))
		if !ok {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(text)
	}
	var domains []string
	through, _ := x.Through.Top(mostSpares)
	for _, n := range through {
		domains = append(domains, n.Name)
	}
	if domains = quotedAll(domains, same); len(domains) > 0 {
		forwarders = fmt.Sprintf("[check.dmarc]\ntrusted_forwarders = [%s]\n", strings.Join(domains, ", "))
	}
	return b.String(), forwarders
}

func (rep *watchReport) writeJSON(out io.Writer) error {
	for _, c := range rep.Checks {
		if err := writeJSON(out, c); err != nil {
			return err
		}
	}
	return nil
}

func (rep *watchReport) write(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s accepted\n", thousands(rep.Accepted), plural(rep.Accepted, "recipient"))
	if len(rep.Checks) == 0 {
		fmt.Fprintln(&b, "No check is monitored: each acts, or is off.")
	}
	for i := range rep.Checks {
		rep.Checks[i].write(&b)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (c *watchedCheck) write(out io.Writer) {
	if c.Would == 0 {
		fmt.Fprintf(out, "\n%s would have refused none of them\n", c.Check)
		return
	}
	fmt.Fprintf(out, "\n%s would have %s %s of them (%s); %s of these no other check\n", c.Check, c.Did(), thousands(c.Would),
		percent(c.Would, c.Accepted), thousands(c.Only))
	fmt.Fprintf(out, "  from %s; %s of proved senders, %s through mailing lists\n", count(c.SendersOf, false, "sender"), thousands(c.Proved), thousands(c.Listed))
	counts(out, "senders", c.Senders, c.others)
	counts(out, "lists", c.Lists, 0)
	if c.Rules != "" {
		fmt.Fprintf(out, "  Rules that spare the proved senders, ready to paste:\n\n%s\n", indent(c.Rules, "    "))
	}
	if c.Forwarders != "" {
		fmt.Fprintf(out, "  Where these are forwarders of lists, and you trust them:\n\n%s\n", indent(c.Forwarders, "    "))
	}
}

// Did is what the check would have done.
func (c *watchedCheck) Did() string {
	if c.Defers {
		return "deferred"
	}
	return "refused"
}

func counts(out io.Writer, what string, of []rejudge.Count, others int) {
	if text := countsText(of, others); text != "" {
		fmt.Fprintln(out, wrap(printable(what+": "+text), "  ", "    "))
	}
}

// countsText is the most frequent of something on one line, and how many others there are; "" where there are none.
func countsText(of []rejudge.Count, others int) string {
	var parts []string
	for _, n := range of {
		parts = append(parts, fmt.Sprintf("%s %s", thousands(n.N), n.Name))
	}
	if others > 0 {
		parts = append(parts, thousands(others)+" others")
	}
	return strings.Join(parts, ", ")
}

func percent(part, of int) string {
	if of == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(of))
}
