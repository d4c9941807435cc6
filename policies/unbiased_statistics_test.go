package policies

import (
	"fmt"
	"math"
	"testing"
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

// statLists are lists whose verdicts depend on chance.
func statLists() map[string]string {
	return map[string]string{
		"probabilistic":                   policyList(statTenth),
		"two salts":                       policyList(statTenth, statOther),
		"limit":                           policyList(statRate),
		"limit of bytes":                  policyList(statBytes),
		"limit, probabilistic, errors":    policyList(statRate, statTenth, statErrors),
		"probabilistic, limit, errors":    policyList(statTenth, statRate, statErrors),
		"limit in and":                    policyList(statAnd(statSlow, statRate), statTenth),
		"limit and chance in and":         policyList(statAnd(statOther, statRate), statTenth),
		"two limits":                      policyList(statRate, statBytes),
		"adaptive":                        policyList(statAdaptive),
		"adaptive share, errors":          policyList(statShare, statErrors),
		"adaptive, probabilistic":         policyList(statAdaptive, statTenth),
		"diversity":                       policyList(statDiversity, statTenth),
		"diversity, limit":                policyList(statDiversity, statRate),
		"limit, diversity":                policyList(statRate, statDiversity),
		"diversity of a chance":           policyList(statAnd(statOther, statDiversity), statTenth),
		"composite":                       policyList(statComposite(80, statErrors, statSlow, "always_sample")),
		"composite of chances":            policyList(statComposite(80, statErrors, statOther)),
		"composite of chances beside one": policyList(statComposite(80, statErrors, statOther), statTenth),
		"composite of limits":             policyList(statComposite(80, statRate, statSlow, "always_sample"), statTenth),
		"drop by chance":                  policyList(statWithin("drop", statOther, statSlow), statRate),
		"drop beyond a limit":             policyList(statWithin("drop", "not, not: {not_sub_policy: {type: "+statRate+"}}"), "always_sample"),
		"all together": policyList(statErrors, statRate, statDiversity, statAdaptive, statBaseline, statAnd(statSlow, statBytes),
			statComposite(40, statErrors, statSlow, statOther), statTenth),
	}
}

// A deviation is how far estimates are from the truth, by run.
type deviation struct{ n, sum, squares float64 }

func (d *deviation) add(x float64) { d.n++; d.sum += x; d.squares += x * x }

func (d *deviation) mean() float64 { return d.sum / d.n }

// bar is the standard error of the mean.
func (d *deviation) bar() float64 {
	return math.Sqrt(max(d.squares/d.n-d.mean()*d.mean(), 0)/d.n) + 1e-12
}

func (d *deviation) String() string {
	return fmt.Sprintf("%+.2f %% +- %.2f (z %+.1f)", 100*d.mean(), 100*d.bar(), d.mean()/d.bar())
}

func TestX(t *testing.T) {
	for name, text := range statLists() {
		for _, partitions := range []int{1, 64} {
			var traces, spans, rare deviation
			kept, all := 0.0, 0.0
			heaviest := 0.0
			for seed := range uint64(30) {
				f := newFleet(t, text, Options{Partitions: partitions})
				c := newCrowd(f.plan, seed)
				c.explicit = 0.3
				var out []fate
				var n, est, ns, ests, nr, estr float64
				for tick := range int64(90) {
					list, who := c.visits(zipf(30, 40), 1)
					out = f.tick(1_000_000_000+tick*1000, list, out)
					for i, o := range out {
						w := 0.0
						if o.kept {
							w = 1 / o.p
							kept++
						}
						all++
						heaviest = max(heaviest, w)
						n, est = n+1, est+w
						s := float64(list[i].Spans)
						ns, ests = ns+s, ests+s*w
						if who[i].route == 25 {
							nr, estr = nr+1, estr+w
						}
					}
				}
				traces.add(est/n - 1)
				spans.add(ests/ns - 1)
				rare.add((estr - nr) / 30)
			}
			fmt.Printf("%-34s P=%-3d kept %5.1f %%, heaviest %8.1f: traces %v, spans %v, a rare route %v\n", name, partitions, 100*kept/all, heaviest, &traces, &spans, &rare)
		}
	}
}
