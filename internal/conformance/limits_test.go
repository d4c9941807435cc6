package conformance

import (
	"testing"
)

// TestLimits compares how many of equal traces pass limits. Which ones is another thing in each: the peer takes them as they
// come out of a Go map. Without `compat: strict` a tick that asks for more than there is keeps as many on average only, which
// the tests of package policies are about.
func TestLimits(t *testing.T) {
	p := startPeer(t)
	for _, c := range []struct {
		policy string
		kept   int // of 30 traces of 2 spans
	}{
		{`{name: a, type: rate_limiting, rate_limiting: {spans_per_second: 10}}`, 10},
		{`{name: a, type: rate_limiting, rate_limiting: {spans_per_second: 10, burst_capacity: 15}}`, 7},
		{`{name: a, type: rate_limiting, rate_limiting: {spans_per_second: 10, burst_capacity: 1}}`, 0},
		{`{name: a, type: and, and: {and_sub_policy: [{name: b, type: status_code, status_code: {status_codes: [ERROR]}}, ` +
			`{name: c, type: rate_limiting, rate_limiting: {spans_per_second: 3}}]}}`, 3},
		{`{name: a, type: and, and: {and_sub_policy: [{name: c, type: rate_limiting, rate_limiting: {spans_per_second: 3}}, ` +
			`{name: b, type: status_code, status_code: {status_codes: [OK]}}]}}`, 0},
		{`{name: a, type: not, not: {not_sub_policy: {name: b, type: rate_limiting, rate_limiting: {spans_per_second: 3}}}}`, 27},
		{composite(`composite_sub_policy: [{name: b, type: status_code, status_code: {status_codes: [ERROR]}}, {name: c, type: always_sample}]`), 2},
		{composite(`composite_sub_policy: [{name: b, type: status_code, status_code: {status_codes: [OK]}}, {name: c, type: always_sample}],` +
			` rate_allocation: [{policy: c, percent: 100}]`), 5},
		{composite(`composite_sub_policy: [{name: b, type: always_sample}, {name: c, type: always_sample}], policy_order: [c, b],` +
			` rate_allocation: [{policy: b, percent: 33}]`), 1},
	} {
		config := "policies: [" + c.policy + "]"
		var traces []*trace
		for i := range 30 {
			traces = append(traces, build(uint64(i), []exampleSpan{{MS: 1, Status: 2}, {MS: 1}}))
		}
		requests := batches(traces)
		// The peer counts by the second of the wall clock and refills as it passes: a run can straddle two.
		theirs := -1
		for range 5 {
			verdicts, err := p.decide(config, requests...)
			if err != nil {
				t.Fatal(err)
			}
			if theirs = sampled(verdicts); theirs == c.kept {
				break
			}
		}
		strict, err := thresher(config, true, requests)
		if err != nil {
			t.Fatal(err)
		}
		if theirs != c.kept || sampled(strict) != c.kept {
			t.Errorf("the peer keeps %d, Thresher %d with compat: strict, not %d\n%s", theirs, sampled(strict), c.kept, config)
		}
	}
}

func sampled(verdicts map[traceID]verdict) (n int) {
	for _, v := range verdicts {
		if v.decision == "sampled" {
			n++
		}
	}
	return n
}

// TestLimitsThatOthersHide has limits whose answer counts only because of what another says. There is room for the trace
// wherever nothing else is said, so it is kept or not as if each were asked. Where there is not, every second trace passes in Thresher: the
// most random ones, and this is one of the least; within a not or a drop it is the other way round, so there it passes.
func TestLimitsThatOthersHide(t *testing.T) {
	p := startPeer(t)
	const (
		room = `rate_limiting, rate_limiting: {spans_per_second: 1000}`
		none = `rate_limiting, rate_limiting: {spans_per_second: 1, burst_capacity: 1}`
	)
	not := func(limit string) string { return `not, not: {not_sub_policy: {type: ` + limit + `}}` }
	drop := func(policy string) string {
		return `{name: d, type: drop, drop: {drop_sub_policy: [{type: ` + policy + `}]}}`
	}
	for _, c := range []struct {
		policies string
		peer     bool // keeps a trace of two spans
		thresher bool
	}{
		{`{name: a, type: ` + room + `}, ` + drop(not(room)), true, true},
		{`{name: a, type: ` + room + `}, ` + drop(not(none)), false, false},
		{drop(room) + `, {name: a, type: ` + room + `}`, false, false},
		{drop(none) + `, {name: a, type: ` + room + `}`, true, false},
		{`{name: a, type: ` + room + `}, {name: b, type: ` + not(room) + `}`, true, true},
		{`{name: a, type: ` + none + `}, {name: b, type: ` + not(none) + `}`, true, false},
		{`{name: a, type: ` + none + `}, {name: b, type: ` + not(room) + `}`, false, false},
		// Thresher offers what a share has no room for to the next policy that passes.
		{composite(`composite_sub_policy: [{name: b, type: always_sample}, {name: c, type: ` + room + `}],` +
			` rate_allocation: [{policy: b, percent: 10}]`), false, true},
		{composite(`composite_sub_policy: [{name: b, type: always_sample}, {name: c, type: ` + none + `}],` +
			` rate_allocation: [{policy: b, percent: 10}]`), false, false},
		{composite(`composite_sub_policy: [{name: b, type: ` + none + `}, {name: c, type: always_sample}]`), true, true},
	} {
		config := "policies: [" + c.policies + "]"
		requests := batches([]*trace{build(1, []exampleSpan{{MS: 1}, {MS: 1}})})
		theirs, err := p.decide(config, requests...)
		if err != nil {
			t.Fatalf("%v\n%s", err, config)
		}
		if (sampled(theirs) == 1) != c.peer {
			t.Errorf("the peer says %v\n%s", theirs, config)
		}
		for strict, keeps := range map[bool]bool{true: c.peer, false: c.thresher} {
			verdicts, err := thresher(config, strict, requests)
			if err != nil {
				t.Fatalf("%v\n%s", err, config)
			}
			if (sampled(verdicts) == 1) != keeps {
				t.Errorf("Thresher says %v (strict: %v)\n%s", verdicts, strict, config)
			}
		}
	}
}
