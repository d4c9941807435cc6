// Command thresher keeps the traces worth keeping: it takes spans in over OTLP, logs them in Kafka, decides about whole
// traces, and forwards those that are kept.
//
// Exit status: 0 when all went well, 1 when it did not, 2 when the command line makes no sense. What a command has to
// say goes to standard output, messages and errors to standard error.
package main

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
)

func main() {
	os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv, wired()))
}

// execute runs one command line and returns the exit status.
func execute(args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) (string, bool), do parts) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for an orderly end. Giving the signals back lets a second one end the process at once.
	context.AfterFunc(ctx, stop)

	root := newRoot(getenv, do)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "thresher: %v\n", usage)
		fmt.Fprintf(stderr, "See: %s --help\n", cmd.CommandPath())
		return 2
	case errors.Is(err, errReported):
		return 1
	}
	fmt.Fprintf(stderr, "thresher: %v\n", err)
	return 1
}

// usageError is a mistake in the command line.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// errReported ends a command that has already said why.
var errReported = errors.New("already reported")

func newRoot(getenv func(string) (string, bool), do parts) *cobra.Command {
	root := &cobra.Command{
		Use:   "thresher",
		Short: "Keep the traces worth keeping",
		Long: `Thresher is a tail sampler for OpenTelemetry traces. Applications and agents send
it every span; it waits until a trace is complete, decides by your policies
whether it is worth keeping, and forwards only those traces to your backend.
Spans live in Kafka until their fate is settled, so a crash loses nothing.

Start here:
  thresher demo                     see it work; nothing else is needed
  thresher validate thresher.yaml   check a configuration, all mistakes at once
  thresher evaluate -c thresher.yaml traces.jsonl   try its policies on traces you have
  thresher test policies_test.yaml  test its policies
  thresher run -c thresher.yaml     run it

deploy/thresher.yaml is a configuration with every option explained. Policies
are written as for the OpenTelemetry Collector's tail_sampling processor; paste
yours below "sampling:".`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			msg := fmt.Sprintf("there is no command %q", args[0])
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				return usagef("%s; did you mean %s?", msg, strings.Join(near, " or "))
			}
			return usagef("%s; there are demo, evaluate, run, test, validate and version", msg)
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%v", err) })
	root.AddCommand(newDemo(do.demo), newRun(getenv, do), newValidate(getenv, do.now), newVersion())
	root.AddCommand(newEvaluate(getenv, do.now), newTest(getenv))
	return root
}
