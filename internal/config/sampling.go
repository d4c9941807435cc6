package config

import (
	"errors"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"thresher/internal/ottl"
	"thresher/internal/receive"
	"thresher/policies"
	"thresher/sampler"
)

// Sampling is the sampling section: when traces are decided. What is decided is in Config.Plan.
type Sampling struct {
	// DecisionWait is how long a trace waits for its spans, counted from its first span in time of the log. Whole
	// milliseconds, 1ms to 24h; default 30s.
	DecisionWait time.Duration
	// DecisionWaitAfterRoot decides earlier once the root span is there. Whole milliseconds; 0 is off, the default.
	DecisionWaitAfterRoot time.Duration
	// LateWindow is how long a decision is remembered after the last span of its trace, so that late spans follow it.
	// At least DecisionWait, at most 168h; default the larger of DecisionWait and 30s.
	LateWindow time.Duration
	// MaxTraceBytes decides a trace early when its spans exceed it; what comes later follows the decision. 0 is off, the
	// default if Strict; else the default is largestTrace.
	MaxTraceBytes int64
	// Strict is compat: strict. The answers are the Collector's, also where Thresher has better ones.
	Strict bool
	// FirstMatch is sample_on_first_match.
	FirstMatch bool
	// Marks are what is written on kept spans: reasons on the root span and, unless Strict, thresholds, if the file does not say
	// otherwise.
	Marks sampler.Marks
}

const compatStrict = "strict"

const notWholeMillis = "is not a whole number of milliseconds; the time of the log has no finer ones"

func reasons() map[string]sampler.Reasons {
	return map[string]sampler.Reasons{"off": sampler.ReasonsOff, "root": sampler.ReasonsRoot, "all": sampler.ReasonsAll}
}

// RootWaitForBatches is a wait after the root span that keeps what SDKs send in batches: SDKs export every 5 s by default
// (OTEL_BSP_SCHEDULE_DELAY), each service in its own rhythm, so the spans of a trace come up to 5 s apart. Where a Collector gathers
// them or a request has to be sent again, the same once more; and a margin.
const RootWaitForBatches = 15 * time.Second

// sdkBatches is how long SDKs gather spans unless they are told otherwise.
const sdkBatches = 5 * time.Second

// largestTrace is some 50,000 spans, more than backends and people can look at as one trace, and so little that a few such traces
// are held whole, and read again from the log, within the memory of a small node. Traces without end (one ID that a loop or a
// broken propagation reuses) are the only ones that grow beyond it. The Collector has no limit of its own.
const largestTrace receive.ByteSize = 32 << 20

const (
	longestWait = 24 * time.Hour
	longestLate = 7 * 24 * time.Hour
)

// samplingBlock is the Collector's tail_sampling block, and our own keys.
type samplingBlock struct {
	DecisionWait          time.Duration    `mapstructure:"decision_wait"`
	DecisionWaitAfterRoot time.Duration    `mapstructure:"decision_wait_after_root_received"`
	LateWindow            time.Duration    `mapstructure:"late_window"`
	MaxTraceBytes         receive.ByteSize `mapstructure:"maximum_trace_size_bytes"`
	FirstMatch            bool             `mapstructure:"sample_on_first_match"`
	Policies              *yaml.Node       `mapstructure:"policies"`

	Compat     string     `mapstructure:"compat"`
	Reasons    string     `mapstructure:"reasons"`
	Thresholds bool       `mapstructure:"thresholds"`
	RescueOn   *yaml.Node `mapstructure:"rescue_on"`

	// The rest is accepted so that a block can be pasted, and has no effect here.
	NumTraces       uint64        `mapstructure:"num_traces"`
	BlockOnOverflow bool          `mapstructure:"block_on_overflow"`
	ExpectedPerSec  uint64        `mapstructure:"expected_new_traces_per_sec"`
	DecisionCache   decisionCache `mapstructure:"decision_cache"`
	NumShards       uint32        `mapstructure:"num_shards"`
	Strategy        string        `mapstructure:"sampling_strategy"`
	DropOnShutdown  bool          `mapstructure:"drop_pending_traces_on_shutdown"`
	TailStorage     any           `mapstructure:"tail_storage"`
}

type decisionCache struct {
	Sampled    int `mapstructure:"sampled_cache_size"`
	NonSampled int `mapstructure:"non_sampled_cache_size"`
}

