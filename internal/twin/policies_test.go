package twin

import (
	"encoding/hex"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func span(resource, attributes map[string]any, set func(ptrace.Span)) Span {
	s := Span{pcommon.NewMap(), ptrace.NewSpan()}
	if err := s.Resource.FromRaw(resource); err != nil {
		panic(err)
	}
	if err := s.Span.Attributes().FromRaw(attributes); err != nil {
		panic(err)
	}
	s.Span.SetTraceID(pcommon.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	if set != nil {
		set(s.Span)
	}
	return s
}

func times(start, end pcommon.Timestamp) func(ptrace.Span) {
	return func(s ptrace.Span) {
		s.SetStartTimestamp(start)
		s.SetEndTimestamp(end)
	}
}

func TestPolicies(t *testing.T) {
	limit := func(v int64) *int64 { return &v }
	spans := []Span{
		span(map[string]any{"service.name": "cart"}, map[string]any{"n": 5, "d": 2.5, "ok": true, "empty": "", "path": "/api/live/x"}, times(5_000_000_000, 5_100_900_000)),
		span(map[string]any{"zone": 7}, map[string]any{"n": "5", "nan": math.NaN()}, func(s ptrace.Span) {
			s.Status().SetCode(ptrace.StatusCodeError)
			times(5_000_000_000, 5_000_000_001)(s)
		}),
	}
	never := Not{AlwaysSample{}}
	for name, c := range map[string]struct {
		policy Policy
		want   bool
	}{
		"always":                  {AlwaysSample{}, true},
		"status":                  {StatusCode{ptrace.StatusCodeError}, true},
		"status of none":          {StatusCode{ptrace.StatusCodeOk}, false},
		"latency":                 {Latency{ThresholdMs: 99}, true},
		"latency is strict":       {Latency{ThresholdMs: 100}, false},
		"latency upper":           {Latency{ThresholdMs: 50, UpperMs: 100}, true},
		"latency above upper":     {Latency{ThresholdMs: 50, UpperMs: 99}, false},
		"string":                  {StringAttribute{Key: "service.name", Values: []string{"x", "cart"}}, true},
		"string is whole":         {StringAttribute{Key: "service.name", Values: []string{"car"}}, false},
		"string of integer":       {StringAttribute{Key: "zone", Values: []string{"7"}}, false},
		"string regex":            {StringAttribute{Key: "path", Values: []string{"/live"}, Regex: true}, true},
		"string regex no match":   {StringAttribute{Key: "path", Values: []string{"^/live"}, Regex: true}, false},
		"string regex empty":      {StringAttribute{Key: "empty", Values: []string{".*"}, Regex: true}, false},
		"string regex of integer": {StringAttribute{Key: "zone", Values: []string{".*"}, Regex: true}, false},
		"string inverted":         {StringAttribute{Key: "service.name", Values: []string{"cart"}, Invert: true}, false},
		"string inverted missing": {StringAttribute{Key: "none", Values: []string{"cart"}, Invert: true}, true},
		"numeric":                 {NumericAttribute{Key: "n", Min: limit(5), Max: limit(5)}, true},
		"numeric below":           {NumericAttribute{Key: "n", Min: limit(6)}, false},
		"numeric above":           {NumericAttribute{Key: "n", Max: limit(4)}, false},
		"numeric of resource":     {NumericAttribute{Key: "zone", Min: limit(0)}, true},
		"numeric double":          {NumericAttribute{Key: "d", Min: limit(2), Max: limit(3)}, true},
		"numeric nan":             {NumericAttribute{Key: "nan"}, false},
		"numeric inverted":        {NumericAttribute{Key: "n", Min: limit(6), Invert: true}, true},
		"boolean":                 {BooleanAttribute{Key: "ok", Value: true}, true},
		"boolean false":           {BooleanAttribute{Key: "ok", Value: false}, false},
		"boolean of string":       {BooleanAttribute{Key: "path", Value: false}, false},
		"boolean inverted":        {BooleanAttribute{Key: "ok", Value: false, Invert: true}, true},
		"count":                   {SpanCount{Min: 2, Max: 2}, true},
		"count below":             {SpanCount{Min: 3}, false},
		"count above":             {SpanCount{Max: 1}, false},
		"and":                     {And{AlwaysSample{}, SpanCount{Min: 2}}, true},
		"and not all":             {And{AlwaysSample{}, never}, false},
		"not":                     {never, false},
		"drop":                    {Drop{AlwaysSample{}, SpanCount{Min: 2}}, true},
		"drop not all":            {Drop{AlwaysSample{}, never}, false},
	} {
		require.Equal(t, c.want, c.policy.Eval(spans), name)
	}
}

func TestLatencyWithoutTimes(t *testing.T) {
	for _, s := range []Span{span(nil, nil, nil), span(nil, nil, times(0, 9e18)), span(nil, nil, times(9e18, 0)), span(nil, nil, times(2e18, 1e18))} {
		require.False(t, Latency{}.Eval([]Span{s}), "no duration is known")
	}
}

func TestSetOrder(t *testing.T) {
	keep, policy := Set{{"first", AlwaysSample{}}, {"second", AlwaysSample{}}}.Decide(nil)
	require.True(t, keep)
	require.Equal(t, "first", policy)
	keep, policy = Set{{"first", AlwaysSample{}}, {"health", Drop{AlwaysSample{}}}}.Decide(nil)
	require.False(t, keep)
	require.Equal(t, "health", policy)
	keep, policy = Set{{"health", Drop{SpanCount{Min: 1}}}}.Decide(nil)
	require.False(t, keep)
	require.Empty(t, policy)
}

// TestProbabilistic has what the Collector's processor computes.
func TestProbabilistic(t *testing.T) {
	for percentage, want := range map[float64]uint64{
		0: 0, -3: 0, 100: math.MaxUint64, 500: math.MaxUint64,
		0.1: 18446744073709551, 1: 184467440737095519, 10: 1844674407370955263, 33: 6087425544324152319, 50: 9223372036854775807,
	} {
		require.Equal(t, want, threshold(percentage), percentage)
	}
	// Of each ID the hash is known: it is sampled just above its share, and not just below.
	for id, hash := range map[string]uint64{
		"0102030405060708090a0b0c0d0e0f10": 0xdbcf64d5420f4cad,
		"4bf92f3577b34da6a3ce929d0e0e4736": 0xa54533ba2e4970b5,
		"00000000000000000000000000000001": 0xe19535eed1bbaa8a,
		"ffffffffffffffffffffffffffffffff": 0x17bec3739634fe2d,
		"5b8aa5a2d2c872e8321cf37308d69df2": 0xa5bea68bf4217aba,
	} {
		raw, err := hex.DecodeString(id)
		require.NoError(t, err)
		s := span(nil, nil, func(s ptrace.Span) { s.SetTraceID(pcommon.TraceID(raw)) })
		share := float64(hash) / math.MaxUint64 * 100
		require.True(t, Probabilistic{Percentage: share + 1e-6}.Eval([]Span{s}), id)
		require.False(t, Probabilistic{Percentage: share - 1e-6}.Eval([]Span{s}), id)
	}
	kept := 0
	for i := range 10_000 {
		s := span(nil, nil, func(s ptrace.Span) { s.SetTraceID(pcommon.TraceID{byte(i), byte(i >> 8)}) })
		if (Probabilistic{Salt: "other", Percentage: 10}).Eval([]Span{s}) {
			kept++
		}
	}
	require.InDelta(t, 1000, kept, 150)
}
