package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatepost/config"
	"gatepost/journal"
	"gatepost/journal/rejudge"
	"gatepost/policy"
)

// replayFlags say what is judged again, by what.
type replayFlags struct {
	config, dir, since, until, show string
	mbox, maildir, receivedBy, rcpt string
	json, failOnChange              bool
}

func replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay --config NEW [--since 7d]",
		Short: "Judge recorded mail by another policy: what would change, by which check, for whom",
		Long: "Judges what the journal recorded by the policy of a config, without asking the DNS or anybody else again, and counts what stays the " +
			"same, what changes, and what cannot be told since it hangs on a check that was never asked. Settings of a check that change its own " +
			"findings count where its records suffice for it (block lists); other findings are taken as they were made. With --mbox or --maildir " +
			"mails are judged instead, as they would be now: the DNS is asked, and the client is taken from the Received field of a server named " +
			"by --received-by, so the result is approximate. Nothing is delivered or changed. Exit status: 0 done, 1 failed, or a part of the " +
			"journal cannot be read, or something changes and --fail-on-change is given.",
		Example: "  gatepost replay --since 7d --config new.toml\n  gatepost replay --since 7d --config new.toml --show accepted:rejected\n" +
			"  gatepost replay --config new.toml --maildir ~/Maildir --received-by mx.example.com --rcpt amy@example.com",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), time.Now())
		},
	}
	cmd.Flags().StringVar(&f.config, "config", defaultConfig, "the config `file` with the policy to judge by")
	cmd.Flags().StringVar(&f.dir, "dir", "", "the `folder` of the journal; by default journal.dir of the config")
	cmd.Flags().StringVar(&f.since, "since", "24h", "records from this `time` on: 2h, 7d, yesterday, 2026-11-20")
	cmd.Flags().StringVar(&f.until, "until", "", "records before this `time`; by default until now")
	cmd.Flags().StringVar(&f.show, "show", "", `list the recipients whose verdict changes so, as "accepted:rejected", "any:deferred", "any:undecidable" (`+"`change`)")
	cmd.Flags().StringVar(&f.mbox, "mbox", "", "judge the mails of this mbox `file` instead")
	cmd.Flags().StringVar(&f.maildir, "maildir", "", "judge the mails of this `folder` instead")
	cmd.Flags().StringVar(&f.receivedBy, "received-by", "", "the `name` of our server in the Received field that tells of the client")
	cmd.Flags().StringVar(&f.rcpt, "rcpt", "", "the recipient's `address`, where a mail does not name it in Delivered-To")
	cmd.Flags().BoolVar(&f.json, "json", false, "JSON Lines: what --show lists, each group, and a summary")
	cmd.Flags().BoolVar(&f.failOnChange, "fail-on-change", false, "exit 1 if anything changes, or cannot be told")
	return cmd
}

func (f *replayFlags) run(ctx context.Context, out, talk io.Writer, now time.Time) error {
	show, err := parseShow(f.show)
	if err == nil && (f.mbox != "" || f.maildir != "") && f.receivedBy == "" {
		err = errors.New("--received-by is missing: the name of our server, as it stands behind by in its Received field")
	}
	if err != nil {
		return usageError{err}
	}
	c, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	t := &replayTeller{out: out, json: f.json, show: show}
	var total rejudge.Summary
	if f.mbox != "" || f.maildir != "" {
		err = f.mails(ctx, c, t, &total, talk)
	} else {
		err = f.journal(ctx, c, t, &total, talk, now)
	}
	_, part := errors.AsType[unreadError](err)
	if err != nil && !part {
		return err
	}
	if err := t.summary(&total); err != nil {
		return err
	}
	if part {
		return err
	}
	if f.failOnChange && total.Changed+total.Undecidable > 0 {
		return told{errors.New("something changes")}
	}
	return nil
}

