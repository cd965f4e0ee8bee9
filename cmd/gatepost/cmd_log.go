package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatepost/checks"
	"gatepost/config"
	"gatepost/journal"
	"gatepost/policy"
)

// logFlags are those of the log commands.
type logFlags struct {
	config, dir                             string
	json                                    bool
	rcpt, from, client, domain, check, text string
	verdict                                 []string
	mode, since, until                      string
	limit                                   int
	lines                                   int
	follow                                  bool
}

// defaultSince is how far back is looked where nothing else is said.
const defaultSince = "24h"

func logCommand() *cobra.Command {
	var f logFlags
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Look at what became of mail, and why",
		Long: "Looks at the journal, beside a running daemon or without one. A ref or an address is enough: gatepost log show 8F3K2QWMAB, gatepost log search " +
			"amy@example.com. What is found goes to stdout, the newest first; what is said of it to stderr. All times are in UTC.",
		Args: knownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	cmd.PersistentFlags().StringVar(&f.config, "config", defaultConfig, "the config `file`, which tells where the journal is")
	cmd.PersistentFlags().StringVar(&f.dir, "dir", "", "the `folder` of the journal; no config is read then")
	cmd.AddCommand(f.searchCommand(), f.showCommand(), f.tailCommand(), f.statsCommand(), f.exportCommand(), f.purgeCommand(),
		allowCommand(), overridesCommand())
	return cmd
}

// open opens the journal, which has to hold something.
func (f *logFlags) open() (*journal.Reader, error) {
	dir, err := f.folder()
	if err != nil {
		return nil, err
	}
	return openJournal(dir)
}

// folder is where the journal is.
func (f *logFlags) folder() (string, error) {
	if f.dir != "" {
		return f.dir, nil
	}
	c, err := loadConfig(f.config)
	if err != nil {
		return "", err
	}
	if c.Journal.Dir == "" {
		return "", fmt.Errorf("there is no journal: write [journal] dir in %s, or give --dir", f.config)
	}
	return c.Journal.Dir, nil
}

// openJournal opens the journal in a folder. One without any file of a journal is taken for the wrong folder.
func openJournal(dir string) (*journal.Reader, error) {
	r, err := journal.Open(dir)
	if err != nil {
		return nil, asWhom(err)
	}
	if _, _, ok := r.Days(); !ok {
		return nil, fmt.Errorf("no journal files in %s", dir)
	}
	return r, nil
}

// asWhom adds to an error that comes of what this user may not do who may.
func asWhom(err error) error {
	if fault, ok := errors.AsType[*journal.FileError](err); ok && fault.Forbidden() {
		err = fmt.Errorf("%s: %w", fault.File, fs.ErrPermission)
	}
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: run it as root, or as the user that gatepost runs as", err)
}

// withJSON adds --json.
func (f *logFlags) withJSON(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "json", false, "JSON Lines")
}

// withFilters adds the flags that say what is wanted.
func (f *logFlags) withFilters(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.rcpt, "rcpt", "", "a recipient's `address` or domain")
	fs.StringVar(&f.from, "from", "", "an `address` or domain in MAIL FROM; <> for bounces")
	fs.StringVar(&f.client, "client", "", "the client's `address` or network")
	fs.StringVar(&f.domain, "domain", "", "a `domain` in MAIL FROM or of the author, with all below it")
	fs.StringVar(&f.check, "check", "", "what decided, or would have: a check's `name`, rule.NAME, backend, relay, protocol, proxy")
	fs.StringSliceVar(&f.verdict, "verdict", nil, "one or more `verdicts`: accepted, tagged, deferred, rejected, none")
	fs.StringVar(&f.mode, "mode", "", `"would": only what monitored checks would have treated worse (`+"`word`)")
	fs.StringVar(&f.since, "since", defaultSince, "from this `time` on: 2h, 7d, yesterday, 2026-11-20, 2026-11-20T10:00:00Z")
	fs.StringVar(&f.until, "until", "", "before this `time`")
}

