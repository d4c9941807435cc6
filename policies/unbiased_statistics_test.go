//go:build !race

package policies

import (
	"fmt"
	"math"
	"testing"

	"thresher/internal/tracestate"
)

const (
	statErrors    = "status_code, status_code: {status_codes: [ERROR]}"
	statTenth     = "probabilistic, probabilistic: {sampling_percentage: 10}"
	statOther     = "probabilistic, probabilistic: {sampling_percentage: 20, hash_salt: other}"
	statRate      = "rate_limiting, rate_limiting: {spans_per_second: 60}"
	statBytes     = "bytes_limiting, bytes_limiting: {bytes_per_second: 20000}"
	statAdaptive  = "adaptive, adaptive: {keys: [http.route], traces_per_second: 5}"
	statShare     = "adaptive, adaptive: {keys: [http.route], sampling_percentage: 10}"
	statDiversity = "diversity, diversity: {fingerprint: [http.route], traces: 3, period: 20s}"
	statBaseline  = "baseline_latency, baseline_latency: {keys: [http.route], min_traces: 20}"
	statSlow      = "latency, latency: {threshold_ms: 200}"
)

func statNot(policy string) string { return "not, not: {not_sub_policy: {type: " + policy + "}}" }

func statAnd(policies ...string) string { return statWithin("and", policies...) }

func statWithin(kind string, policies ...string) string {
	s := kind + ", " + kind + ": {" + kind + "_sub_policy: ["
	for i, p := range policies {
		s += fmt.Sprintf("{name: w%d, type: %s}, ", i, p)
	}
	return s + "]}"
}

func statComposite(rate int, policies ...string) string {
	s := "composite, composite: {composite_sub_policy: ["
	for i, p := range policies {
		s += fmt.Sprintf("{name: w%d, type: %s}, ", i, p)
	}
	return s + fmt.Sprintf("], max_total_spans_per_second: %d}", rate)
}

// A statList is a list of policies whose verdicts depend on chance.
type statList struct{ name, text string }

func statLists() []statList {
	return []statList{
		{"probabilistic", policyList(statTenth)},
		{"not by chance", policyList(statNot(statOther), statErrors)},
		{"two salts", policyList(statTenth, statOther)},
		{"limit", policyList(statRate)},
		{"limit of bytes", policyList(statBytes)},
		{"limit below a trace", policyList("rate_limiting, rate_limiting: {spans_per_second: 1.5}", statTenth)},
		{"limit, probabilistic, errors", policyList(statRate, statTenth, statErrors)},
		{"probabilistic, limit, errors", policyList(statTenth, statRate, statErrors)},
		{"limit in and", policyList(statAnd(statSlow, statRate), statTenth)},
		{"limit and chance in and", policyList(statAnd(statOther, statRate), statTenth)},
		{"two limits", policyList(statRate, statBytes)},
		{"adaptive", policyList(statAdaptive)},
		{"adaptive share, errors", policyList(statShare, statErrors)},
		{"adaptive, probabilistic", policyList(statAdaptive, statTenth)},
		{"diversity", policyList(statDiversity, statTenth)},
		{"diversity, limit", policyList(statDiversity, statRate)},
		{"limit, diversity", policyList(statRate, statDiversity)},
		{"diversity of a chance", policyList(statAnd(statOther, statDiversity), statTenth)},
		{"diversity of a chance, limit", policyList(statAnd(statOther, statDiversity), statRate)},
		{"composite", policyList(statComposite(80, statErrors, statSlow, "always_sample"))},
		{"composite below a trace", policyList("composite, composite: {max_total_spans_per_second: 4.5, burst_capacity: 30, composite_sub_policy:"+
			" [{name: e, type: "+statErrors+"}, {name: a, type: always_sample}]}", statTenth)},
		{"composite of chances", policyList(statComposite(80, statErrors, statOther))},
		{"composite of chances beside one", policyList(statComposite(80, statErrors, statOther), statTenth)},
		{"composite of limits", policyList(statComposite(80, statRate, statSlow, "always_sample"), statTenth)},
		{"drop by chance", policyList(statWithin("drop", statOther, statSlow), statRate)},
		{"diversity, limit of a chance", policyList(statDiversity, statAnd(statOther, statRate))},
		{"not within limits", policyList(statNot(statRate), statNot(statComposite(80, statErrors, statOther)), statNot(statDiversity))},
		{"drop beyond a limit", policyList(statWithin("drop", statNot(statRate)), "always_sample")},
		{"all together", policyList(statErrors, statRate, statDiversity, statAdaptive, statBaseline, statAnd(statSlow, statBytes),
			statComposite(40, statErrors, statSlow, statOther), statTenth)},
	}
}

