package policies

import "fmt"

// A limit of a strict list that passes less than such a trace starves.
const (
	usualSpans = 50
	usualBytes = 50_000
)

// starves finds limits of a strict list that are smaller than usual traces: the Collector's pass none that does not fit in whole.
func (l *linter) starves(list []Policy, path func(i int) string) {
	for i := range list {
		p, at := &list[i], path(i)
		switch r := p.rule.(type) {
		case *limiter:
			usual := uint64(usualSpans)
			if r.unit == "bytes" {
				usual = usualBytes
			}
			if most := r.largest(); most < usual {
				l.report(p, at, nil, "with compat: strict %s passes no trace of more than %d %s: burst_capacity is %s%s, and what does not fit in"+
					" whole does not pass; write a burst_capacity of at least %sthe %s of your largest traces, or leave out compat: strict: then large"+
					" traces pass too, and are paid off", quote(p.Name), most, r.unit, plainNumber(r.burst), divided(r.partitions),
					times(r.partitions), r.unit)
			}
		case *composite:
			for k, allocated := range r.allocated {
				most := uint64(min(allocated, r.total) / float64(r.partitions))
				if most >= usualSpans {
					continue
				}
				l.report(&r.within[k], subPath(p, at, k), nil, "with compat: strict %s passes no trace of more than %d spans by %s: the share is %g a"+
					" second%s, and what does not fit in whole does not pass; write a max_total_spans_per_second with a share of at least %sthe spans of"+
					" your largest traces, or leave out compat: strict: then large traces pass too, and are paid off", quote(p.Name), most,
					quote(r.within[k].Name), allocated, divided(r.partitions), times(r.partitions))
			}
		}
		l.starves(p.Sub, func(k int) string { return subPath(p, at, k) })
	}
}

// divided says that what all partitions have is divided.
func divided(partitions int) string {
	if partitions == 1 {
		return ""
	}
	return fmt.Sprintf(", divided by %d partitions", partitions)
}

// times says by what to multiply what one partition must have.
func times(partitions int) string {
	if partitions == 1 {
		return ""
	}
	return fmt.Sprintf("%d times ", partitions)
}