// journal judges the records of the journal again.
func (f *replayFlags) journal(ctx context.Context, c *config.Config, t *replayTeller, total *rejudge.Summary, talk io.Writer, now time.Time) error {
	p, err := judging(c)
	if err != nil {
		return err
	}
	src, err := openRecords(c, f.dir, f.since, f.until, now)
	if err != nil {
		return err
	}
	fmt.Fprintf(talk, "Judging the records %s by %s.\n", src.span(), f.config)
	return src.each(ctx, talk, func(r *policy.Record) error {
		for i := range r.Recipients {
			o := rejudge.Judge(p, r, &r.Recipients[i])
			total.Add(r, o)
			if err := t.change(r, &r.Recipients[i], o); err != nil {
				return err
			}
		}
		return nil
	})
}

// records are the stored records of a time.
type records struct {
	reader       *journal.Reader
	since, until time.Time
}

// openRecords opens the journal of a config; dir, where given, is another folder.
func openRecords(c *config.Config, dir, since, until string, now time.Time) (*records, error) {
	from, err := parseTime(since, now)
	if err != nil {
		return nil, usageError{fmt.Errorf("--since: %w", err)}
	}
	to := now
	if until != "" {
		if to, err = parseTime(until, now); err != nil {
			return nil, usageError{fmt.Errorf("--until: %w", err)}
		}
	}
	if dir = cmp.Or(dir, c.Journal.Dir); dir == "" {
		return nil, fmt.Errorf("there is no journal: write [journal] dir in %s, or give --dir", c.File)
	}
	r, err := openJournal(dir)
	if err != nil {
		return nil, err
	}
	return &records{r, from, to}, nil
}

// span is the time of the records, for people.
func (s *records) span() string {
	return fmt.Sprintf("from %s to %s UTC", s.since.UTC().Format("2006-01-02 15:04"), s.until.UTC().Format("2006-01-02 15:04"))
}

// each gives the records one by one, the oldest first; the first error of do ends it. Files that cannot be read are told of, and make it
// fail with an unreadError in the end.
func (s *records) each(ctx context.Context, talk io.Writer, do func(*policy.Record) error) error {
	bar := newProgress(talk, s.since, s.until)
	defer bar.end()
	var faults []string
	for e, err := range s.reader.Search(ctx, journal.Query{Since: s.since, Until: s.until, OldestFirst: true}) {
		if fault, part := errors.AsType[*journal.FileError](err); part {
			bar.end()
			fmt.Fprintln(talk, "This part of the journal is left out: "+printable(asWhom(err).Error()))
			if !slices.Contains(faults, fault.File) {
				faults = append(faults, fault.File)
			}
			continue
		}
		if err != nil {
			return err
		}
		bar.at(e.At)
		if err := do(e.Record); err != nil {
			return err
		}
	}
	if len(faults) > 0 {
		return unreadError(len(faults))
	}
	return nil
}

// showing is which changes are listed.
type showing struct {
	on          bool
	was, is     policy.Verdict // Undecided: any
	undecidable bool
}

// parseShow reads "accepted:rejected".
func parseShow(text string) (showing, error) {
	if text == "" {
		return showing{}, nil
	}
	s := showing{on: true}
	was, is, ok := strings.Cut(text, ":")
	if !ok || was != "any" && s.was.UnmarshalText([]byte(was)) != nil {
		return s, fmt.Errorf(`--show: %q is no change, such as "accepted:rejected", "any:deferred" or "any:undecidable"`, text)
	}
	if is == "undecidable" {
		s.undecidable = true
	} else if is != "any" && s.is.UnmarshalText([]byte(is)) != nil {
		return s, fmt.Errorf("--show: %q is no verdict: accepted, tagged, deferred, rejected, undecidable or any", is)
	}
	return s, nil
}

// wants says whether an outcome is listed.
func (s showing) wants(o rejudge.Outcome) bool {
	if !s.on || s.was != policy.Undecided && s.was != o.Was {
		return false
	}
	if o.Kind == rejudge.Undecidable {
		return s.undecidable || s.is == policy.Undecided
	}
	return o.Kind == rejudge.Changed && !s.undecidable && (s.is == policy.Undecided || s.is == o.Is)
}
