package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"golang.org/x/net/idna"

	"gatepost/config"
	"gatepost/greylist"
)

// greylistFlags are those of all greylist commands.
type greylistFlags struct {
	config string
	json   bool
	state  string
	limit  int
}

func greylistCommand() *cobra.Command {
	var f greylistFlags
	cmd := &cobra.Command{
		Use:   "greylist",
		Short: "Look at the greylist and change it, beside a running daemon",
		Long: "Looks at what greylisting remembers and changes it. A running daemon notices within about a second. ENTRY is an address or network " +
			"of a client, a domain, an address of a sender or recipient, or the first characters of a key. All times are in UTC.",
		Args: knownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	cmd.PersistentFlags().StringVar(&f.config, "config", defaultConfig, "the config `file`")
	cmd.PersistentFlags().BoolVar(&f.json, "json", false, "JSON Lines")
	cmd.AddCommand(f.listCommand(), f.showCommand(), f.allowCommand(), f.deleteCommand(), f.statsCommand(), f.learnCommand())
	return cmd
}

// stateDir is where what outlives a restart is kept.
func stateDir(c *config.Config) string { return cmp.Or(c.Journal.Dir, "/var/lib/gatepost") }

// ledger is the greylist of a config, opened for a command.
type ledger struct {
	greylist.Book
	settings *greylist.Settings
}

// open opens the greylist of the config; create makes one where there is none yet.
func (f *greylistFlags) open(create bool) (*ledger, error) {
	c, err := loadConfig(f.config)
	if err != nil {
		return nil, err
	}
	for _, k := range c.Checks {
		if s, ok := k.Settings.(*greylist.Settings); ok {
			b, err := greylist.OpenBook(s, stateDir(c), create)
			if err != nil {
				return nil, err
			}
			return &ledger{b, s}, nil
		}
	}
	return nil, fmt.Errorf("greylist is not in policy.checks of %s", f.config)
}

// find is the entries that any of the words means, all where there are none, in a fixed order.
func (f *greylistFlags) find(ctx context.Context, l *ledger, words []string) ([]greylist.Record, error) {
	var rs []greylist.Record
	err := l.Each(ctx, func(r greylist.Record) bool {
		named := len(words) == 0 || slices.ContainsFunc(words, r.Matches)
		if named && (f.state == "" || f.state == string(r.Entry.State())) {
			rs = append(rs, r)
		}
		return true
	})
	slices.SortFunc(rs, byName)
	return rs, err
}

// byName is the order of entries: by state, then by client, sender and recipient.
func byName(a, b greylist.Record) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Label.Client, b.Label.Client), cmp.Compare(a.Label.Sender, b.Label.Sender),
		cmp.Compare(a.Label.Recipient, b.Label.Recipient), cmp.Compare(a.Key.String(), b.Key.String()))
}

func rank(r greylist.Record) int { return slices.Index(greylist.States(), r.Entry.State()) }

// withState adds --state.
func (f *greylistFlags) withState(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.state, "state", "", "only entries in this `state`: "+strings.Join(stateNames(), ", "))
}

// checkState refuses a state that there is not.
func (f *greylistFlags) checkState() error {
	if f.state != "" && !slices.Contains(stateNames(), f.state) {
		return usageError{fmt.Errorf("%q is no state: one of %s", f.state, strings.Join(stateNames(), ", "))}
	}
	return nil
}

func stateNames() (names []string) {
	for _, s := range greylist.States() {
		names = append(names, string(s))
	}
	return names
}

func (f *greylistFlags) listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [ENTRY...]",
		Short: "List entries, one a line",
		RunE: func(cmd *cobra.Command, words []string) error {
			return f.each(cmd, words, func(out io.Writer, _ *ledger, rs []greylist.Record) error {
				return writeList(out, rs, f.limit, isTerminal(out))
			})
		},
	}
	f.withState(cmd)
	cmd.Flags().IntVar(&f.limit, "limit", 0, "at most this `many`; 0: all")
	return cmd
}

