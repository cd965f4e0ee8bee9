package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"gatepost/policy"
)

func demoCommand() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show it all on loopback: a mail server, the proxy, sample mails, live narration",
		Long: "Starts a small mail server, a DNS server and the proxy, all on free ports of the loopback address, sends samples " +
			"through, good and bad, and shows what became of each and why. Then it waits for mail sent by hand, until Ctrl-C. " +
			"It needs no root and leaves nothing behind.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return runDemo(ctx, cmd.OutOrStdout(), samples(), once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "end after the samples; exit 1 if one did not end as it should")
	return cmd
}

// show is the demo as it is told.
type show struct {
	*stage
	paint
	out io.Writer
	ref string // of the refusal that was shown last
}

// runDemo sets the stage, plays the samples and, unless once, stays until ctx ends. The error says that the stage could not
// be set, that ctx ended before the samples did, or that a sample did not end as it should.
func runDemo(ctx context.Context, out io.Writer, all []sample, once bool) error {
	st, err := newStage()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer st.close()
	s := &show{stage: st, paint: newPaint(out), out: out, ref: "REF"}
	s.introduce()
	missed, err := s.samples(ctx, all)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if once {
		fmt.Fprintln(out, "\nIts records are gone now; without --once it stays, and refs can be looked up.")
	} else {
		s.byHand()
		s.narrate(ctx)
	}
	if missed > 0 {
		return fmt.Errorf("demo: %d of %d samples did not end as they should", missed, len(all))
	}
	return nil
}

func (s *show) introduce() {
	fmt.Fprintf(s.out, "gatepost on %s, in front of a mail server on %s\n", s.smtp, s.sinkAddr)
	fmt.Fprintln(s.out, "The mail server is careless: it takes a bare LF for the end of a line.")
	fmt.Fprintf(s.out, "The checks ask a DNS server on %s that knows the samples alone.\n", s.dns)
}

// samples plays all of them and sums up; missed is how many did not end as they should.
func (s *show) samples(ctx context.Context, all []sample) (missed int, err error) {
	var table strings.Builder
	for i, sm := range all {
		got, err := s.play(ctx, sm)
		if err != nil {
			return missed, fmt.Errorf("sample %q: %w", sm.title, err)
		}
		expected := "yes"
		if len(got.missed(sm)) > 0 {
			missed++
			expected = "NO"
		}
		s.tell(i+1, sm, got, expected)
		if got.verdict == policy.Rejected.String() {
			s.ref = got.ref
		}
		fmt.Fprintf(&table, "%2d  %-32s  %s %6d  %s\n", i+1, shorten(sm.title, 32), s.verdict(got.verdict, 22), got.stored, expected)
	}
	fmt.Fprintf(s.out, "\n    %-32s  %-22s %6s  %s\n%s", "sample", "verdict", "stored", "as expected", table.String())
	return missed, nil
}

// tell shows one sample.
func (s *show) tell(n int, sm sample, got result, expected string) {
	head := fmt.Sprintf("--- %d. %s ", n, sm.title)
	fmt.Fprintf(s.out, "\n%s\n", s.in(bold, head+strings.Repeat("-", max(0, columns-len(head)))))
	if sm.about != "" {
		fmt.Fprintln(s.out, wrap(sm.about, "", ""))
	}
	for _, l := range got.dialogue {
		if strings.HasPrefix(l, "S: ") { // a reply is worth reading to its end
			fmt.Fprintln(s.out, wrap(l, "  ", "       "))
		} else {
			fmt.Fprintln(s.out, "  "+shorten(l, columns-2))
		}
	}
	if len(sm.shows) > 0 {
		s.header(got.header)
	}
	fmt.Fprintf(s.out, "=> %s", s.verdict(got.verdict, 0))
	if got.ref != "" {
		fmt.Fprintf(s.out, " [%s]", got.ref)
	}
	fmt.Fprintf(s.out, "  stored: %d  as expected: %s\n", got.stored, expected)
	for _, m := range got.missed(sm) {
		fmt.Fprintln(s.out, wrap("expected: "+m, "   ", "     "))
	}
	fmt.Fprintln(s.out, wrap(got.why, "   ", "   "))
}

// header shows what the mail server got.
func (s *show) header(lines []string) {
	if len(lines) > 0 {
		fmt.Fprintln(s.out, "  What the mail server got begins with:")
	}
	for _, l := range lines {
		text := strings.TrimLeft(l, " \t")
		indent := "  | "
		if text != l {
			indent += "  "
		}
		fmt.Fprintln(s.out, wrap(printable(text), indent, indent+"  "))
	}
}

// verdict is the word in its colour, in a field of some width.
func (s *show) verdict(word string, width int) string {
	colour := ""
	switch word {
	case policy.Accepted.String(), policy.Tagged.String():
		colour = green
	case policy.Deferred.String():
		colour = yellow
	case policy.Rejected.String(), turnedAway:
		colour = red
	}
	return s.in(colour, fmt.Sprintf("%-*s", width, word))
}

// byHand says what can be tried.
func (s *show) byHand() {
	fmt.Fprintf(s.out, `
Now send to it by hand:
  swaks --server %[1]s --from you@shop.example --to amy@example.com
  swaks --server %[1]s --from you@shop.example --to nobody@example.com
  swaks --server %[1]s --from you@shop.example --to amy@example.com --tls
  swaks --server %[1]s --from you@bank.example --to amy@example.com
  swaks --server %[1]s --from you@shop.example --to amy@example.net
  openssl s_client -quiet -crlf -starttls smtp -connect %[1]s
Who exists: amy@example.com, bob@example.com, amy@example.net;
            full@example.com has no room
Who sends:  you may for shop.example, not for bank.example;
            all other domains do not exist here, which a monitored check
            tells; to example.net the second try passes, a second later
Metrics:    http://%[2]s/metrics
Mails:      %[3]s
Records:    %[4]s
Config:     %[5]s
Every transaction shows below with its ref. In another terminal, all about one:
  %[6]s log show --config %[5]s %[7]s
Ctrl-C ends the demo and removes these files.

`, s.smtp, s.admin, s.file("mails"), s.file("journal.jsonl"), s.file("gatepost.toml"), os.Args[0], s.ref)
}

// narrate tells each transaction in a line until ctx ends.
func (s *show) narrate(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(s.out, "The demo ends.")
			return
		case r := <-s.records:
			fmt.Fprintln(s.out, s.line(r))
		}
	}
}

// line is a transaction in one line; what decides stands first, for a narrow terminal cuts or wraps the rest.
func (s *show) line(r *policy.Record) string {
	from, to := "-", "-"
	if r.Sender != nil {
		from = "<" + shorten(printable(*r.Sender), 40) + ">"
	}
	if n := len(r.Recipients); n > 0 {
		to = "<" + shorten(printable(r.Recipients[0].Address), 40) + ">"
		if n > 1 {
			to += fmt.Sprintf(" and %d more", n-1)
		}
	}
	return fmt.Sprintf("%s %s %s %s > %s: %s [%s]", r.Time.Format("15:04:05"), s.verdict(verdictOf(r), 0), r.Client, from, to, s.why(r), r.Ref)
}
