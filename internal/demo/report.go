package demo

import (
	"fmt"
	"math"
	"strings"
)

// A Report is the outcome of a demo. Its JSON form is what `thresher demo --output json` prints.
type Report struct {
	ReceivedSpans    uint64                 `json:"received_spans"`
	KeptSpans        uint64                 `json:"kept_spans"`
	DroppedSpans     uint64                 `json:"dropped_spans"`
	LateKeptSpans    uint64                 `json:"late_kept_spans"`
	LateDroppedSpans uint64                 `json:"late_dropped_spans"`
	DuplicateSpans   uint64                 `json:"duplicate_spans"`
	RejectedSpans    uint64                 `json:"rejected_spans"`
	InFlightSpans    uint64                 `json:"in_flight_spans"`
	KeptTraces       uint64                 `json:"kept_traces"`
	DroppedTraces    uint64                 `json:"dropped_traces"`
	Policies         map[string]PolicyTotal `json:"policies"`
	BytesIn          uint64                 `json:"bytes_in"`
	BytesOut         uint64                 `json:"bytes_out"`
	Seconds          float64                `json:"seconds"`
}

// A PolicyTotal is what a policy has decided.
type PolicyTotal struct {
	Traces uint64 `json:"traces"`
	Spans  uint64 `json:"spans"`
}

// Accounted is the sum of all outcomes: ReceivedSpans if nothing was lost and nothing counted twice.
func (r *Report) Accounted() uint64 {
	return r.KeptSpans + r.DroppedSpans + r.LateKeptSpans + r.LateDroppedSpans + r.DuplicateSpans + r.RejectedSpans + r.InFlightSpans
}

// Balanced reports whether every received span has exactly one outcome.
func (r *Report) Balanced() bool { return r.ReceivedSpans == r.Accounted() }

// Saving is the share of the bytes that the backend is spared, from 0 to 1.
func (r *Report) Saving() float64 {
	if r.BytesIn == 0 {
		return 0
	}
	return max(0, 1-float64(r.BytesOut)/float64(r.BytesIn))
}

// Summary is the report for people, some lines of text that end with a newline.
func (r *Report) Summary() string {
	var b strings.Builder
	traces := r.KeptTraces + r.DroppedTraces
	fmt.Fprintf(&b, "In %.1f s: %s received, %s decided.\n", r.Seconds, plural(r.ReceivedSpans, "span"), plural(traces, "trace"))
	fill(&b, []string{
		fmt.Sprintf("Kept %s (%s)", plural(r.KeptTraces, "trace"), percent(r.KeptTraces, traces)),
		fmt.Sprintf("with %s, whole;", plural(r.KeptSpans+r.LateKeptSpans, "span")), fmt.Sprintf("dropped %s.", plural(r.DroppedTraces, "trace")),
	}, "")
	fmt.Fprintf(&b, "The backend got %s of %s: %s less to store and to pay for.\n",
		size(r.BytesOut), size(r.BytesIn), share(r.Saving()))
	claim := "Every span has one outcome"
	if !r.Balanced() {
		claim = "The ledger of spans"
	}
	fmt.Fprintf(&b, "%s: %s received\n", claim, count(r.ReceivedSpans))
	terms := []string{"  = " + count(r.KeptSpans) + " kept", "+ " + count(r.DroppedSpans) + " dropped"}
	for _, o := range []struct {
		spans uint64
		what  string
	}{
		{r.LateKeptSpans, "late kept"}, {r.LateDroppedSpans, "late dropped"}, {r.DuplicateSpans, "duplicate"},
		{r.RejectedSpans, "rejected"}, {r.InFlightSpans, "in flight"},
	} {
		if o.spans > 0 {
			terms = append(terms, "+ "+count(o.spans)+" "+o.what)
		}
	}
	terms[len(terms)-1] += "."
	fill(&b, terms, "    ")
	if off := int64(r.ReceivedSpans) - int64(r.Accounted()); off > 0 {
		fmt.Fprintf(&b, "THE LEDGER DOES NOT BALANCE: %s without an outcome.\n", plural(uint64(off), "span"))
	} else if off < 0 {
		fmt.Fprintf(&b, "THE LEDGER DOES NOT BALANCE: %s counted more than once.\n", plural(uint64(-off), "span"))
	}
	return b.String()
}

// reportWidth is that of the narrowest terminal there is, less the column that must stay empty.
const reportWidth = 79

// fill writes pieces of ASCII text to as few lines as they fit, those behind the first indented.
func fill(b *strings.Builder, pieces []string, indent string) {
	used := 0
	for _, p := range pieces {
		switch {
		case used == 0:
		case used+1+len(p) <= reportWidth:
			b.WriteByte(' ')
			used++
		default:
			b.WriteString("\n" + indent)
			used = len(indent)
		}
		b.WriteString(p)
		used += len(p)
	}
	b.WriteByte('\n')
}

// count writes a number with commas between thousands.
func count(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return count(n) + " " + what + "s"
}

// size writes bytes in decimal units, as disks and bills do.
func size(n uint64) string {
	v := float64(n)
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if v < 999.5 || unit == "GB" {
			if unit == "B" || v >= 99.95 {
				return fmt.Sprintf("%.0f %s", v, unit)
			}
			return fmt.Sprintf("%.1f %s", v, unit)
		}
		v /= 1000
	}
	return ""
}

func percent(part, whole uint64) string {
	if whole == 0 {
		return share(0)
	}
	return share(float64(part) / float64(whole))
}

// share writes a share of 1 as a percentage. It does not round what is not all to all, nor what is not nothing to nothing.
func share(v float64) string {
	p := math.Round(v*1000) / 10
	switch {
	case v > 0 && p == 0:
		return "< 0.1 %"
	case v < 1 && p == 100:
		return "> 99.9 %"
	}
	return fmt.Sprintf("%.1f %%", p)
}
