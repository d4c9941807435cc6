package evaluate

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"time"

	"thresher/internal/config"
	"thresher/policies"
)

// line is a result as JSON.
type line struct {
	TraceID     string   `json:"trace_id"`
	Decision    string   `json:"decision"`
	Policy      string   `json:"policy"`
	Matched     []string `json:"matched"`
	Probability float64  `json:"probability"`
	Spans       int      `json:"spans"`
	Complete    bool     `json:"complete"`
	Errors      []string `json:"errors,omitempty"` // policies with a condition that could not be evaluated
	Why         []reason `json:"why,omitempty"`    // only with an explanation
	Service     string   `json:"service"`
	Operation   string   `json:"operation"`
	Start       string   `json:"start,omitempty"` // RFC 3339, absent if no span has a start
	Duration    *float64 `json:"duration_ms,omitempty"`
	Bytes       uint64   `json:"bytes"`
}

type reason struct {
	Policy string   `json:"policy"`
	Type   string   `json:"type"`
	Test   string   `json:"test"`
	Passed bool     `json:"passed"`
	Failed bool     `json:"failed,omitempty"` // it could not be evaluated, so it has no vote
	Saw    string   `json:"saw,omitempty"`
	Sub    []reason `json:"sub,omitempty"`
}

// WriteJSON writes a result as one line of JSON.
func WriteJSON(out io.Writer, r *Result) error {
	l := line{
		TraceID: hex.EncodeToString(r.TraceID[:]), Decision: verdict(r.Kept), Policy: r.Policy, Matched: r.Matched,
		Probability: r.Probability, Spans: r.Spans, Complete: r.Complete, Service: r.Service, Operation: r.Operation, Bytes: r.Bytes, Errors: r.Erred, Why: reasons(r.Why),
	}
	if l.Matched == nil {
		l.Matched = []string{}
	}
	if r.Start > 0 && r.Start <= math.MaxInt64 {
		l.Start = time.Unix(0, int64(r.Start)).UTC().Format(time.RFC3339Nano)
	}
	if r.Start > 0 && r.End >= r.Start {
		ms := float64(r.End-r.Start) / 1e6
		l.Duration = &ms
	}
	return encode(out, l)
}

// warning is a doubt about the configuration as JSON.
type warning struct {
	Line    int    `json:"line"`
	Path    string `json:"path"`
	Message string `json:"message"`
}

// WriteJSONWarnings writes warnings as one line of JSON, and nothing if there are none.
func WriteJSONWarnings(out io.Writer, all []config.Warning) error {
	if len(all) == 0 {
		return nil
	}
	list := make([]warning, len(all))
	for i, w := range all {
		list[i] = warning{w.Line, w.Path, w.Msg}
	}
	return encode(out, struct {
		Warnings []warning `json:"warnings"`
	}{list})
}

func encode(out io.Writer, line any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(line)
}

func reasons(why []policies.Explanation) []reason {
	var list []reason
	for i := range why {
		w := &why[i]
		list = append(list, reason{Policy: w.Name, Type: w.Type, Test: w.Text, Passed: w.Passed, Failed: w.Failed, Saw: w.Saw, Sub: reasons(w.Sub)})
	}
	return list
}
