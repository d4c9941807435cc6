package conformance

import (
	"encoding/json"
	"strings"
)

// A list is a configuration: policies, and what stands beside them.
type list struct {
	policies   []*policy
	firstMatch bool
}

// A policy has the fields of every type; Type says which count.
type policy struct {
	Name string
	Type string

	Key      string
	Values   []string
	Regex    bool
	Invert   bool
	Value    bool
	Min, Max *int64 // bounds of numbers and of span counts, nil: absent
	Above    *int64 // of durations, ms
	UpTo     *int64

	Percent float64
	Salt    string
	Codes   []string

	Rate, Burst int64

	Mode          string
	Spans, Events []*expression

	Sub   []*policy
	Order []string
	Alloc []allocation
}

type allocation struct {
	Policy  string `json:"policy"`
	Percent int64  `json:"percent"`
}

func (l *list) all(visit func(*policy)) {
	var walk func([]*policy)
	walk = func(ps []*policy) {
		for _, p := range ps {
			visit(p)
			walk(p.Sub)
		}
	}
	walk(l.policies)
}

// yaml returns the content of a tail_sampling block. JSON is YAML.
func (l *list) yaml() string {
	var b strings.Builder
	b.WriteString("decision_wait: 30s\n")
	if l.firstMatch {
		b.WriteString("sample_on_first_match: true\n")
	}
	b.WriteString("policies:\n")
	for _, p := range l.policies {
		b.WriteString("  - " + p.yaml() + "\n")
	}
	return b.String()
}

func (p *policy) yaml() string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(p.block()); err != nil {
		panic(err)
	}
	return strings.TrimSpace(b.String())
}

func (p *policy) block() map[string]any {
	m := map[string]any{"name": p.Name, "type": p.Type}
	f := map[string]any{}
	set := func(key string, v any, is bool) {
		if is {
			f[key] = v
		}
	}
	switch p.Type {
	case "always_sample", "trace_flags":
		return m
	case "latency":
		set("threshold_ms", p.Above, p.Above != nil)
		set("upper_threshold_ms", p.UpTo, p.UpTo != nil)
	case "numeric_attribute":
		f["key"] = p.Key
		set("min_value", p.Min, p.Min != nil)
		set("max_value", p.Max, p.Max != nil)
		set("invert_match", true, p.Invert)
	case "string_attribute":
		f["key"], f["values"] = p.Key, p.Values
		set("enabled_regex_matching", true, p.Regex)
		set("invert_match", true, p.Invert)
	case "boolean_attribute":
		f["key"], f["value"] = p.Key, p.Value
		set("invert_match", true, p.Invert)
	case "probabilistic":
		f["sampling_percentage"] = p.Percent
		set("hash_salt", p.Salt, p.Salt != "")
	case "status_code":
		f["status_codes"] = p.Codes
	case "span_count":
		set("min_spans", p.Min, p.Min != nil)
		set("max_spans", p.Max, p.Max != nil)
	case "trace_state":
		f["key"], f["values"] = p.Key, p.Values
	case "rate_limiting":
		f["spans_per_second"] = p.Rate
		set("burst_capacity", p.Burst, p.Burst > 0)
	case "bytes_limiting":
		f["bytes_per_second"] = p.Rate
		set("burst_capacity", p.Burst, p.Burst > 0)
	case "ottl_condition":
		set("error_mode", p.Mode, p.Mode != "")
		set("span", texts(p.Spans), len(p.Spans) > 0)
		set("spanevent", texts(p.Events), len(p.Events) > 0)
	case "and":
		f["and_sub_policy"] = blocks(p.Sub)
	case "drop":
		f["drop_sub_policy"] = blocks(p.Sub)
	case "not":
		f["not_sub_policy"] = p.Sub[0].block()
	case "composite":
		f["max_total_spans_per_second"] = p.Rate
		f["composite_sub_policy"] = blocks(p.Sub)
		set("policy_order", p.Order, len(p.Order) > 0)
		set("rate_allocation", p.Alloc, len(p.Alloc) > 0)
	}
	m[p.Type] = f
	return m
}

func blocks(ps []*policy) []any {
	var all []any
	for _, p := range ps {
		all = append(all, p.block())
	}
	return all
}

func texts(xs []*expression) []string {
	var all []string
	for _, x := range xs {
		all = append(all, x.text)
	}
	return all
}
