package main

import (
	"github.com/spf13/cobra"
)

func newRun(getenv func(string) (string, bool), do parts) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Run what a configuration describes, until it is told to stop",
		Long: `Runs the parts that the configuration has sections for. If the configuration has
mistakes, all of them are listed and nothing is started; "thresher validate"
does only that.

Kafka need not be there yet: Thresher waits for it and says so. While it runs,
http://127.0.0.1:8080 (node.listen) answers
  /readyz       200 when spans are taken in and decided, else 503 and why
  /healthz      200 while the process works
  /metrics      for Prometheus
  /api/status   the same for people and scripts, as JSON

SIGTERM or Ctrl-C stops it in a few seconds: what is undecided stays in Kafka and
is decided whole by whoever comes next. A second signal stops it at once, which
loses nothing either.

Exit status: 0 stopped by a signal, 1 anything else.`,
		Example: `  thresher run -c deploy/thresher.yaml
  KAFKA_BROKERS=kafka:9092 thresher run -c thresher.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("the configuration file follows -c: thresher run -c %s", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" {
				return usagef("run needs a configuration file: thresher run -c FILE")
			}
			cfg, err := load(path, cmd.InOrStdin(), getenv)
			if err != nil {
				return report(cmd.ErrOrStderr(), err)
			}
			logger := cfg.Node.Log.Logger(cmd.ErrOrStderr())
			for _, w := range warnings(cfg, do.now()) {
				logger.Warn("configuration: "+w.Msg, "file", cfg.File, "key", w.Path, "line", w.Line)
			}
			return do.run(cmd.Context(), cfg, logger)
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "configuration `FILE`; - is standard input")
	return cmd
}
