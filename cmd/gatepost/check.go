package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatepost/config"
)

func checkCommand() *cobra.Command {
	var file string
	var offline, asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look at the config, its files and the mail servers behind, and say what to do",
		Long: "Loads the config as serve does and tells of each thing whether it is ok, doubtful (warn) or wrong (FAIL), and what to do. " +
			"Mail servers behind are asked with MAIL and RCPT; no mail is sent. DNS servers are asked for our own name and for the test " +
			"entries of block lists. Run it as the user that gatepost runs as, else what it " +
			"says of files and ports is not what serve will find. Exit status: 0 nothing is wrong, 1 something is, 3 the config is bad.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := &report{out: cmd.OutOrStdout(), json: asJSON}
			r.paint = newPaint(r.out) && paint(!asJSON)
			return check(cmd.Context(), r, file, offline)
		},
	}
	cmd.Flags().StringVar(&file, "config", defaultConfig, "the config `file`")
	cmd.Flags().BoolVar(&offline, "offline", false, "look at the config and its files only: no ports, no mail servers, no DNS")
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON Lines")
	return cmd
}

// check looks at everything and reports. The error says how to exit; what is wrong has been told.
func check(ctx context.Context, r *report, file string, offline bool) error {
	c, err := loadConfig(file)
	if err != nil {
		r.badConfig(err)
		return told{err}
	}
	r.ok("config", "%s is in order: hostname %s, mode %s, %d backend(s), %d listener(s)", file, c.Hostname, c.Mode, len(c.Backends), len(c.Listen))
	checkCertificate(r, c, time.Now())
	checkFiles(r, c)
	checkPolicy(r, c, time.Now())
	if !offline {
		checkPorts(r, c)
		checkDNS(ctx, r, c)
		for _, b := range c.Backends {
			p := &prober{report: r, config: c, backend: b, name: "backend." + b.Name, nobody: "no-such-user-" + strings.ToLower(rand.Text()[:10])}
			p.run(ctx)
		}
	}
	if r.failed > 0 {
		return fmt.Errorf("check: %d of %d things are wrong", r.failed, r.count)
	}
	return nil
}

// told wraps an error that has been reported already: it sets the exit status and says nothing.
type told struct{ error }

// Error is empty: nothing is left to say.
func (told) Error() string { return "" }

// Unwrap gives the error.
func (t told) Unwrap() error { return t.error }

// report is the list of what was found.
type report struct {
	out           io.Writer
	json          bool
	paint         paint
	count, failed int
}

// notice is one line of the report.
type notice struct {
	Level  string `json:"level"` // ok, warn or FAIL
	About  string `json:"about"` // a table of the config, such as backend.main; "config" for the file
	Text   string `json:"text"`  // what was found
	Advice string `json:"advice,omitempty"`
}

const (
	levelOK   = "ok"
	levelWarn = "warn"
	levelFail = "FAIL"
)

func (r *report) ok(about, format string, args ...any) {
	r.tell(notice{levelOK, about, fmt.Sprintf(format, args...), ""})
}

// warn tells of something doubtful and what to do about it.
func (r *report) warn(about, advice, format string, args ...any) {
	r.tell(notice{levelWarn, about, fmt.Sprintf(format, args...), advice})
}

// fail tells of something wrong and what to do about it.
func (r *report) fail(about, advice, format string, args ...any) {
	r.tell(notice{levelFail, about, fmt.Sprintf(format, args...), advice})
}

// tell writes a notice. What a server said stands in it, so it is cleaned here.
func (r *report) tell(n notice) {
	r.count++
	n.Text, n.Advice = printable(n.Text), printable(n.Advice)
	if n.Level == levelFail {
		r.failed++
	}
	if r.json {
		writeJSON(r.out, n)
		return
	}
	colour := map[string]string{levelOK: green, levelWarn: yellow, levelFail: red}[n.Level]
	fmt.Fprintf(r.out, "%s %s: %s\n", r.paint.in(colour, fmt.Sprintf("%-4s", n.Level)), n.About, n.Text)
	if n.Advice != "" {
		fmt.Fprintf(r.out, "     -> %s\n", n.Advice)
	}
}

// badConfig tells all that is wrong with a config, each thing with its place.
func (r *report) badConfig(err error) {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		r.fail("config", "", "%v", err)
	}
	for _, p := range problems {
		r.fail("config", "", "%s", p.Error())
	}
}
