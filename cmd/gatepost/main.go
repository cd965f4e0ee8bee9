// Command gatepost is an inbound SMTP proxy that stands in front of an existing mail server.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"gatepost/config"
)

// Exit codes (SURFACE): 0 done.
const (
	exitFailed    = 1
	exitUsage     = 2
	exitBadConfig = 3
)

func main() { os.Exit(run(os.Args[1:])) }

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
	if text != "" {
		fmt.Fprintln(os.Stderr, text)
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
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q for \"gatepost\"", args[0])}
			}
			return c.Help()
		},
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nSee '%s --help'.", err, c.CommandPath())}
	})
	root.AddCommand(serveCommand(), checkCommand(), initCommand(), versionCommand(), manCommand())
	return root
}