// Validate checks the bounds.
func (b *samplingBlock) Validate() error {
	var errs []error
	bad := func(msg string) { errs = append(errs, errors.New(msg)) }
	wholeMillis := func(key string, v time.Duration) {
		if v%time.Millisecond != 0 {
			bad(key + ": " + v.String() + " " + notWholeMillis)
		}
	}
	switch {
	case b.Compat == compatStrict: // see strictWaits
	case b.DecisionWait <= 0:
		bad("decision_wait: " + b.DecisionWait.String() + " is not positive; write how long a trace waits for its spans, such as 30s")
	case b.DecisionWait > longestWait:
		bad("decision_wait: " + b.DecisionWait.String() + " is more than 24h; write at most 24h")
	default:
		wholeMillis("decision_wait", b.DecisionWait)
	}
	switch {
	case b.Compat == compatStrict:
	case b.DecisionWaitAfterRoot < 0:
		bad("decision_wait_after_root_received: " + b.DecisionWaitAfterRoot.String() + " is negative; write such as 15s, or 0s to turn it off")
	default:
		wholeMillis("decision_wait_after_root_received", b.DecisionWaitAfterRoot)
	}
	if b.MaxTraceBytes < 0 {
		bad("maximum_trace_size_bytes: is negative; write such as 64MiB, or 0 for no limit")
	}
	if b.Compat != "" && b.Compat != compatStrict {
		bad("compat: " + quote(b.Compat) + " is not known; write strict for the Collector's answers, or remove the line")
	}
	if _, known := reasons()[b.Reasons]; !known {
		bad("reasons: " + quote(b.Reasons) + " is not known; write off, root or all")
	}
	if b.Strategy != "trace-complete" && b.Strategy != "span-ingest" {
		bad("sampling_strategy: " + quote(b.Strategy) + " is not known; remove the line, traces are always decided whole")
	}
	return errors.Join(errs...)
}

func (r *reader) sampling(key, n *yaml.Node, path string) {
	block := samplingBlock{DecisionWait: 30 * time.Second, Strategy: "trace-complete", Reasons: "root", Thresholds: true}
	if isNull(n) {
		n = &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}
	}
	if isStrict(n) {
		n = r.asCollector(n, path)
	} else {
		block.MaxTraceBytes = largestTrace
	}
	w := decode(r.d, key, r.reasons(n, path), path, &block)
	if block.Compat == compatStrict {
		r.strictWaits(w, &block, key, n, path)
	}
	r.lateWindow(w, &block, key, n, path)
	if set, _ := get(n, "thresholds"); set == nil && block.Compat == compatStrict {
		block.Thresholds = false // the Collector's limits do not know with what probability they keep a trace
	}
	r.cfg.Sampling = Sampling{
		DecisionWait:          block.DecisionWait,
		DecisionWaitAfterRoot: block.DecisionWaitAfterRoot,
		LateWindow:            block.LateWindow,
		MaxTraceBytes:         int64(block.MaxTraceBytes),
		Strict:                block.Compat == compatStrict,
		FirstMatch:            block.FirstMatch,
		Marks:                 sampler.Marks{Reasons: reasons()[block.Reasons], Thresholds: block.Thresholds},
	}
	if block.DecisionWaitAfterRoot > block.DecisionWait && block.DecisionWait > 0 {
		at, _ := get(n, "decision_wait_after_root_received")
		r.d.warn(at, sub(path, at.Value), "%v is longer than decision_wait (%v), so it has no effect", block.DecisionWaitAfterRoot, block.DecisionWait)
	}
	if wait := block.DecisionWaitAfterRoot; wait > 0 && wait <= sdkBatches && wait < block.DecisionWait {
		at, _ := get(n, "decision_wait_after_root_received")
		instead := "remove the line"
		if RootWaitForBatches < block.DecisionWait {
			instead = "write " + RootWaitForBatches.String() + ", or " + instead
		}
		r.d.warn(at, sub(path, at.Value), "%v after the root span is too early for SDKs, which send spans every %v (OTEL_BSP_SCHEDULE_DELAY): "+
			"an error that another service sends after the decision does not keep its trace; %s", wait, sdkBatches, instead)
	}
	r.withoutEffect(&block, n, path)
	if n.Kind == yaml.MappingNode {
		r.policies(key, n, path)
	}
}

// reasons takes false for off, which it is in YAML 1.1: that is how tools such as Helm write it. n is left as it is.
func (r *reader) reasons(n *yaml.Node, path string) *yaml.Node {
	_, value := get(n, "reasons")
	if value == nil {
		return n
	}
	typed := value
	if retyped := r.d.retyped[value]; retyped != nil { // from the environment
		typed = retyped
	}
	if typed.Kind != yaml.ScalarNode || typed.ShortTag() != "!!bool" {
		return n
	}
	off := *value
	off.Tag, off.Value = "!!str", "off"
	if !strings.EqualFold(typed.Value, "false") {
		r.d.add(value, sub(path, "reasons"), "is %s; write off, root or all", typed.Value)
	}
	copied := *n
	copied.Content = slices.Clone(n.Content)
	copied.Content[slices.Index(copied.Content, value)] = &off
	return &copied
}

