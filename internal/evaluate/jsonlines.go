package evaluate

import (
	"encoding/hex"
	"encoding/json"
	"io"

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
		Probability: r.Probability, Spans: r.Spans, Complete: r.Complete, Errors: r.Erred, Why: reasons(r.Why),
	}
	if l.Matched == nil {
		l.Matched = []string{}
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(l)
}

func reasons(why []policies.Explanation) []reason {
	var list []reason
	for i := range why {
		w := &why[i]
		list = append(list, reason{Policy: w.Name, Type: w.Type, Test: w.Text, Passed: w.Passed, Failed: w.Failed, Saw: w.Saw, Sub: reasons(w.Sub)})
	}
	return list
}
