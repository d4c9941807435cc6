package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"thresher/internal/config"
	"thresher/internal/export"
	"thresher/policies"
)

func newValidate(getenv func(string) (string, bool), now func() time.Time) *cobra.Command {
	from := config.PoliciesFrom{Getenv: getenv}
	cmd := &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a configuration and say everything that is wrong with it",
		Long: `Reads a configuration as "thresher run" does and says what it would run, or
everything that is wrong with it, each with file, line, column and what to
write instead. A file - is standard input. Nothing is connected to or opened:
whether Kafka and the backends answer is seen when it runs.

A file may also have policies only: the section sampling, or an OpenTelemetry
Collector's configuration, alone or within Helm values, a ConfigMap or a resource
of the operator, also in one of several YAML documents. Then the policies are
checked, and what is missing to run it is listed.

Exit status: 0 the configuration can be run, or has nothing but policies and these
are right, 1 neither.`,
		Example: `  thresher validate thresher.yaml
  KAFKA_PASSWORD=x thresher validate thresher.yaml    # for a reference ${env:KAFKA_PASSWORD}
  helm template . | thresher validate -`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usagef("validate needs the configuration file: thresher validate FILE")
			case len(args) > 1:
				return usagef("validate takes one file, but there are %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			check, err := config.CheckFile(args[0], cmd.InOrStdin(), from)
			if err != nil {
				return report(cmd.ErrOrStderr(), err)
			}
			if p := check.Policies; p != nil {
				warn(cmd.ErrOrStderr(), p.File, byLine(append(p.Warnings, ended(p.Plan, p.Path, now())...)))
				summarizePolicies(cmd.OutOrStdout(), check)
				return nil
			}
			warn(cmd.ErrOrStderr(), check.Config.File, warnings(check.Config, now()))
			summarize(cmd.OutOrStdout(), check.Config)
			return nil
		},
	}
	processorFlag(cmd, &from.Processor)
	return cmd
}

func processorFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "processor", "", "`NAME` of the Collector's processor, or its line, if there are several tail_sampling/name")
}

func warn(stderr io.Writer, file string, all []config.Warning) {
	for _, w := range all {
		fmt.Fprintf(stderr, "%s:%d: warning: %s: %s\n", file, w.Line, w.Path, w.Msg)
	}
}

func load(path string, stdin io.Reader, getenv func(string) (string, bool)) (*config.Config, error) {
	if path != "-" {
		return config.Load(path, getenv)
	}
	data, err := io.ReadAll(stdin)
	if err != nil {
		return nil, fmt.Errorf("reading standard input: %w", err)
	}
	return config.Parse("<stdin>", data, getenv)
}

// report writes the mistakes of a configuration, one a line and nothing around them, so that an editor can jump to each.
func report(stderr io.Writer, err error) error {
	var problems *config.Problems
	if !errors.As(err, &problems) {
		return err
	}
	fmt.Fprintln(stderr, problems)
	if n := len(problems.List); n > 1 {
		fmt.Fprintf(stderr, "%d mistakes\n", n)
	}
	return errReported
}

// warnings are those of the configuration and what only a clock can tell, in the order of the lines.
func warnings(cfg *config.Config, now time.Time) []config.Warning {
	return byLine(append(slices.Clone(cfg.Warnings), ended(cfg.Plan, "sampling", now)...))
}

func byLine(all []config.Warning) []config.Warning {
	slices.SortStableFunc(all, func(a, b config.Warning) int { return cmp.Compare(a.Line, b.Line) })
	return all
}

// ended warns of force policies whose time is over. section is where the policies are.
func ended(plan *policies.Plan, section string, now time.Time) (all []config.Warning) {
	forces(plan, section, func(w config.Warning, term policies.Term) {
		if term.Until <= now.UnixMilli() {
			w.Msg += fmt.Sprintf(" ended at %s, so it keeps nothing any more; remove it, or write a later until", inUTC(term.Until))
			all = append(all, w)
		}
	})
	return all
}

