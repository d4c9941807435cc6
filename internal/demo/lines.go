package demo

import (
	"fmt"
	"strings"
)

// plain writes a line every few seconds, for logs and pipes.
func (v *View) plain(b *strings.Builder, s Snapshot) {
	if v.frames == 0 {
		v.next = plainEvery
		if v.about.Load != "" {
			fmt.Fprintf(b, "thresher demo: %s\n", v.style.clean(v.about.Load))
		}
		if e := v.about.endpoints(); e != "" {
			fmt.Fprintf(b, "send it your own OTLP: %s\n", e)
		}
		if s.Planned > 0 {
			fmt.Fprintf(b, "ends after %s, or with Ctrl-C (SIGINT)\n", clock(s.Planned))
		} else {
			fmt.Fprintln(b, "ends with Ctrl-C (SIGINT)")
		}
	}
	v.frames++
	if s.Elapsed < v.next {
		return
	}
	for v.next <= s.Elapsed {
		v.next += plainEvery
	}
	kept := s.KeptSpans + s.LateKeptSpans
	decided := kept + s.DroppedSpans + s.LateDroppedSpans
	fmt.Fprintf(b, "%s  %s spans/s  received %s  kept %s (%s)  late %s  duplicates %s  rejected %s  in %s  out %s  saved %s  open %s  memory %s",
		clock(s.Elapsed), count(uint64(v.rates.per(func(p point) uint64 { return p.spans }))), count(s.ReceivedSpans),
		count(kept), percent(kept, decided), count(s.LateKeptSpans+s.LateDroppedSpans), count(s.DuplicateSpans), count(s.RejectedSpans),
		size(s.BytesIn), size(s.BytesOut), share(s.Saving()), plural(s.OpenTraces, "trace"), size(s.MemoryBytes))
	for _, p := range s.Policies {
		if p.Name != "" && p.Traces > 0 {
			fmt.Fprintf(b, "  %s %s", v.style.clean(p.Name), count(p.Traces))
		}
	}
	fmt.Fprintln(b)
	if k := v.shown; k != nil {
		whose := "kept"
		if v.own {
			whose = "kept of yours"
		}
		fmt.Fprintf(b, "      %s %s because of %s: %s, %s, %s, %s\n", whose, k.Tree.TraceID, v.style.clean(k.Policy),
			plural(uint64(k.Tree.Spans), "span"), plural(uint64(k.Tree.Services), "service"), duration(k.Tree.Duration), plural(uint64(k.Tree.Errors), "error"))
	}
	if own := s.own(); own != "" {
		fmt.Fprintf(b, "      %s\n", own)
	}
	if s.Notice != "" {
		fmt.Fprintf(b, "      %s\n", v.style.clean(s.Notice))
	}
}