func (f *logFlags) withText(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.text, "text", "", "a `text` anywhere in the record, such as a Message-ID")
}

// query is what the flags ask for.
func (f *logFlags) query(now time.Time) (journal.Query, error) {
	q := journal.Query{Rcpt: f.rcpt, From: f.from, Domain: f.domain, Check: f.check, Text: f.text}
	if err := knownCheck(f.check); err != nil {
		return q, usageError{fmt.Errorf("--check: %w", err)}
	}
	var err error
	if q.Since, err = parseTime(f.since, now); err != nil {
		return q, usageError{fmt.Errorf("--since: %w", err)}
	}
	if f.until != "" {
		if q.Until, err = parseTime(f.until, now); err != nil {
			return q, usageError{fmt.Errorf("--until: %w", err)}
		}
	}
	if f.client != "" {
		p, ok := asNetwork(f.client)
		if !ok {
			return q, usageError{fmt.Errorf("--client: %q is no address and no network", f.client)}
		}
		q.Client = p
	}
	if f.mode != "" && f.mode != "would" {
		return q, usageError{fmt.Errorf(`--mode: %q is not known: "would" is`, f.mode)}
	}
	q.Would = f.mode == "would"
	q.Verdicts, err = asVerdicts(f.verdict)
	return q, err
}

// knownCheck refuses what is the name of nothing that decides; "" is any.
func knownCheck(word string) error {
	var known []string
	for _, k := range checks.Kinds() {
		known = append(known, k.Name)
	}
	known = append(known, "backend", "relay", "protocol", "proxy", "rule.NAME")
	if word == "" || slices.Contains(known, word) || strings.HasPrefix(word, "rule.") {
		return nil
	}
	return config.NoWord(word, "check", known)
}

func asVerdicts(words []string) (vs []policy.Verdict, err error) {
	for _, word := range words {
		var v policy.Verdict
		if err := v.UnmarshalText([]byte(word)); err != nil {
			return nil, usageError{fmt.Errorf("--verdict: %w", err)}
		}
		vs = append(vs, v)
	}
	return vs, nil
}

// asNetwork reads an address or a network.
func asNetwork(word string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(word); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(word)
	return p, err == nil
}

// aim adds to a query what a bare word means: a network, an address, a ref, a domain, or else any text.
func aim(q *journal.Query, word string) {
	network, ok := asNetwork(word)
	switch {
	case ok:
		q.Client = network
	case strings.Contains(word, "@") && !strings.ContainsAny(word, " <>"):
		q.About = word
	case isRef(word):
		q.Ref, q.Since = word, time.Time{}
	case strings.Contains(word, ".") && !strings.ContainsAny(word, " <>/:"):
		q.Domain = word
	default:
		q.Text = word
	}
}

// isRef says whether a word has the form of a whole ref, as a reply has it. It may have been typed with O for 0 and with I or L for 1; then a digit
// that is one tells it from a word such as "newsletter".
func isRef(word string) bool {
	word = strings.ToUpper(strings.Trim(word, "[]"))
	const digits, letters = "0123456789", "ABCDEFGHJKMNPQRSTVWXYZ"
	return len(word) == 10 && strings.Trim(word, digits+letters+"OIL") == "" && (strings.ContainsAny(word, digits) || !strings.ContainsAny(word, "OIL"))
}

// span is the time of a query, for people.
func span(q journal.Query) string {
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
	switch {
	case q.Since.IsZero() && q.Until.IsZero():
		return "of all times"
	case q.Until.IsZero():
		return "since " + at(q.Since) + " UTC"
	case q.Since.IsZero():
		return "before " + at(q.Until) + " UTC"
	}
	return "from " + at(q.Since) + " to " + at(q.Until) + " UTC"
}

// unreadError is how many files of the journal could not be read, or not whole. What the others hold is told before.
type unreadError int

func (n unreadError) Error() string {
	return fmt.Sprintf("of %d file(s) of the journal not all could be read", int(n))
}

