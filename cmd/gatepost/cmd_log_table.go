package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"

	"gatepost/journal"
	"gatepost/policy"
)

// logTable writes entries as a table, a line each recipient.
type logTable struct {
	out    io.Writer
	paint  paint
	width  int // lines are cut to so many columns; 0: they are whole
	headed bool
	lines  int // written so far, the head apart
}

// newLogTable is a table on a terminal or in a pipe, where lines are whole.
func newLogTable(out io.Writer) *logTable {
	t := &logTable{out: out, paint: newPaint(out)}
	if f, ok := out.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		t.width = terminalWidth(f)
	}
	return t
}

// terminalWidth is how many columns a terminal has; the usual where it does not tell.
func terminalWidth(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return columns
	}
	return int(size.Col)
}

// entry writes those recipients of an entry that were asked for.
func (t *logTable) entry(e journal.Entry) error {
	r := e.Record
	if len(r.Recipients) == 0 {
		return t.line(e, logOutcome(r), "-")
	}
	for _, i := range e.Wanted {
		if err := t.line(e, r.Recipients[i], r.Recipients[i].Address); err != nil {
			return err
		}
	}
	return nil
}

// logOutcome is what became of a session or transaction without recipients, as of one.
func logOutcome(r *policy.Record) policy.RecipientRecord {
	return policy.RecipientRecord{By: r.By, Where: r.Where, Reply: r.Reply, Verdict: replyVerdict(r.Reply)}
}

// replyVerdict is what a refusal comes to; Undecided for another reply, or none.
func replyVerdict(r policy.Reply) policy.Verdict {
	switch r.Code / 100 {
	case 4:
		return policy.Deferred
	case 5:
		return policy.Rejected
	}
	return policy.Undecided
}

func (t *logTable) line(e journal.Entry, rc policy.RecipientRecord, to string) error {
	if !t.headed {
		t.headed = true
		fmt.Fprintf(t.out, "%-14s %-10s %-8s %-14s %s\n", "TIME", "REF", "VERDICT", "BY", "FROM -> TO (CLIENT)")
	}
	r := e.Record
	front := fmt.Sprintf("%s %-10s ", e.At.UTC().Format("01-02 15:04:05"), printable(r.Ref))
	verdict := fmt.Sprintf("%-8s", rc.Verdict)
	rest := fmt.Sprintf(" %-14s %s -> %s (%s)", printable(logBy(rc)), printable(senderOf(r)), printable(to), printable(clientOf(r)))
	if t.width > 0 {
		rest = shorten(rest, t.width-len(front)-len(verdict))
	}
	t.lines++
	_, err := fmt.Fprintln(t.out, front+t.paint.in(verdictColours[rc.Verdict.String()], verdict)+strings.TrimRight(rest, " "))
	return err
}

// logBy is what decided; in parentheses, what would have.
func logBy(rc policy.RecipientRecord) string {
	if wouldMore(rc) {
		return "(" + rc.WouldBy + ")"
	}
	if rc.By == "" {
		return "-"
	}
	return rc.By
}

// wouldMore says whether monitored checks would have done more than was done.
func wouldMore(rc policy.RecipientRecord) bool {
	return rc.Verdict > policy.Undecided && policy.Decision{Done: rc.Would}.Verdict() > rc.Verdict
}

// senderOf is the reverse-path of a record, as people write it.
func senderOf(r *policy.Record) string {
	switch {
	case r.Sender == nil:
		return "-"
	case *r.Sender == "":
		return "<>"
	}
	return *r.Sender
}

func clientOf(r *policy.Record) string {
	if !r.Client.IsValid() {
		return "no address"
	}
	return r.Client.String()
}
