// Package cmd is the aftermath program: Main and a file for each of its commands.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/actions/email"
	"github.com/aftermath-rules/aftermath/actions/logentry"
	"github.com/aftermath-rules/aftermath/actions/webhook"
	"github.com/aftermath-rules/aftermath/internal/nearword"
)

// Exit codes of every command.
const (
	exitFailure = 1 // findings, or it could not be done
	exitUsage   = 2 // the command line is wrong
)

// exitError ends the program with a code. A nil err has been reported already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageErrorf is a mistake in the command line.
func usageErrorf(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// failuref is a failure that ends the program with exit code 1.
func failuref(format string, args ...any) error {
	return &exitError{code: exitFailure, err: fmt.Errorf(format, args...)}
}

// Main runs the program with the built-in action types and the given ones, on the process's arguments, and gives its exit code.
//
//	func main() { os.Exit(cmd.Main(actions.Define("pager", spec))) }
func Main(types ...actions.Type) int {
	return run(context.Background(), types, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

func run(ctx context.Context, types []actions.Type, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	reg, err := newRegistry(types)
	if err != nil {
		fmt.Fprintln(stderr, "aftermath:", err)
		return exitUsage
	}
	root := newRootCommand(reg)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return report(stderr, root.ExecuteContext(ctx))
}

// untilInterrupted is for the commands that have something to do when they are told to stop. The others end at once.
func untilInterrupted(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// report prints an error that nobody has printed yet and gives the exit code.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	var exit *exitError
	if errors.As(err, &exit) {
		if exit.err != nil {
			fmt.Fprintln(stderr, "aftermath:", exit.err)
		}
		return exit.code
	}
	fmt.Fprintln(stderr, "aftermath:", err)
	return exitFailure
}

func newRegistry(extra []actions.Type) (*actions.Registry, error) {
	return actions.NewRegistry(append([]actions.Type{webhook.Type(), logentry.Type(), email.Type()}, extra...)...)
}

func newRootCommand(reg *actions.Registry) *cobra.Command {
	root := &cobra.Command{
		Use:   "aftermath",
		Short: "A rules engine for Tencent Cloud Chat's friend-delete callbacks",
		Long: `aftermath takes the callbacks that Tencent Cloud Chat sends after a friend is deleted: it checks and stores each one,
answers in time, matches every pair of accounts against YAML rules, and runs the actions that the rules name.`,
		Example: `  aftermath serve -c /etc/aftermath/aftermath.yaml
  aftermath check`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	group(root)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageErrorf("%w\nRun %s --help for its flags.", err, cmd.CommandPath())
	})
	root.AddCommand(
		newServeCommand(reg),
		newCheckCommand(reg),
		newTestCommand(reg),
		newExplainCommand(reg),
		newBacktestCommand(reg),
		newActionsCommand(reg),
		newSendCommand(),
		newDeliveriesCommand(reg),
		newSchemaCommand(reg),
		newVersionCommand(),
		newCompletionCommand(),
	)
	addHelp(root)
	return root
}

// addHelp adds the help command. One that is not there is a mistake in the command line, as it is without help.
func addHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() != "help" {
			continue
		}
		c.RunE = func(_ *cobra.Command, args []string) error {
			of, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usageErrorf("there is no command %q\nRun %s --help for those there are.", strings.Join(args, " "), root.Name())
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		}
	}
}

// group makes a command one that only has others: without one of them it shows its help.
func group(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return usageErrorf("there is no command %q%s\nRun %s --help for those there are.", args[0], nearword.Hint(args[0], names(cmd)), cmd.CommandPath())
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cmd.SetOut(cmd.ErrOrStderr()) // it was not asked for, and is no data
		if err := cmd.Help(); err != nil {
			return err
		}
		return &exitError{code: exitUsage}
	}
}

// names are the commands that there are.
func names(root *cobra.Command) []string {
	var all []string
	for _, c := range root.Commands() {
		all = append(all, c.Name())
	}
	return all
}

// noArgs refuses positional arguments, as a mistake in the command line.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageErrorf("unknown argument %q\nRun %s --help for what it takes.", args[0], cmd.CommandPath())
}

// exactArgs refuses any other number of positional arguments, as a mistake in the command line.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return usageErrorf("needs %s\nRun %s --help for an example.", what, cmd.CommandPath())
	}
}
