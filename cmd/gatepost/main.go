// Command gatepost is an inbound SMTP proxy that stands in front of an existing mail server.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"gatepost/config"
)

// Exit codes (SURFACE): 0 done.
const (
	exitFailed    = 1
	exitUsage     = 2
	exitBadConfig = 3
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		loosen()
	}
	os.Exit(run(os.Args[1:]))
}

// run runs one command line and returns its exit code.
func run(args []string) int {
	cmd := rootCommand()
	cmd.SetArgs(args)
	err := cmd.Execute()
	if err == nil {
		return 0
	}
	code, text := exitFailed, err.Error()
	var usage usageError
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		code = exitBadConfig
	case errors.As(err, &usage):
		code = exitUsage
	case errors.Is(err, errConfigFile):
		code = exitBadConfig
	}
	for line := range strings.Lines(text) {
		fmt.Fprintln(os.Stderr, printable(strings.TrimSuffix(line, "\n")))
	}
	return code
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

// errConfigFile marks a config that cannot be read at all.
var errConfigFile = errors.New("config file")

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "gatepost",
		Short:         "An inbound SMTP proxy: it judges mail in the session, and has no queue",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see '%s --help')", err, c.CommandPath())}
	})
	root.AddCommand(demoCommand(), serveCommand(), checkCommand(), initCommand(), versionCommand(), manCommand(), greylistCommand(), explainCommand(), replayCommand(), reportCommand(), logCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args, c.RunE = knownCommand, func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
	strictArgs(root)
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.Args = knownTopic
		}
	}
	return root
}

// knownCommand refuses what is the name of no command.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q", args[0])
	c.SuggestionsMinimumDistance = min(2, (len(args[0])+1)/3) // slips of the finger, at most
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w, did you mean %q", err, near[0])
	}
	return err
}

// knownTopic refuses to help with what is no command.
func knownTopic(c *cobra.Command, args []string) error {
	found, rest, err := c.Root().Find(args)
	if err == nil {
		err = knownCommand(found, rest)
	}
	return seeHelp(found, err)
}

// strictArgs makes it a usageError when a command is given arguments that it does not take.
func strictArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error { return seeHelp(c, check(c, args)) }
	}
	for _, sub := range c.Commands() {
		strictArgs(sub)
	}
}

// seeHelp makes an error a usageError that names the help of a command.
func seeHelp(c *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	return usageError{fmt.Errorf("%w (see '%s --help')", err, c.CommandPath())}
}