// each hands on what a query finds. A file that cannot be read is told of, and makes it fail in the end.
func each(ctx context.Context, r *journal.Reader, q journal.Query, talk io.Writer, do func(journal.Entry) error) error {
	var faults []string
	for e, err := range r.Search(ctx, q) {
		var fault *journal.FileError
		switch {
		case errors.As(err, &fault):
			if fmt.Fprintln(talk, printable("cannot be read: "+asWhom(err).Error())); !slices.Contains(faults, fault.File) {
				faults = append(faults, fault.File)
			}
		case err != nil:
			return err
		default:
			if err := do(e); err != nil {
				return err
			}
		}
	}
	if len(faults) > 0 {
		return unreadError(len(faults))
	}
	return nil
}

func (f *logFlags) searchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "search [WORD]",
		Short: "Find mail: by address, ref, domain, client, check, verdict, text",
		Long: "Lists recipients, the newest mail first. WORD is an address of a sender or recipient, a ref, a domain, a client's address or network, or else " +
			"any text. In the column BY a name in parentheses is a check that would have done more, were it enforced. Filters combine: all must hold, " +
			"those on recipients for one and the same. At a terminal lines are cut to its width, in a pipe they are whole.",
		Example: "  gatepost log search amy@example.com\n  gatepost log search --since 7d --check dnsbl --verdict rejected --domain shop.example\n" +
			"  gatepost log search --mode would --check dmarc",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := f.query(time.Now())
			if err != nil {
				return err
			}
			if q.Limit = f.limit; q.Limit < 0 {
				return usageError{fmt.Errorf("--limit: %d is less than none", q.Limit)}
			}
			if len(args) == 1 {
				aim(&q, args[0])
			}
			return f.search(cmd.Context(), q, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.withFilters(cmd)
	f.withText(cmd)
	f.withJSON(cmd)
	cmd.Flags().IntVar(&f.limit, "limit", 50, "at most this `many` mails; 0: all")
	return cmd
}

// search lists what a query finds, and says of what time that is and how to go on.
func (f *logFlags) search(ctx context.Context, q journal.Query, out, talk io.Writer) error {
	r, err := f.open()
	if err != nil {
		return err
	}
	t := newLogTable(out)
	n := 0
	var last time.Time
	err = each(ctx, r, q, talk, func(e journal.Entry) error {
		n++
		last = e.At
		if f.json {
			return writeLine(out, e)
		}
		return t.entry(e)
	})
	found := fmt.Sprintf("%d mail(s)", n)
	if t.lines > n {
		found += fmt.Sprintf(" in %d lines", t.lines)
	}
	switch {
	case n == 0 && err == nil:
		fmt.Fprintf(talk, "nothing found %s\n", span(q))
	case n == 0:
	case n == q.Limit:
		fmt.Fprintf(talk, "%s %s, the newest first; older ones: --until %s\n", found, span(q), last.Format(time.RFC3339Nano))
	default:
		fmt.Fprintf(talk, "%s %s, the newest first\n", found, span(q))
	}
	return err
}

// writeLine writes an entry as JSON.
func writeLine(out io.Writer, e journal.Entry) error {
	line, err := journal.Line(e.Record)
	if err == nil {
		_, err = out.Write(line)
	}
	return err
}

func (f *logFlags) tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail [-f]",
		Short: "Show the last mails, and go on with -f",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := f.query(time.Now())
			if err != nil {
				return err
			}
			if f.lines < 0 {
				return usageError{fmt.Errorf("--lines: %d is less than none", f.lines)}
			}
			if !cmd.Flags().Changed("since") {
				q.Since = time.Time{}
			}
			ctx, stop := cmd.Context(), func() {}
			if f.follow {
				ctx, stop = signal.NotifyContext(ctx, os.Interrupt)
			}
			defer stop()
			return f.tail(ctx, q, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.withFilters(cmd)
	f.withText(cmd)
	f.withJSON(cmd)
	cmd.Flags().IntVarP(&f.lines, "lines", "n", 10, "this `many` mails")
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what comes in, until interrupted")
	return cmd
}

