package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/spf13/cobra"

	"thresher/internal/policytest"
	"thresher/internal/tracefile"
)

// testOptions are the flags of test.
type testOptions struct {
	config, processor, output, run string
	verbose                        bool
}

func newTest(getenv func(string) (string, bool)) *cobra.Command {
	var o testOptions
	cmd := &cobra.Command{
		Use:   "test FILE...",
		Short: "Run tests of policies",
		Long: `Runs the tests in YAML files that stand beside the configuration. A test gives a
trace and says what is to become of it:

  config: thresher.yaml        # relative to this file; or policies: [...]
  tests:
    - name: an error in checkout is kept
      trace:
        - service: frontend
          name: POST /checkout
          children:
            - {service: payment, name: charge, status: ERROR, duration: 120ms}
      expect: {decision: kept, policy: errors}

A span can have:
  service, resource    its service.name and other resource attributes; default: its parent's
  name, kind           kind: internal (default), server, client, producer, consumer
  status               UNSET (default), OK, ERROR; status_message
  start, duration      such as 5ms, after the start of its parent; default: 0s, and as long
                       as its children take, without children 1ms
  attributes, events   attributes: {http.route: /pay}; events: [{name, at, attributes}]
  scope, tracestate, flags
  root                 false: at the top, with a parent that is missing
  count                as many of it
  children             spans below it
In place of trace, otlp: FILE takes any file that "thresher evaluate" reads, and
  traces: [{spans: [...], at: 5s, trace_id: ..., expect: {...}}]
gives several that begin at different times. What can be expected: decision (kept or
dropped), policy (that decided; empty: none), matched (all that matched), probability,
complete. deploy/policies_test.yaml is an example; docs/testing-policies.md has all.

A trace without trace_id loses every draw, so policies that keep a share at random do
not keep it by accident; with draw: win it wins.

Exit status: 0 all tests passed, 1 some failed, or a file has mistakes.`,
		Example: `  thresher test deploy/policies_test.yaml
  thresher test -c new.yaml policies_test.yaml         # the same tests for another configuration
  thresher test --output junit *_test.yaml > junit.xml`,
		Args: func(_ *cobra.Command, args []string) error {
			stdins := 0
			for _, path := range args {
				if path == tracefile.Stdin {
					stdins++
				}
			}
			switch {
			case len(args) == 0:
				return usagef("test needs files with tests: thresher test FILE...")
			case o.output != "text" && o.output != "junit":
				return usagef("--output is %q; write text or junit", o.output)
			case stdins > 1:
				return usagef("standard input (-) can be read only once")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			only, err := regexp.Compile(o.run)
			if err != nil {
				return usagef("--run is no regular expression: %v", err)
			}
			t := &testRun{cmd: cmd, o: o, only: only, getenv: getenv}
			for _, path := range args {
				if err := t.file(path); err != nil {
					return err
				}
			}
			return t.end()
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.config, "config", "c", "", "configuration `FILE` to test in place of the one that the tests name")
	processorFlag(cmd, &o.processor)
	flags.StringVar(&o.run, "run", "", "run only tests whose name matches this `REGEXP`")
	flags.StringVar(&o.output, "output", "text", "`FORMAT`: text, junit (XML for continuous integration)")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "name the tests that passed too")
	return cmd
}

// testRun runs the tests of some files.
type testRun struct {
	cmd    *cobra.Command
	o      testOptions
	only   *regexp.Regexp
	getenv func(string) (string, bool)

	passed, failed, broken int
	junit                  policytest.JUnit
}

func (t *testRun) file(path string) error {
	file, err := policytest.Load(path, t.cmd.InOrStdin(), policytest.Options{Config: t.o.config, Processor: t.o.processor, Getenv: t.getenv})
	if err != nil {
		t.broken++
		t.junit.AddMistakes(path, err)
		return t.mistakes(err)
	}
	var outcomes []policytest.Outcome
	for i := range file.Tests {
		test := &file.Tests[i]
		if !t.only.MatchString(test.Name) {
			continue
		}
		outcome, err := file.Run(t.cmd.Context(), test)
		if err != nil {
			return fmt.Errorf("%s:%d: %s: %w", file.Name, test.Line, test.Name, err)
		}
		for _, why := range outcome.Errors { // it may have passed for the wrong reason
			fmt.Fprintf(t.cmd.ErrOrStderr(), "%s:%d: warning: %s: %s\n", file.Name, test.Line, test.Name, why)
		}
		outcomes = append(outcomes, outcome)
		if err := t.show(file.Name, &outcome); err != nil {
			return err
		}
	}
	t.junit.Add(file.Name, outcomes)
	return nil
}

// mistakes lists those of a file and of the configuration it names.
func (t *testRun) mistakes(err error) error {
	list := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		list = several.Unwrap()
	}
	for _, err := range list {
		if err := report(t.cmd.ErrOrStderr(), err); !errors.Is(err, errReported) {
			return err
		}
	}
	return nil
}

// show counts a test and writes what is to be read of it.
func (t *testRun) show(file string, outcome *policytest.Outcome) error {
	out := t.cmd.OutOrStdout()
	if t.o.output != "text" {
		out = io.Discard
	}
	if !outcome.Passed() {
		t.failed++
		return outcome.WriteText(out, file)
	}
	t.passed++
	if t.o.verbose {
		fmt.Fprintf(out, "ok    %s:%d: %s\n", file, outcome.Test.Line, outcome.Test.Name)
	}
	return nil
}

func (t *testRun) end() error {
	if t.o.output == "junit" {
		if err := t.junit.Write(t.cmd.OutOrStdout()); err != nil {
			return err
		}
	} else if t.passed+t.failed > 0 {
		fmt.Fprintf(t.cmd.OutOrStdout(), "%d passed, %d failed\n", t.passed, t.failed)
	}
	switch {
	case t.failed+t.broken > 0:
		return errReported
	case t.passed == 0:
		return fmt.Errorf("no test has a name that matches --run %s", t.o.run)
	}
	return nil
}
