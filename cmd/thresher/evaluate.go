package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"thresher/internal/config"
	"thresher/internal/evaluate"
	"thresher/internal/tracefile"
	"thresher/internal/wire"
	"thresher/policies"
)

// evaluateOptions are the flags of evaluate.
type evaluateOptions struct {
	config, processor, compat, output, explain string
}

func newEvaluate(getenv func(string) (string, bool), now func() time.Time) *cobra.Command {
	var o evaluateOptions
	cmd := &cobra.Command{
		Use:   "evaluate -c FILE INPUT...",
		Short: "Decide traces that are in files, and say why",
		Long: `Decides every trace in the inputs by the policies of a configuration, with the
engine that decides them live. Try a policy on yesterday's traffic before it runs.

The configuration is Thresher's (its section sampling; the others may be absent) or
an OpenTelemetry Collector's (its processor tail_sampling).

Inputs are told by their content; gzip and zstd are unpacked; - is standard input:
  OTLP JSON       lines as the Collector's file exporter writes them, or a document
  OTLP protobuf   a message, or messages behind their lengths
  Jaeger JSON     what "Trace JSON" in its UI or /api/traces gives
Traces are decided in the order of their ends, as if each had come when it ended, so
that rate limits and adaptive policies work in the time of the traces.

The table has a line for each trace, and sums by policy: how many traces it decided,
how many it matched, and how many no other policy would have kept (ALONE: what
removing it saves; an estimate if there are limits, and not known with
sample_on_first_match). A span that came again is in no sum; with compat: strict
policies count it, and --explain shows both numbers.

--output json writes one object a line instead:
  trace_id, decision (kept or dropped), policy, matched, probability (0 if dropped),
  spans, complete (a root span is there), service and operation (of the root span, or
  else of the first), start, duration_ms (both absent if not known), bytes, errors
  (policies with a condition that could not be evaluated for a span, and was true of
  none; absent without any)
If there is a doubt about the configuration, the first line is not a trace but has
warnings: [{line, path, message}]. jq 'select(.trace_id)' leaves it out.

Exit status: 0 all inputs were read, 1 some of it could not be, or the configuration
has mistakes.`,
		Example: `  thresher evaluate -c thresher.yaml traces.jsonl
  thresher evaluate -c thresher.yaml --output totals traces-*.jsonl.zst
  thresher evaluate -c otel-collector.yaml --compat strict --output json traces.jsonl
  curl -s 'jaeger:16686/api/traces?service=checkout' | thresher evaluate -c thresher.yaml -
  thresher evaluate -c thresher.yaml --explain 4bf92f35 traces.jsonl`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("evaluate needs files with traces: thresher evaluate -c FILE INPUT...")
			}
			return o.check(args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			from := config.PoliciesFrom{Processor: o.processor, Compat: o.compat, Getenv: getenv}
			p, err := config.LoadPolicies(o.config, cmd.InOrStdin(), from)
			if err != nil {
				return report(cmd.ErrOrStderr(), err)
			}
			in := &input{stderr: cmd.ErrOrStderr()}
			for _, path := range args {
				tracefile.ReadFile(cmd.Context(), path, cmd.InOrStdin(), in)
			}
			p.Warnings = byLine(append(p.Warnings, outOfTerm(p, &in.store, now())...))
			if o.output != "json" {
				warn(cmd.ErrOrStderr(), p.File, p.Warnings)
			}
			return o.run(cmd.Context(), p, in, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.config, "config", "c", "", "configuration `FILE` of Thresher or of a Collector; - is standard input")
	processorFlag(cmd, &o.processor)
	flags.StringVar(&o.compat, "compat", "", "`MODE`: strict answers as the Collector does, also where Thresher differs on purpose")
	flags.StringVar(&o.output, "output", "table", "`FORMAT`: table, totals (only the sums), json (one object a line)")
	flags.StringVar(&o.explain, "explain", "", "show each condition of the trace with this `ID`, or the beginning of it")
	return cmd
}

func (o *evaluateOptions) check(args []string) error {
	stdins := 0
	for _, path := range append([]string{o.config}, args...) {
		if path == tracefile.Stdin {
			stdins++
		}
	}
	switch {
	case o.config == "":
		return usagef("evaluate needs a configuration: thresher evaluate -c FILE %s", strings.Join(args, " "))
	case o.output != "table" && o.output != "totals" && o.output != "json":
		return usagef("--output is %q; write table, totals or json", o.output)
	case o.compat != "" && o.compat != "strict":
		return usagef("--compat is %q; write strict, or leave it out", o.compat)
	case stdins > 1:
		return usagef("standard input (-) can be read only once")
	case strings.Trim(strings.ToLower(o.explain), "0123456789abcdef") != "" || len(o.explain) > 2*len(wire.TraceID{}):
		return usagef("--explain is %q; write a trace ID, up to 32 hexadecimal digits, or its beginning", o.explain)
	}
	return nil
}

// outOfTerm warns of force policies that force nothing, now or in the time of the traces: else who looks for what they keep would wonder.
func outOfTerm(p *config.Policies, store *evaluate.Store, now time.Time) (all []config.Warning) {
	from, to, some := store.Decided(p)
	forces(p.Plan, p.Path, func(w config.Warning, term policies.Term) {
		switch {
		case some && term.Until <= from:
			w.Msg += fmt.Sprintf(" ended at %s, and these traces are decided from %s on, so it keeps none of them", inUTC(term.Until), inUTC(from))
		case some && term.From > to:
			w.Msg += fmt.Sprintf(" begins at %s, and these traces are decided until %s, so it keeps none of them", inUTC(term.From), inUTC(to))
		case term.Until <= now.UnixMilli():
			w.Msg += fmt.Sprintf(" ended at %s: it keeps traces of before that here, and none that comes now", inUTC(term.Until))
		default:
			return
		}
		all = append(all, w)
	})
	return all
}

func (o *evaluateOptions) run(ctx context.Context, p *config.Policies, in *input, stdout io.Writer) error {
	if err := ctx.Err(); err != nil {
		return errors.New("stopped before all was read")
	}
	out := bufio.NewWriter(stdout)
	err := o.decide(ctx, p, in, out)
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	in.summarize()
	switch {
	case ctx.Err() != nil:
		return errors.New("stopped before all was decided")
	case err != nil:
		return err
	case in.problems > 0:
		return errReported
	case in.store.Len() == 0:
		return errors.New("there are no traces in the input")
	}
	return nil
}

func (o *evaluateOptions) decide(ctx context.Context, p *config.Policies, in *input, out io.Writer) error {
	if o.explain != "" {
		return o.explained(ctx, p, in, out)
	}
	if in.store.Len() == 0 {
		return nil
	}
	if o.output == "json" {
		if err := evaluate.WriteJSONWarnings(out, p.Warnings); err != nil {
			return err
		}
		return in.store.Decide(ctx, p, evaluate.Options{}, func(r *evaluate.Result) error { return evaluate.WriteJSON(out, r) })
	}
	table, totals := evaluate.NewTable(out, p.Plan), evaluate.NewTotals(p.Plan)
	err := in.store.Decide(ctx, p, evaluate.Options{Erred: totals.Erred}, func(r *evaluate.Result) error {
		totals.Add(r)
		if o.output == "totals" {
			return nil
		}
		return table.Add(r)
	})
	if err != nil {
		return err
	}
	if o.output == "table" {
		fmt.Fprintln(out)
	}
	return totals.Write(out)
}

// explained decides all traces, since a limit may depend on the others, and shows one.
func (o *evaluateOptions) explained(ctx context.Context, p *config.Policies, in *input, out io.Writer) error {
	found := in.store.Find(strings.ToLower(o.explain))
	switch {
	case len(found) == 0:
		return fmt.Errorf("no trace has an ID that begins with %s; the input has %s", o.explain, counted(in.store.Len(), "trace"))
	case len(found) > 1:
		return fmt.Errorf("%d traces have an ID that begins with %s; write more of it: %s", len(found), o.explain, aFew(found))
	}
	options := evaluate.Options{Explain: func(id wire.TraceID) bool { return id == found[0] }}
	return in.store.Decide(ctx, p, options, func(r *evaluate.Result) error {
		switch {
		case r.TraceID != found[0]:
			return nil
		case o.output == "json":
			return evaluate.WriteJSON(out, r)
		}
		return evaluate.Explain(out, r)
	})
}

// aFew lists some IDs, and says how many more there are.
func aFew(ids []wire.TraceID) string {
	const most = 6
	var b strings.Builder
	for i, id := range ids[:min(len(ids), most)] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%x", id)
	}
	if more := len(ids) - most; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}

// input is the tracefile.Sink that gathers traces and says what is wrong with the files.
type input struct {
	store    evaluate.Store
	stderr   io.Writer
	problems int
}

// mostProblems is how many are shown: a file of another kind can have as many as lines.
const mostProblems = 20

func (in *input) Traces(otlp []byte) error { return in.store.Add(otlp) }

func (in *input) Problem(p tracefile.Problem) {
	if in.problems++; in.problems <= mostProblems {
		fmt.Fprintln(in.stderr, p.Error())
	}
}

func (in *input) summarize() {
	if more := in.problems - mostProblems; more > 0 {
		fmt.Fprintf(in.stderr, "and %s\n", counted(more, "more problem"))
	}
}