// followEvery is how often tail -f looks.
const followEvery = 300 * time.Millisecond

// tail shows the last entries, the oldest of them first, and then those that come in.
func (f *logFlags) tail(ctx context.Context, q journal.Query, out, talk io.Writer) error {
	r, err := f.open()
	if err != nil {
		return err
	}
	t := newLogTable(out)
	show := func(e journal.Entry) error {
		q.Since = e.At.Add(1)
		if f.json {
			return writeLine(out, e)
		}
		return t.entry(e)
	}
	looked := newest(ctx, r, q.Since)
	var last []journal.Entry
	if q.Limit = f.lines; q.Limit > 0 {
		err = each(ctx, r, q, talk, func(e journal.Entry) error { last = append(last, e); return nil })
	} else {
		q.Since = time.Now()
	}
	slices.Reverse(last)
	for _, e := range last {
		if err := show(e); err != nil {
			return err
		}
	}
	if !f.follow {
		return err
	}
	for q.Limit, q.OldestFirst, q.Since = 0, true, later(q.Since, looked); ctx.Err() == nil; {
		looked := newest(ctx, r, q.Since)
		if err := each(ctx, r, q, talk, show); err != nil && ctx.Err() == nil {
			return err
		}
		q.Since = later(q.Since, looked)
		select {
		case <-ctx.Done():
		case <-time.After(followEvery):
		}
	}
	return nil
}

// newest is behind the last entry from a time on, of whatever kind: what a search that begins now does not find up to there, none will. It is
// zero where there is no such entry.
func newest(ctx context.Context, r *journal.Reader, since time.Time) time.Time {
	for e, err := range r.Search(ctx, journal.Query{Since: since, Limit: 1}) {
		if err != nil {
			break // the search itself tells of it
		}
		return e.At.Add(1)
	}
	return time.Time{}
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (f *logFlags) exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write records as JSON Lines, the oldest first",
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
			n := 0
			q.OldestFirst = true
			err = each(cmd.Context(), r, q, cmd.ErrOrStderr(), func(e journal.Entry) error {
				n++
				return writeLine(cmd.OutOrStdout(), e)
			})
			fmt.Fprintf(cmd.ErrOrStderr(), "%d record(s) %s, the oldest first\n", n, span(q))
			return err
		},
	}
	f.withFilters(cmd)
	f.withText(cmd)
	return cmd
}

func (f *logFlags) purgeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "purge --rcpt ADDRESS",
		Short: "Delete what is recorded of a person",
		Long: "Takes an address out of the journal for good: mail from it and mail to it alone is deleted, and it is taken out of all other records that name it. " +
			"Every record is read for that. It does not reach files that the journal wrote as JSON Lines, backups, nor the greylist (gatepost greylist delete ADDRESS).",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !strings.Contains(f.rcpt, "@") {
				return usageError{errors.New("--rcpt: say whose records, as an address")}
			}
			dir, err := f.folder()
			if err != nil {
				return err
			}
			r, err := journal.Open(dir)
			if err != nil {
				return asWhom(err)
			}
			done, err := r.Purge(cmd.Context(), f.rcpt)
			return errors.Join(err, f.tellPurged(cmd.OutOrStdout(), done))
		},
	}
	cmd.Flags().StringVar(&f.rcpt, "rcpt", "", "the person's `address`")
	f.withJSON(cmd)
	return cmd
}

func (f *logFlags) tellPurged(out io.Writer, done journal.Purged) error {
	if f.json {
		return writeJSON(out, struct {
			Deleted int `json:"deleted"`
			Reduced int `json:"taken_out_of"`
		}{done.Deleted, done.Reduced})
	}
	_, err := fmt.Fprintf(out, "deleted %d, taken out of %d\n", done.Deleted, done.Reduced)
	return err
}
