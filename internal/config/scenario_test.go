package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"thresher/internal/export"
	"thresher/sampler"
)

// rest is what a scenario about one section needs besides it. It is appended, so that line numbers stay right.
var rest = map[string]string{
	"kafka":     "kafka: {brokers: [k:9092]}\n",
	"sampling":  "sampling: {policies: [{name: all, type: always_sample}]}\n",
	"exporters": "exporters: {debug: {}}\n",
}

// TestScenarios runs the files in testdata: `env` sets the environment for the commands below it; `section` checks the
// text with the missing required sections appended; `file` checks the text as it is. <TAB>, <NUL>, <FF>, <BOM>, <CR> and
// <NBSP> stand for what editors hide.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		env := map[string]string{}
		datadriven.RunTest(t, path, func(t *testing.T, cmd *datadriven.TestData) string {
			input := strings.NewReplacer("<TAB>", "\t", "<NUL>", "\x00", "<FF>", "\xff", "<BOM>", "\uFEFF", "<CR>", "\r", "<NBSP>", "\u00a0").Replace(cmd.Input)
			switch cmd.Cmd {
			case "env":
				env = map[string]string{}
				for line := range strings.SplitSeq(input, "\n") {
					name, value, _ := strings.Cut(line, "=")
					env[name] = strings.ReplaceAll(value, `\n`, "\n")
				}
				return "ok"
			case "section":
				input += "\n"
				for _, name := range slices.Sorted(maps.Keys(rest)) {
					if !regexp.MustCompile(`(?m)^` + name + `:`).MatchString(input) {
						input += rest[name]
					}
				}
			case "file":
			default:
				t.Fatalf("unknown command %q", cmd.Cmd)
			}
			cfg, err := Parse("t.yaml", []byte(input), func(name string) (string, bool) {
				value, ok := env[name]
				return value, ok
			})
			if err != nil {
				var problems *Problems
				if !errors.As(err, &problems) || cfg != nil {
					t.Fatalf("want no configuration and *Problems, got %v and %T", cfg, err)
				}
				return err.Error()
			}
			var shown []string
			for arg := range slices.Values(cmd.CmdArgs) {
				shown = append(shown, arg.Key)
			}
			return dump(cfg, shown)
		})
	})
}

func dump(cfg *Config, parts []string) string {
	var b strings.Builder
	b.WriteString("ok\n")
	for _, w := range cfg.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	for _, part := range parts {
		switch part {
		case "kafka":
			k := cfg.Kafka
			fmt.Fprintf(&b, "kafka: brokers=%q topic=%s partitions=%d retention=%v tls=%v", k.Brokers, k.Spans.Topic, k.Spans.Partitions, k.Spans.Retention, k.TLS != nil)
			if k.SASL != nil {
				fmt.Fprintf(&b, " sasl=%s/%s/%s", k.SASL.Mechanism, k.SASL.Username, string(k.SASL.Password))
			}
			b.WriteString("\n")
		case "receivers":
			for _, r := range cfg.Receivers {
				fmt.Fprintf(&b, "%s:", r.Name)
				if grpc := r.Config.Protocols.GRPC.Get(); grpc != nil {
					fmt.Fprintf(&b, " grpc=%s max=%dMiB", grpc.NetAddr.Endpoint, grpc.MaxRecvMsgSizeMiB)
				}
				if http := r.Config.Protocols.HTTP.Get(); http != nil {
					fmt.Fprintf(&b, " http=%s path=%s", http.ServerConfig.NetAddr.Endpoint, http.TracesURLPath)
				}
				fmt.Fprintf(&b, " inflight=%v\n", r.Config.MaxInflightBytes)
			}
		case "sampling":
			s := cfg.Sampling
			fmt.Fprintf(&b, "sampling: wait=%v root=%v late=%v max=%d policies=%s\n", s.DecisionWait, s.DecisionWaitAfterRoot,
				s.LateWindow, s.MaxTraceBytes, strings.Join(cfg.Plan.Names(), ","))
		case "marks":
			names := map[sampler.Reasons]string{sampler.ReasonsOff: "off", sampler.ReasonsRoot: "root", sampler.ReasonsAll: "all"}
			fmt.Fprintf(&b, "marks: reasons=%s thresholds=%v\n", names[cfg.Sampling.Marks.Reasons], cfg.Sampling.Marks.Thresholds)
		case "modes":
			fmt.Fprintf(&b, "modes: strict=%v first=%v, plan strict=%v\n", cfg.Sampling.Strict, cfg.Sampling.FirstMatch, cfg.Plan.Strict())
		case "policies":
			for _, p := range cfg.Plan.Policies() {
				fmt.Fprintf(&b, "  %s: %s\n", p.Name, p.Text)
			}
			fmt.Fprintf(&b, "  rescue on %v\n", cfg.Plan.RescueNames())
		case "exporters":
			for _, id := range cfg.Exporters.IDs() {
				switch e := cfg.Exporters.Exporters[id].(type) {
				case *export.GRPCConfig:
					fmt.Fprintf(&b, "%s: endpoint=%s insecure=%v headers=%d timeout=%v compression=%s\n", id, e.Client.Endpoint,
						e.Client.TLS.Insecure, len(e.Client.Headers), e.Timeout, e.Client.Compression)
					for name, value := range e.Client.Headers.Iter {
						fmt.Fprintf(&b, "  %s=%s\n", name, string(value))
					}
				case *export.HTTPConfig:
					fmt.Fprintf(&b, "%s: endpoint=%s timeout=%v\n", id, e.Client.Endpoint, e.Client.Timeout)
				case *export.FileConfig:
					fmt.Fprintf(&b, "%s: path=%s\n", id, e.Path)
				case *export.KafkaConfig:
					fmt.Fprintf(&b, "%s: brokers=%q topic=%s\n", id, e.Brokers, e.Topic)
				default:
					fmt.Fprintf(&b, "%s\n", id)
				}
			}
		case "routes":
			fmt.Fprintf(&b, "kept=%v dropped=%v\n", cfg.Routes.Kept, cfg.Routes.Dropped)
		case "node":
			fmt.Fprintf(&b, "node: %+v\n", cfg.Node)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