// forces gives out the force policies of a list, each with a warning to finish.
func forces(plan *policies.Plan, section string, each func(config.Warning, policies.Term)) {
	terms := plan.Terms()
	for i, p := range plan.Policies() {
		if term, forced := terms[p.Name]; forced {
			each(config.Warning{Line: p.Line, Path: fmt.Sprintf("%s.policies[%d]", section, i), Msg: fmt.Sprintf("%q", p.Name)}, term)
		}
	}
}

// counted writes a number of something.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func inUTC(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// summary writes what a configuration runs.
type summary struct{ out io.Writer }

func (s summary) row(name, format string, args ...any) {
	fmt.Fprintf(s.out, "  %-9s %s\n", name, fmt.Sprintf(format, args...))
}

// summarizePolicies says what a file decides, and what it lacks to be run.
func summarizePolicies(out io.Writer, check *config.Check) {
	p := check.Policies
	fmt.Fprintf(out, "%s: the policies are ok\n", p.File)
	summary{out}.sampling(&p.Sampling, p.Plan)
	fmt.Fprintf(out, "Nothing but %s (line %d) was checked. \"thresher evaluate\" and \"thresher test\" can use the file as it is; \"thresher run\" needs:\n",
		p.Path, p.Line)
	for line := range strings.Lines(check.Missing.Error()) {
		fmt.Fprintf(out, "  %s\n", strings.TrimSuffix(line, "\n"))
	}
}

// summarize says what a configuration runs.
func summarize(out io.Writer, cfg *config.Config) {
	row := summary{out}.row
	fmt.Fprintf(out, "%s: ok\n", cfg.File)
	for _, r := range cfg.Receivers {
		var parts []string
		if grpc := r.Config.Protocols.GRPC.Get(); grpc != nil {
			parts = append(parts, "gRPC on "+grpc.NetAddr.Endpoint)
		}
		if http := r.Config.Protocols.HTTP.Get(); http != nil {
			parts = append(parts, "HTTP on "+http.ServerConfig.NetAddr.Endpoint)
		}
		row("receives", "%s: %s", r.Name, strings.Join(parts, ", "))
	}
	if len(cfg.Receivers) == 0 {
		row("receives", "nothing itself; others write the topic")
	}
	row("log", "%s, topic %s, %s", strings.Join(cfg.Kafka.Brokers, ","), cfg.Kafka.Spans.Topic, counted(cfg.Kafka.Spans.Partitions, "partition"))
	summary{out}.sampling(&cfg.Sampling, cfg.Plan)
	row("kept", "to %s", export.Destinations(cfg.Routes.Kept))
	if len(cfg.Routes.Dropped) > 0 {
		row("dropped", "to %s", export.Destinations(cfg.Routes.Dropped))
	}
	row("node", "health, metrics and status on http://%s", cfg.Node.Listen)
}

// sampling says when and by what traces are decided.
func (s summary) sampling(sampling *config.Sampling, plan *policies.Plan) {
	wait := "decides " + short(sampling.DecisionWait) + " after the first span"
	if sampling.DecisionWaitAfterRoot > 0 {
		wait += ", or " + short(sampling.DecisionWaitAfterRoot) + " after the root span"
	}
	s.row("sampling", "%s; late spans follow the decision for %s", wait, short(sampling.LateWindow))
	if sampling.Strict {
		s.row("", "answers as the Collector does, also where Thresher has better ones (compat: strict)")
	}
	for i, line := range policyTable(plan) {
		s.row([]string{"policies", ""}[min(i, 1)], "%s", line)
	}
	if names := plan.RescueNames(); len(names) > 0 {
		s.row("rescues", "dropped traces for late spans that match: %s", strings.Join(names, ", "))
	}
	s.row("writes", "%s", marks(sampling.Marks))
}

// short writes 30s, 5m and 1h30m without the zeros of Duration.String.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
