package policies

import (
	"hash/fnv"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"thresher/internal/wire"
)

// A naive interpreter decides a trace by a policy list as YAML decodes it, in the most obvious way.
type naive struct {
	strict, firstMatch bool
	t                  *testTrace
}

type naiveVerdict struct {
	keep, dropped bool
	policy        int
	matched       []bool
}

func (n naive) decide(list []any) naiveVerdict {
	v := naiveVerdict{policy: -1, matched: make([]bool, len(list))}
	drop, force := -1, -1
	for i, item := range list {
		p := item.(map[string]any)
		if v.policy >= 0 && n.firstMatch && p["type"] != "drop" && p["type"] != "force" {
			continue
		}
		if n.ask(p, false) != yes {
			continue
		}
		v.matched[i] = true
		switch {
		case p["type"] == "drop" && drop < 0:
			drop = i
		case p["type"] == "force" && force < 0:
			force = i
		}
		if p["type"] != "drop" && v.policy < 0 {
			v.policy = i
		}
	}
	v.keep = v.policy >= 0
	switch {
	case drop >= 0 && force >= 0:
		v.policy = force
	case drop >= 0:
		v = naiveVerdict{dropped: true, policy: drop, matched: v.matched}
	}
	return v
}

// ask returns a policy's answer. Under an odd number of not and drop a share of randomness is that of the least random.
func (n naive) ask(p map[string]any, least bool) answer {
	kind := p["type"].(string)
	block, _ := p[kind].(map[string]any)
	within := func() (list []map[string]any) {
		for _, sub := range block[kind+"_sub_policy"].([]any) {
			list = append(list, sub.(map[string]any))
		}
		return list
	}
	switch kind {
	case "and", "drop", "force":
		if kind == "force" && !n.inTime(block) {
			return no
		}
		for _, sub := range within() {
			if a := n.ask(sub, least != (kind == "drop")); a != yes {
				return a
			}
		}
		return yes
	case "or":
		any := no
		for _, sub := range within() {
			switch n.ask(sub, least) {
			case yes:
				return yes
			case failed:
				any = failed
			}
		}
		return any
	case "not":
		return map[answer]answer{yes: no, no: yes, failed: failed}[n.ask(block["not_sub_policy"].(map[string]any), !least)]
	case "ottl_condition":
		return n.statuses(block)
	case "probabilistic":
		return isTrue(n.chance(block, least))
	}
	return isTrue(n.passes(kind, block))
}

// passes asks what is a matter of yes and no.
func (n naive) passes(kind string, block map[string]any) bool {
	t := n.t
	switch kind {
	case "always_sample":
		return true
	case "status_code":
		return t.anySpan(func(s *wire.Span) bool {
			name := map[int32]any{0: "UNSET", 1: "OK", 2: "ERROR"}[s.Status]
			return name != nil && slices.Contains(block["status_codes"].([]any), name)
		})
	case "trace_flags":
		return t.anySpan(func(s *wire.Span) bool { return s.Flags&1 == 1 })
	case "trace_state":
		return t.anySpan(func(s *wire.Span) bool { return naiveState(string(s.TraceState), block) })
	case "latency":
		if n.strict {
			return n.strictLatency(block)
		}
		return n.latency(block)
	case "span_count":
		spans := 0
		for _, l := range t.lines {
			if !l.resource {
				spans++
			}
		}
		most := naiveInt(block["max_spans"])
		return spans >= naiveInt(block["min_spans"]) && (most == 0 || spans <= most)
	}
	invert, _ := block["invert_match"].(bool)
	if n.strict {
		return invert != n.strictAttribute(kind, block)
	}
	return invert != n.attribute(kind, block)
}

func (n naive) latency(block map[string]any) bool {
	var start, end uint64
	for _, l := range n.t.lines {
		if s := l.span.Start; !l.resource && s > 0 && (start == 0 || s < start) {
			start = s
		}
		if !l.resource {
			end = max(end, l.span.End)
		}
	}
	ms := 0
	if start > 0 && end > start {
		ms = int((end - start) / 1e6)
	}
	upper := naiveInt(block["upper_threshold_ms"])
	return ms > naiveInt(block["threshold_ms"]) && (upper == 0 || ms <= upper)
}

// inTime tells whether a force policy is in force.
func (n naive) inTime(block map[string]any) bool {
	due := time.UnixMilli(n.t.due)
	from, given := block["from"].(time.Time)
	return (!given || !due.Before(from)) && due.Before(block["until"].(time.Time))
}

func (n naive) chance(block map[string]any, least bool) bool {
	share := naiveFloat(block["sampling_percentage"]) / 100
	if n.t.explicit && !n.strict {
		r := n.t.rv
		if least {
			r = 1<<56 - 1 - r
		}
		return r >= 1<<56-uint64(math.Round(share*(1<<56)))
	}
	salt, _ := block["hash_salt"].(string)
	if salt == "" {
		salt = "default-hash-seed"
	}
	h := fnv.New64a()
	h.Write([]byte(salt))
	h.Write(n.t.id[:])
	all := new(big.Float).SetInt(new(big.Int).SetUint64(math.MaxUint64))
	threshold, _ := all.Mul(all, big.NewFloat(share)).Uint64()
	return h.Sum64() <= threshold
}

// statuses asks statusConditions: whether any span matches; if none does, whether any fails. The Collector stops at the first span with
// which either is the case.
func (n naive) statuses(block map[string]any) answer {
	mode, _ := block["error_mode"].(string)
	propagate := strings.EqualFold(mode, "propagate")
	all := no
	for _, l := range n.t.lines {
		if l.resource {
			continue
		}
	expressions:
		for _, x := range block["span"].([]any) {
			is, err := statusIs(x.(string), byte(l.span.Status))
			switch {
			case is:
				return yes
			case err != nil && propagate && n.strict:
				return failed
			case err != nil && propagate:
				all = failed
				break expressions
			}
		}
	}
	return all
}

func (tt *testTrace) anySpan(is func(*wire.Span) bool) bool {
	return slices.ContainsFunc(tt.lines, func(l testLine) bool { return !l.resource && is(&l.span) })
}