// What is kept stands for all there was that had a chance: the sum of 1/probability is on average the number of traces, and so it is of
// what else is counted, such as spans, and of a part of the traces, such as rare routes. There is no bias, not even a small one, by
// TestLimitsOfATraceAreNotItsOwnLuck; this test shows it with error bars, see -v. With 300 seeds none of the 216 figures was more than 2.3 standard
// errors off.
func TestKeptTracesStandForAll(t *testing.T) {
	t.Parallel()
	for _, l := range statLists() {
		for _, partitions := range []int{1, 64} {
			var traces, spans, heavy, rare deviation
			for seed := range uint64(10) {
				f := newFleet(t, l.text, Options{Partitions: partitions})
				f.chances = true
				c := newCrowd(f.plan, seed)
				c.explicit = 0.3
				var all, spanSum, byRoute [2]float64 // what there was, and the estimate
				var rareSum [2]float64
				var out []fate
				for tick := range int64(90) {
					list, who := c.visits(zipf(30, 40), 1)
					out = f.tick(statEpoch+tick*1000, list, out)
					for i, o := range out {
						stands := [2]float64{1, 0}
						switch {
						case o.kept:
							stands[1] = 1 / o.p
							checkConsistent(t, l, &list[i], o, len(f.plan.salts) > 0)
						case !o.could:
							continue
						}
						for k, x := range stands {
							all[k] += x
							spanSum[k] += x * float64(list[i].Spans)
							switch route := who[i].route; {
							case route == 0:
								byRoute[k] += x
							case route >= 20:
								rareSum[k] += x
							}
						}
					}
				}
				traces.add(all[1]/all[0] - 1)
				spans.add(spanSum[1]/spanSum[0] - 1)
				heavy.add(byRoute[1]/byRoute[0] - 1)
				rare.add(rareSum[1]/rareSum[0] - 1)
			}
			t.Logf("%-32s %2d partitions: traces %v, spans %v, heaviest route %v, rare routes %v", l.name, partitions, &traces, &spans, &heavy, &rare)
			for what, d := range map[string]*deviation{"traces": &traces, "spans": &spans, "heaviest route": &heavy, "rare routes": &rare} {
				if math.Abs(d.mean()) > 5*d.bar()+1e-3 {
					t.Errorf("%s, %d partitions: the estimate of %s is biased: %v", l.name, partitions, what, d)
				}
			}
		}
	}
}

// checkConsistent: the threshold that a kept trace is sent on with must be one that its randomness reaches (OTEP 235), if chance is
// by its randomness and not by a hash.
func checkConsistent(t *testing.T, l statList, trace *Trace, o fate, hashes bool) {
	t.Helper()
	if o.p < 1 && (trace.Explicit || !hashes) && tracestate.Threshold(o.p) > trace.Randomness {
		t.Errorf("%s: kept with threshold %#x, but randomness %#x", l.name, tracestate.Threshold(o.p), trace.Randomness)
	}
	if !(o.p > 0 && o.p <= 1) {
		t.Errorf("%s: probability %v", l.name, o.p)
	}
}