func (f *greylistFlags) showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ENTRY...",
		Short: "Tell of entries in full: what they wait for, and until when they are kept",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, words []string) error {
			return f.each(cmd, words, func(out io.Writer, l *ledger, rs []greylist.Record) error {
				if len(rs) == 0 {
					return fmt.Errorf("the greylist knows nothing of %s", printable(strings.Join(words, ", ")))
				}
				for _, r := range rs {
					fmt.Fprintln(out, l.sentence(r))
				}
				return nil
			})
		},
	}
	f.withState(cmd)
	return cmd
}

// each finds entries and has them told, as JSON where that is asked for.
func (f *greylistFlags) each(cmd *cobra.Command, words []string, tell func(io.Writer, *ledger, []greylist.Record) error) error {
	if err := f.checkState(); err != nil {
		return err
	}
	l, err := f.open(false)
	if err != nil {
		return err
	}
	defer l.Close()
	rs, err := f.find(cmd.Context(), l, words)
	if err != nil {
		return err
	}
	if !f.json {
		return tell(cmd.OutOrStdout(), l, rs)
	}
	for i, r := range rs {
		if f.limit > 0 && i == f.limit {
			break
		}
		if err := writeJSON(cmd.OutOrStdout(), l.line(r)); err != nil {
			return err
		}
	}
	return nil
}

// line is an entry as JSON has it.
func (l *ledger) line(r greylist.Record) any {
	type line struct {
		Key       string         `json:"key"`
		State     greylist.State `json:"state"`
		Client    string         `json:"client"`
		Sender    string         `json:"sender,omitempty"`
		Recipient string         `json:"recipient,omitempty"`
		Mails     uint32         `json:"mails"`
		First     time.Time      `json:"first"`
		Last      time.Time      `json:"last"`
		Ends      *time.Time     `json:"ends,omitempty"` // left out where it never does
	}
	x := line{r.Key.String(), r.Entry.State(), r.Label.Client, r.Label.Sender, r.Label.Recipient, r.Entry.Passed, utc(r.Entry.First), utc(r.Entry.Last), nil}
	if ms := l.settings.Ends(r.Entry); ms != 0 {
		t := utc(ms)
		x.Ends = &t
	}
	return x
}

func utc(ms int64) time.Time { return time.UnixMilli(ms).UTC().Truncate(time.Second) }

// isTerminal says whether a person reads: in a pipe lines are whole.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// writeList writes entries as a table, cut to columns where that is asked for.
func writeList(out io.Writer, rs []greylist.Record, limit int, cut bool) error {
	if len(rs) == 0 {
		return nil
	}
	fmt.Fprintf(out, "%-7s %6s %-11s  %s\n", "STATE", "MAILS", "LAST", "CLIENT, SENDER -> RECIPIENT")
	for i, r := range rs {
		if limit > 0 && i == limit {
			fmt.Fprintf(out, "... and %d more\n", len(rs)-limit)
			break
		}
		line := fmt.Sprintf("%-7s %6d %-11s  %s", r.Entry.State(), r.Entry.Passed, utc(r.Entry.Last).Format("01-02 15:04"), who(r))
		if cut {
			line = shorten(line, columns)
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// who is whom an entry is about. The labels are cleaned again, since others may write into a shared store.
func who(r greylist.Record) string {
	if r.Label.Sender == "" {
		return printable(r.Label.Client)
	}
	return printable(r.Label.Client + ", " + r.Label.Sender + " -> " + r.Label.Recipient)
}

// sentence tells of an entry in words.
func (l *ledger) sentence(r greylist.Record) string {
	e, day := r.Entry, "2006-01-02 15:04:05"
	var text string
	until := utc(l.settings.Ends(e)).Format(day)
	switch e.State() {
	case greylist.StateAllowed:
		text = "Every recipient is open to it, by an admin's word, until it is deleted."
	case greylist.StateKnown:
		text = fmt.Sprintf("Every recipient is open to it: it brought mail %d time(s), and was last used at %s. It is remembered until %s.", e.Passed, utc(e.Last).Format(day), until)
	case greylist.StateSeen:
		text = fmt.Sprintf("It brought mail %d time(s), the last at %s, and is not known yet. It is remembered until %s.", e.Passed, utc(e.Last).Format(day), until)
	case greylist.StatePassed:
		text = fmt.Sprintf("It came back and passes: %d time(s), the last at %s. It is remembered until %s.", e.Passed, utc(e.Last).Format(day), until)
	default:
		text = fmt.Sprintf("It was first seen at %s and has to come back: after %s, and by %s.", utc(e.First).Format(day),
			utc(e.First+l.settings.Delay.Milliseconds()).Format(day), until)
	}
	return who(r) + "\n" + wrap(text, fmt.Sprintf("  %-9s", e.State()), strings.Repeat(" ", 11)) + "\n  key      " + r.Key.String()
}

func (f *greylistFlags) allowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "allow CLIENT...",
		Short: "Open all recipients to a client for good: an address, its network, or a domain that SPF proves",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, words []string) error {
			l, err := f.open(true)
			if err != nil {
				return err
			}
			defer l.Close()
			var rs []greylist.Record
			for _, w := range words {
				id, err := l.identity(w)
				if err != nil {
					return usageError{err}
				}
				rs = append(rs, greylist.AllowedClient(id, time.Now()))
			}
			if err := l.Put(cmd.Context(), rs); err != nil {
				return err
			}
			return f.each(cmd, keysOf(rs), func(out io.Writer, l *ledger, rs []greylist.Record) error {
				return writeList(out, rs, 0, isTerminal(out))
			})
		},
	}
}

