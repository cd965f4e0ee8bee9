package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"gatepost/journal/rejudge"
	"gatepost/policy"
)

// topNames is how many senders and lists are named for a group.
const topNames = 5

// replayTeller tells what a replay found.
type replayTeller struct {
	out  io.Writer
	json bool
	show showing
}

// replayChange is one recipient in JSON.
type replayChange struct {
	Type      string   `json:"type"` // change
	Time      string   `json:"time"`
	Ref       string   `json:"ref"`
	Was       string   `json:"was"`
	Is        string   `json:"is"` // undecidable where it cannot be told
	Check     string   `json:"check"`
	Missing   []string `json:"missing,omitempty"` // checks that were never asked
	Client    string   `json:"client"`
	Sender    string   `json:"sender"`
	Recipient string   `json:"recipient"`
	List      string   `json:"list,omitempty"`
	Reply     string   `json:"reply,omitempty"` // as it would be now
}

// change lists one recipient, where that is asked for.
func (t *replayTeller) change(r *policy.Record, rc *policy.RecipientRecord, o rejudge.Outcome) error {
	if !t.show.wants(o) {
		return nil
	}
	c := replayChange{Type: "change", Time: r.Time.UTC().Format(time.RFC3339), Ref: r.Ref, Was: o.Was.String(), Is: o.Is.String(), Check: o.By, Missing: o.Missing,
		Client: r.Client.String(), Recipient: rc.Address, List: rejudge.List(r), Reply: replyText(o.Now.Reply)}
	if r.Sender != nil {
		c.Sender = *r.Sender
	}
	if o.Kind == rejudge.Undecidable {
		c.Is = "undecidable"
	}
	if t.json {
		return writeJSON(t.out, c)
	}
	why := c.Check
	if len(o.Missing) > 0 {
		why = "never asked: " + strings.Join(o.Missing, ", ")
	}
	_, err := fmt.Fprintf(t.out, "%s  %s  %s -> %s  %s\n    <%s> > <%s>\n", r.Time.UTC().Format("2006-01-02 15:04:05"), printable(c.Ref), c.Was, c.Is,
		printable(why), printable(c.Sender), printable(c.Recipient))
	return err
}

// replayGroup is a group in JSON.
type replayGroup struct {
	Type       string          `json:"type"` // group
	Was        string          `json:"was"`
	Is         string          `json:"is"`
	Check      string          `json:"check,omitempty"`
	Missing    string          `json:"missing,omitempty"`
	Recipients int             `json:"recipients"`
	Senders    []rejudge.Count `json:"senders"` // the most frequent domains
	Lists      []rejudge.Count `json:"lists,omitempty"`
}

// replaySummary is the sum in JSON.
type replaySummary struct {
	Type        string `json:"type"` // summary
	Recipients  int    `json:"recipients"`
	Same        int    `json:"same"`
	Changed     int    `json:"changed"`
	Undecidable int    `json:"undecidable"`
	NoVerdict   int    `json:"no_verdict"` // not among the recipients
}

// summary tells the sum, and each group.
func (t *replayTeller) summary(s *rejudge.Summary) error {
	if t.json {
		return t.summaryJSON(s)
	}
	var b strings.Builder
	if t.show.on {
		fmt.Fprintln(&b)
	}
	fmt.Fprintf(&b, "%s %s: %s the same, %s %s, %s undecidable\n", thousands(s.Total), plural(s.Total, "recipient"), thousands(s.Same),
		thousands(s.Changed), verb(s.Changed, "changes", "change"), thousands(s.Undecidable))
	if s.LeftOut > 0 {
		fmt.Fprintf(&b, "(%s more came to no verdict: the sender gave up before)\n", thousands(s.LeftOut))
	}
	for _, g := range s.Groups() {
		fmt.Fprintln(&b, printable(groupLine(g)))
		names(&b, "senders", &g.Senders)
		names(&b, "lists", &g.Lists)
	}
	_, err := io.WriteString(t.out, b.String())
	return err
}

func (t *replayTeller) summaryJSON(s *rejudge.Summary) error {
	for _, g := range s.Groups() {
		senders, _ := g.Senders.Top(topNames)
		lists, _ := g.Lists.Top(topNames)
		if err := writeJSON(t.out, replayGroup{"group", g.Was.String(), groupIs(g), g.Check, g.Missing, g.N, senders, lists}); err != nil {
			return err
		}
	}
	return writeJSON(t.out, replaySummary{"summary", s.Total, s.Same, s.Changed, s.Undecidable, s.LeftOut})
}

func groupIs(g *rejudge.Group) string {
	if g.Undecidable {
		return "undecidable"
	}
	return g.Is.String()
}

// groupLine is a group on one line: what changes, by which check, for how many, from whom.
func groupLine(g *rejudge.Group) string {
	n, more := g.Senders.Names()
	line := fmt.Sprintf("  %-8s -> %-11s  %-12s  %6s  from %s", g.Was, groupIs(g), cmp.Or(g.Check, "-"), thousands(g.N), count(n, more, "sender"))
	if listed := g.Lists.Sum(); listed > 0 {
		lists, more := g.Lists.Names()
		line += fmt.Sprintf("; %s of them came through %s", thousands(listed), count(lists, more, "mailing list"))
	}
	if g.Missing != "" {
		line += "; never asked: " + g.Missing
	}
	return line
}

// names tells the most frequent names of a tally.
func names(out io.Writer, what string, t *rejudge.Tally) {
	top, others := t.Top(topNames)
	if len(top) == 0 {
		return
	}
	var parts []string
	for _, c := range top {
		parts = append(parts, fmt.Sprintf("%s %s", thousands(c.N), c.Name))
	}
	if others > 0 {
		parts = append(parts, thousands(others)+" others")
	}
	fmt.Fprintln(out, wrap(printable(what+": "+strings.Join(parts, ", ")), "      ", "        "))
}

func count(n int, more bool, what string) string {
	text := thousands(n) + " " + plural(n, what)
	if more {
		text = "more than " + text
	}
	return text
}

func plural(n int, what string) string {
	if n == 1 {
		return what
	}
	return what + "s"
}

func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// thousands is a number with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// progress is a bar on a terminal: how much of the time of the records is behind.
type progress struct {
	out          io.Writer // nil: no terminal
	since, until time.Time
	n, shown     int
}

func newProgress(out io.Writer, since, until time.Time) *progress {
	p := &progress{since: since, until: until, shown: -1}
	if f, ok := out.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		p.out = out
	}
	return p
}

const progressWidth = 40

// at tells of a record. It writes a hundred times in all.
func (p *progress) at(t time.Time) {
	p.n++
	if p.out == nil || !p.until.After(p.since) {
		return
	}
	percent := min(max(int(100*t.Sub(p.since)/p.until.Sub(p.since)), 0), 100)
	if percent == p.shown {
		return
	}
	p.shown = percent
	done := percent * progressWidth / 100
	fmt.Fprintf(p.out, "\r[%s%s] %3d%%  %s records", strings.Repeat("=", done), strings.Repeat(" ", progressWidth-done), percent, thousands(p.n))
}

// end leaves a free line behind.
func (p *progress) end() {
	if p.shown >= 0 && p.out != nil {
		fmt.Fprintf(p.out, "\r%s\r", strings.Repeat(" ", columns-1))
		p.shown = -1
	}
}
