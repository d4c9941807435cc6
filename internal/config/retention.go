package config

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	leastOutage = 10 * time.Minute // what a restart of brokers or nodes can take, when nothing goes wrong
	shortOutage = 30 * time.Minute // a log that cannot wait longer deserves a word
)

// retention compares how long the log keeps spans with how long they are needed. A trace waits up to decision_wait, and who
// takes a partition over reads a late window and another decision wait before the oldest trace that waits. What is left is how
// long nodes or backends can be down before spans are deleted that nobody has decided.
func (r *reader) retention(top *yaml.Node) {
	s, kept := &r.cfg.Sampling, r.cfg.Kafka.Spans.Retention
	if r.reported("kafka.spans.retention", "sampling.decision_wait", "sampling.late_window") {
		return // then it is not known
	}
	need := 2*s.DecisionWait + s.LateWindow
	if kept >= need+shortOutage {
		return
	}
	path := "kafka.spans.retention"
	kafka, value := get(top, "kafka")
	at, _ := r.find(kafka, value, []string{"kafka", "spans", "retention"})
	if _, spans := get(value, "spans"); !has(spans, "retention") { // the default is too short for what the file says elsewhere
		key, block := get(top, "sampling")
		wait := "decision_wait"
		if s.LateWindow > s.DecisionWait && has(block, "late_window") {
			wait = "late_window"
		}
		at, path = r.find(key, block, []string{"sampling", wait})
	}
	if kept < need+leastOutage {
		r.d.add(at, path, "kafka.spans.retention (%v) is too short: with decision_wait %v and late_window %v a node reads the log from up to %v back "+
			"after a crash, so spans would be deleted undecided; write retention: %v or more; what goes beyond %v is how long Thresher or a backend "+
			"can be down without loss", kept, s.DecisionWait, s.LateWindow, need, need+leastOutage, need)
		return
	}
	r.d.warn(at, path, "kafka.spans.retention (%v) is short: decision_wait (%v) and late_window (%v) need %v of it, so spans are lost when Thresher "+
		"or a backend is down for more than %v; write such as retention: 24h", kept, s.DecisionWait, s.LateWindow, need, kept-need)
}

// reported says whether one of the keys is wrong by itself.
func (r *reader) reported(paths ...string) bool {
	return slices.ContainsFunc(r.d.problems, func(p Problem) bool { return slices.Contains(paths, p.Path) })
}