// identity is the client that an admin's word means.
func (l *ledger) identity(word string) (greylist.Identity, error) {
	if a, err := netip.ParseAddr(word); err == nil {
		return l.settings.Network(a), nil
	}
	if p, err := netip.ParsePrefix(word); err == nil {
		id := l.settings.Network(p.Addr())
		if id.Name != p.Masked().String() {
			return id, fmt.Errorf("%s is not a network as this greylist counts them (%s): use skip.client or a rule in the config", word, id.Name)
		}
		return id, nil
	}
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(word, "."))
	if err != nil || !strings.Contains(name, ".") || strings.Contains(name, "@") {
		return greylist.Identity{}, fmt.Errorf("%s is no address, no network and no domain", printable(word))
	}
	return greylist.Identity{Name: name, Proved: true}, nil
}

func keysOf(rs []greylist.Record) (keys []string) {
	for _, r := range rs {
		keys = append(keys, r.Key.String())
	}
	return keys
}

func (f *greylistFlags) deleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete [ENTRY...]",
		Short: "Forget entries",
		RunE: func(cmd *cobra.Command, words []string) error {
			if len(words) == 0 && f.state == "" {
				return usageError{fmt.Errorf("say which: entries, or --state")}
			}
			if err := f.checkState(); err != nil {
				return err
			}
			l, err := f.open(false)
			if err != nil {
				return err
			}
			defer l.Close()
			return f.forget(cmd, l, words)
		},
	}
	f.withState(cmd)
	return cmd
}

// forget deletes what the words mean, and tells how many that were. That there was nothing is a failure.
func (f *greylistFlags) forget(cmd *cobra.Command, l *ledger, words []string) error {
	rs, err := f.find(cmd.Context(), l, words)
	if err != nil {
		return err
	}
	n, err := l.Delete(cmd.Context(), rs)
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("the greylist has no such entry")
	}
	if f.json {
		return writeJSON(cmd.OutOrStdout(), map[string]int{"deleted": n})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "deleted %d\n", n)
	return err
}

func (f *greylistFlags) statsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stats",
		Short: "Count entries by state",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := f.open(false)
			if err != nil {
				return err
			}
			defer l.Close()
			counts := map[greylist.State]int{}
			err = l.Each(cmd.Context(), func(r greylist.Record) bool { counts[r.Entry.State()]++; return true })
			if err != nil {
				return err
			}
			return f.writeStats(cmd.OutOrStdout(), counts)
		},
	}
}

func (f *greylistFlags) writeStats(out io.Writer, counts map[greylist.State]int) error {
	meaning := map[greylist.State]string{
		greylist.StateWaiting: "have to come back", greylist.StatePassed: "came back, and pass", greylist.StateSeen: "clients on their way to be known",
		greylist.StateKnown: "clients to which every recipient is open", greylist.StateAllowed: "the same, by an admin's word",
	}
	for _, s := range greylist.States() {
		if f.json {
			if err := writeJSON(out, map[string]any{"state": s, "entries": counts[s]}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(out, "%-7s %8d  %s\n", s, counts[s], meaning[s])
	}
	return nil
}