func (r *reader) lateWindow(w *walker, block *samplingBlock, key, n *yaml.Node, path string) {
	at, _, full := descend(key, n, path, "late_window")
	switch set, _ := get(n, "late_window"); {
	case set == nil || w.wrong[full]:
		block.LateWindow = min(max(block.DecisionWait, 30*time.Second), longestLate)
	case block.LateWindow > longestLate:
		r.d.add(at, full, "%v is more than 168h; write at most 168h", block.LateWindow)
	case block.LateWindow%time.Millisecond != 0:
		r.d.add(at, full, "%v is not a whole number of milliseconds; the time of the log has no finer ones", block.LateWindow)
	case block.LateWindow < block.DecisionWait && !w.wrong[sub(path, "decision_wait")]:
		r.d.add(at, full, "%v is shorter than decision_wait (%v); write at least %v, or remove the line for the default",
			block.LateWindow, block.DecisionWait, block.DecisionWait)
	}
}

// withoutEffect warns of the settings that the Collector's processor needs and the log makes unnecessary.
func (r *reader) withoutEffect(block *samplingBlock, n *yaml.Node, path string) {
	warn := func(name, why string) {
		if key, _ := get(n, name); key != nil {
			r.d.warn(key, sub(path, name), "has no effect: %s", why)
		}
	}
	warn("num_traces", "traces are not counted but weighed, see node.memory_limit; when memory is short Thresher reads more slowly "+
		"and never drops a trace unread")
	warn("block_on_overflow", "it is always so here: when memory is short Thresher reads more slowly, and the log keeps what waits")
	warn("expected_new_traces_per_sec", "tables grow by themselves")
	warn("decision_cache", "every decision is remembered for late_window after the last span of its trace")
	warn("num_shards", "work is divided by the partitions of the log, see kafka.spans.partitions")
	warn("drop_pending_traces_on_shutdown", "traces that are undecided at shutdown stay in the log and are decided whole after the restart")
	if block.Strategy == "span-ingest" {
		warn("sampling_strategy", "traces are always decided whole, as with trace-complete")
	}
	if key, value := get(n, "tail_storage"); key != nil && !isNull(value) {
		r.d.add(key, sub(path, "tail_storage"), "is not supported; remove it: the log is the storage here, and spans that wait are "+
			"within node.memory_limit")
	}
}

// policies compiles the list of policies, whose mistakes come with their lines.
func (r *reader) policies(key, n *yaml.Node, path string) {
	at, list := get(n, "policies")
	full := sub(path, "policies")
	switch {
	case at == nil && r.cfg.Sampling.Strict:
		r.d.warn(key, full, "is missing, so nothing is kept; write at least one policy")
		at, list = key, &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: key.Line, Column: key.Column}
	case at == nil:
		r.d.add(key, full, "is missing, so nothing would be kept; write at least one policy, such as "+
			"policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]")
		return
	case r.d.broken[list]:
		return
	case isNull(list):
		list = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: at.Line, Column: at.Column}
	}
	_, rescue := get(n, "rescue_on")
	plan, err := policies.Parse(list, policies.Options{
		Strict: r.cfg.Sampling.Strict, FirstMatch: r.cfg.Sampling.FirstMatch, Partitions: r.cfg.Kafka.Spans.Partitions,
		Sizes: r.cfg.Sampling.MaxTraceBytes > 0, Rescue: rescue, Conditions: ottl.New(),
	})
	if err == nil {
		r.cfg.Plan = plan
		for _, w := range slices.Concat(plan.Slips(), plan.Lint(), plan.Doubts()) {
			r.d.warnings = append(r.d.warnings, Warning{Line: w.Line, Path: sub(path, w.Path), Msg: w.Msg})
		}
		return
	}
	var mistakes policies.Errors
	if !errors.As(err, &mistakes) {
		r.d.add(at, full, "%v", err)
		return
	}
	for _, m := range mistakes {
		p := Problem{Line: m.Line, Column: m.Column, Path: sub(path, m.Path), Msg: m.Msg}
		if !r.brokenAt(p.Line, p.Column) {
			r.d.problems = append(r.d.problems, p)
		}
	}
}

// brokenAt says whether the value at a place is a reference that could not be resolved.
func (r *reader) brokenAt(line, column int) bool {
	for broken := range r.d.broken {
		if broken.Line == line && broken.Column == column {
			return true
		}
	}
	return false
}
