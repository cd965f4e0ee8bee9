package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"gatepost/greylist"
)

func (f *greylistFlags) learnCommand() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "learn FILE...",
		Short: "Learn from the log of the mail server behind who has written before",
		Long: "Reads mail logs of Postfix or Exim (- is stdin, gzip is read as well) and remembers who brought mail that was delivered, so that " +
			"greylisting holds up nobody who has written before. It may run before the first start and beside a running daemon, and again: " +
			"nothing that is known is lessened by it.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			l, err := f.open(true)
			if err != nil {
				return err
			}
			defer l.Close()
			sheet, now := greylist.NewSheet(l.settings), time.Now()
			learned := make([]*greylist.Learned, len(files))
			for i, name := range files {
				if learned[i], err = readLog(cmd, sheet, name, now); err != nil {
					return fmt.Errorf("learn from %s: %w", name, err)
				}
			}
			rs := sheet.Records(now)
			if !dryRun {
				if err := putAll(cmd.Context(), l, rs); err != nil {
					return err
				}
			}
			return f.tellLearned(cmd.OutOrStdout(), files, learned, rs)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only tell what would be learned")
	return cmd
}

// readLog adds one file to a sheet.
func readLog(cmd *cobra.Command, sheet *greylist.Sheet, name string, now time.Time) (*greylist.Learned, error) {
	file, size, err := openLog(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	bar := newBar(cmd.ErrOrStderr(), name, size)
	defer bar.done()
	text, err := unzipped(bar.reading(file))
	if err != nil {
		return nil, err
	}
	return sheet.Learn(cmd.Context(), text, now)
}

// putChunk is how many entries are added at once: the daemon waits for its turn meanwhile.
const putChunk = 1000

func putAll(ctx context.Context, l *ledger, rs []greylist.Record) error {
	for len(rs) > 0 {
		n := min(len(rs), putChunk)
		if err := l.Put(ctx, rs[:n]); err != nil {
			return err
		}
		rs = rs[n:]
	}
	return nil
}

// tellLearned tells what was in each file, and what all taught together.
func (f *greylistFlags) tellLearned(out io.Writer, files []string, learned []*greylist.Learned, rs []greylist.Record) error {
	for i, l := range learned {
		if err := f.tellLog(out, files[i], l); err != nil {
			return err
		}
	}
	counts := map[greylist.State]int{}
	for _, r := range rs {
		counts[r.Entry.State()]++
	}
	known, seen, passed := counts[greylist.StateKnown], counts[greylist.StateSeen], counts[greylist.StatePassed]
	if f.json {
		return writeJSON(out, map[string]int{"known": known, "seen": seen, "passed": passed})
	}
	_, err := fmt.Fprintf(out, "clients known %d, others seen %d, triplets passed %d\n", known, seen, passed)
	return err
}

func (f *greylistFlags) tellLog(out io.Writer, name string, l *greylist.Learned) error {
	if f.json {
		return writeJSON(out, map[string]any{"file": name, "format": l.Format, "lines": l.Lines, "deliveries": l.Mails})
	}
	format := l.Format
	if format == "" {
		format = "no format that is known here"
	}
	_, err := fmt.Fprintln(out, wrap(fmt.Sprintf("%s (%s): lines %d, deliveries %d", printable(name), format, l.Lines, l.Mails), "", "  "))
	return err
}

// openLog opens a log. size is 0 where it cannot be told.
func openLog(name string) (file *os.File, size int64, err error) {
	if name == "-" {
		return os.Stdin, 0, nil
	}
	if file, err = os.Open(name); err != nil {
		return nil, 0, err
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return file, size, nil
}

// unzipped is what is read, without gzip where it begins like that.
func unzipped(r io.Reader) (io.Reader, error) {
	in := bufio.NewReader(r)
	if head, err := in.Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b { // RFC 1952 section 2.3.1
		return gzip.NewReader(in)
	}
	return in, nil
}

// bar shows on a terminal how far the reading of a file has come.
type bar struct {
	out  io.Writer
	name string
	size int64
	read atomic.Int64
	stop chan struct{}
	over chan struct{}
}

// newBar makes a bar; on anything but a terminal it shows nothing.
func newBar(out io.Writer, name string, size int64) *bar {
	b := &bar{out: out, name: shorten(printable(name), 30), size: size, stop: make(chan struct{}), over: make(chan struct{})}
	if !isTerminal(out) || os.Getenv("TERM") == "dumb" {
		close(b.over)
		return b
	}
	go b.draw(time.NewTicker(100 * time.Millisecond))
	return b
}

// reading counts what is read.
func (b *bar) reading(r io.Reader) io.Reader {
	return io.TeeReader(r, counting{&b.read})
}

type counting struct{ n *atomic.Int64 }

// Write counts.
func (c counting) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

func (b *bar) draw(tick *time.Ticker) {
	defer close(b.over)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			fmt.Fprintf(b.out, "\r%s", b.line())
		case <-b.stop:
			fmt.Fprintf(b.out, "\r%s\r", strings.Repeat(" ", columns-1))
			return
		}
	}
}

// barWidth is the cells of the bar itself.
const barWidth = 30

// line is the bar as it is now.
func (b *bar) line() string {
	read := b.read.Load()
	if b.size == 0 {
		return fmt.Sprintf("%-30s %d MB", b.name, read/1e6)
	}
	cells := int(min(read, b.size) * barWidth / b.size)
	return fmt.Sprintf("%-30s [%s%s] %3d %%", b.name, strings.Repeat("#", cells), strings.Repeat(".", barWidth-cells), min(read, b.size)*100/b.size)
}

// done takes the bar away.
func (b *bar) done() {
	close(b.stop)
	<-b.over
}
