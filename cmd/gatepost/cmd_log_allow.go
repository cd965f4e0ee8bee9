package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatepost/config"
	"gatepost/journal"
	"gatepost/journal/rejudge"
	"gatepost/policy"
)

// allowLooksBack is how far back "log allow" looks for what else its rule would have let in.
const allowLooksBack = "30d"

// allowFlags are those of "log allow" and "log overrides".
type allowFlags struct {
	config, dir, span, remove string
	recipient, json           bool
}

// allowCommand is "log allow".
func allowCommand() *cobra.Command {
	var f allowFlags
	cmd := &cobra.Command{
		Use:   "allow REF",
		Short: "Propose the narrowest safe rule that lets a refused mail in",
		Long: "Prints a rule for the config that would have let a mail in: by the author's domain where DKIM proves it, else by the sender's " +
			"domain where SPF does, else by client and sender's domain together. Where it skips dmarc it names the author's domain too. It skips the checks that refused the mail and no others. The " +
			"rule is judged against the mail, and against the last 30 days: what else it would have let in stands above it. With --for the rule " +
			"holds at once and for a time: a running daemon takes it up within two seconds, without a reload.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.allow(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0], time.Now())
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "JSON")
	cmd.Flags().StringVar(&f.span, "for", "", "let it hold from now on for this `time`, such as 7d")
	cmd.Flags().BoolVar(&f.recipient, "recipient", false, "for the recipient of this mail alone")
	return cmd
}

// overridesCommand is "log overrides".
func overridesCommand() *cobra.Command {
	var f allowFlags
	cmd := &cobra.Command{
		Use:   "overrides",
		Short: "List the temporary rules: what they allow, by whom, until when",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.overrides(cmd.OutOrStdout(), time.Now())
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.remove, "remove", "", "end the rule of this `name` now")
	cmd.Flags().BoolVar(&f.json, "json", false, "JSON Lines")
	return cmd
}

func (f *allowFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", defaultConfig, "the config `file`")
	cmd.Flags().StringVar(&f.dir, "dir", "", "the `folder` of the journal; by default journal.dir of the config")
}

// load reads the config and says where the journal is.
func (f *allowFlags) load() (*config.Config, error) {
	c, err := loadConfig(f.config)
	if err != nil {
		return nil, err
	}
	if f.dir = cmp.Or(f.dir, c.Journal.Dir); f.dir == "" {
		return nil, fmt.Errorf("there is no journal: write [journal] dir in %s, or give --dir", c.File)
	}
	return c, nil
}

func (f *allowFlags) allow(ctx context.Context, out, talk io.Writer, ref string, now time.Time) error {
	var ends time.Time
	if f.span != "" {
		span, err := parseSpan(f.span)
		if err != nil {
			return usageError{fmt.Errorf("--for: %w", err)}
		}
		ends = now.Add(span).UTC().Truncate(time.Second)
	}
	c, err := f.load()
	if err != nil {
		return err
	}
	src, err := openRecords(c, f.dir, allowLooksBack, "", now)
	if err != nil {
		return err
	}
	r, err := findRef(ctx, src.reader, ref)
	if err != nil {
		return err
	}
	rule, p, err := f.propose(c, r)
	if err != nil {
		return err
	}
	rule.Expires = ends
	text, ok := ruleTOML(rule, fmt.Sprintf("for %s, by %s on %s", r.Ref, whoami(), now.UTC().Format(time.DateOnly)))
	if !ok {
		return fmt.Errorf("no rule can be written for %s: %s is no name that a config takes", printable(ref), printable(ruleWords(rule)))
	}
	more, err := lookBack(ctx, src, talk, p, rule, r.Ref)
	if err != nil {
		return err
	}
	x := proposal{rule.Name, ruleWords(rule), text, rule.Skip, rule.Expires, more}
	if err := x.write(out, f.json); err != nil {
		return err
	}
	if ends.IsZero() {
		return nil
	}
	if err := changeOverrides(filepath.Join(f.dir, overrideFile), rule.Name, text, now); err != nil {
		return asWhom(err)
	}
	fmt.Fprintf(talk, "It holds until %s, for sessions that begin in two seconds or later.\n", ends.Format("2006-01-02 15:04 UTC"))
	return nil
}

// findRef is the record of a ref, or of what begins so, if that is one alone.
func findRef(ctx context.Context, j *journal.Reader, ref string) (*policy.Record, error) {
	var found *policy.Record
	var fault error
	for e, err := range j.Find(ctx, ref) {
		if _, part := errors.AsType[*journal.FileError](err); part {
			fault = cmp.Or(fault, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		if found != nil && found.Ref != e.Record.Ref {
			return nil, fmt.Errorf("%s is the beginning of several refs: %s, %s", printable(ref), printable(found.Ref), printable(e.Record.Ref))
		}
		if found == nil || len(e.Record.Recipients) > 0 {
			found = e.Record
		}
	}
	switch {
	case found == nil && fault != nil:
		return nil, fmt.Errorf("not all of the journal can be read, and the rest has no record with the ref %s: %w", printable(ref), asWhom(fault))
	case found == nil:
		return nil, fmt.Errorf("the journal has no record with the ref %s; %s", printable(ref), reach(j))
	}
	return found, nil
}

// propose is the rule for a record, and the policy that it was found by: that of the daemon; where a temporary rule lets the mail in by now,
// the config alone, so that its time can be prolonged; where no check refused, that with every check enforced.
func (f *allowFlags) propose(c *config.Config, r *policy.Record) (policy.Rule, *policy.Policy, error) {
	p, err := judging(c)
	if err != nil {
		return policy.Rule{}, nil, err
	}
	alone, err := written(c)
	if err != nil {
		return policy.Rule{}, nil, err
	}
	for _, q := range []*policy.Policy{p, alone, allEnforced(p)} {
		for i := range r.Recipients {
			rc := &r.Recipients[i]
			c := rejudge.Case(r, rc)
			if q.Replay(c).Done < policy.Defer {
				continue
			}
			rule, ok := rejudge.Propose(q, c)
			if !ok {
				return rule, nil, fmt.Errorf("no safe rule lets %s in: %s refuses it", printable(r.Ref), q.Replay(c).By)
			}
			if f.recipient {
				rule.Recipient = []string{strings.ToLower(c.Recipient.String())}
			}
			return rule, q, nil
		}
	}
	return policy.Rule{}, nil, fmt.Errorf("no check of this config refuses %s, nor would if it were enforced: %s", printable(r.Ref), why(r, nil))
}

// allEnforced is a policy without monitor mode.
func allEnforced(p *policy.Policy) *policy.Policy {
	q := *p
	q.Mode, q.Slots = policy.Enforce, slices.Clone(p.Slots)
	for i := range q.Slots {
		if q.Slots[i].Mode == policy.Monitor {
			q.Slots[i].Mode = policy.Enforce
		}
	}
	return &q
}

// proposal is the rule that "log allow" prints.
type proposal struct {
	Name    string    `json:"name"`
	Allows  string    `json:"allows"` // what the rule says, in words
	Rule    string    `json:"rule"`   // as TOML
	Skip    []string  `json:"skip"`
	Expires time.Time `json:"expires,omitzero"`
	lookedBack
}

// lookedBack is what else a rule would have let in over the last 30 days.
type lookedBack struct {
	Recipients int             `json:"recipients"` // looked at
	More       int             `json:"more"`       // let in besides
	Senders    []rejudge.Count `json:"senders"`    // of these, the most frequent
	Clients    []rejudge.Count `json:"clients"`
	senders    int             // of the others
	clients    int
}

// lookBack judges the last records with a rule.
func lookBack(ctx context.Context, src *records, talk io.Writer, p *policy.Policy, rule policy.Rule, ref string) (lookedBack, error) {
	with := rejudge.With(p, rule)
	var senders, clients rejudge.Tally
	var b lookedBack
	err := src.each(ctx, talk, func(r *policy.Record) error {
		for i := range r.Recipients {
			b.Recipients++
			c := rejudge.Case(r, &r.Recipients[i])
			if r.Ref == ref || p.Replay(c).Done < policy.Defer || with.Replay(c).Done >= policy.Defer {
				continue
			}
			b.More++
			senders.Add(cmp.Or(c.FromDomain, rejudge.SenderDomain(r)))
			clients.Add(r.Client.String())
		}
		return nil
	})
	if _, part := errors.AsType[unreadError](err); err != nil && !part { // the rule is as good without what cannot be read
		return b, err
	}
	b.Senders, b.senders = senders.Top(topNames)
	b.Clients, b.clients = clients.Top(topNames)
	return b, nil
}

// write writes the rule, and above it as comments what else it would have let in.
func (x proposal) write(out io.Writer, asJSON bool) error {
	if asJSON {
		return writeJSON(out, x)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Of %s %s of the last 30 days it would have let in %s more.\n", thousands(x.Recipients), plural(x.Recipients, "recipient"), thousands(x.More))
	for _, l := range []struct{ what, of string }{{"from", countsText(x.Senders, x.senders)}, {"by", countsText(x.Clients, x.clients)}} {
		if l.of != "" {
			fmt.Fprintln(&b, wrap(printable(l.of), "#   "+l.what+" ", "#     "))
		}
	}
	_, err := io.WriteString(out, b.String()+x.Rule)
	return err
}

// whoami is who runs the command, as user@host. Under sudo it is who called that.
func whoami() string {
	name := cmp.Or(os.Getenv("SUDO_USER"), os.Getenv("USER"))
	if u, err := user.Current(); err == nil && os.Getenv("SUDO_USER") == "" {
		name = u.Username
	}
	host, _ := os.Hostname()
	return cmp.Or(name, "somebody") + "@" + cmp.Or(host, "localhost")
}

// override is a temporary rule in JSON.
type override struct {
	Name    string    `json:"name"`
	Allows  string    `json:"allows"` // what the rule says, in words
	Action  string    `json:"action"` // allow or deny
	Skip    []string  `json:"skip"`
	Comment string    `json:"comment"` // for which mail, by whom, when
	Expires time.Time `json:"expires,omitzero"`
	Ended   bool      `json:"ended"`
}

func (f *allowFlags) overrides(out io.Writer, now time.Time) error {
	if _, err := f.load(); err != nil {
		return err
	}
	file := filepath.Join(f.dir, overrideFile)
	c, _, err := readOverrides(file)
	if err != nil {
		return fmt.Errorf("the temporary rules: %w", asWhom(err))
	}
	rs := rules(c)
	if f.remove != "" {
		if !slices.ContainsFunc(rs, func(r policy.Rule) bool { return r.Name == f.remove }) {
			return fmt.Errorf("there is no temporary rule %q", f.remove)
		}
		return asWhom(changeOverrides(file, f.remove, "", now))
	}
	for i, r := range rs {
		o := override{r.Name, ruleWords(r), c.Rules[i].Action, r.Skip, c.Rules[i].Comment, r.Expires, !r.Expires.IsZero() && !now.Before(r.Expires)}
		if err := o.write(out, f.json); err != nil {
			return err
		}
	}
	if len(rs) == 0 && !f.json {
		fmt.Fprintln(out, "There are no temporary rules.")
	}
	return nil
}

func (o override) write(out io.Writer, asJSON bool) error {
	if asJSON {
		return writeJSON(out, o)
	}
	until := "without an end"
	switch {
	case o.Ended:
		until = "ended " + o.Expires.Format("2006-01-02 15:04 UTC")
	case !o.Expires.IsZero():
		until = "until " + o.Expires.Format("2006-01-02 15:04 UTC")
	}
	what := o.Allows
	switch {
	case o.Action == "allow" && len(o.Skip) == 0:
		what += ", which skips all checks"
	case o.Action == "allow":
		what += ", which skips " + strings.Join(o.Skip, ", ")
	}
	_, err := fmt.Fprintf(out, "%s  %s\n%s\n%s\n", o.Name, until, wrap(printable(what), "    ", "    "), wrap(printable(o.Comment), "    ", "    "))
	return err
}
