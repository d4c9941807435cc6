package conformance

import "slices"

// reduce makes a configuration and a trace smaller for as long as something is wrong with them.
func reduce(l *list, t *trace, wrong func(*list, *trace) bool) (*list, *trace) {
	for smaller := true; smaller; {
		smaller = false
		for _, c := range l.parts() {
			if wrong(c, t) {
				l, smaller = c, true
				break
			}
		}
		for _, c := range t.parts() {
			if wrong(l, c) {
				t, smaller = c, true
				break
			}
		}
	}
	return l, t
}

// parts returns copies of the list that each lack something.
func (l *list) parts() (all []*list) {
	for _, ps := range withoutOne(l.policies) {
		if len(ps) > 0 {
			all = append(all, &list{ps, l.firstMatch})
		}
	}
	if l.firstMatch {
		all = append(all, &list{l.policies, false})
	}
	for i, p := range l.policies {
		for _, part := range p.parts() {
			ps := slices.Clone(l.policies)
			ps[i] = part
			all = append(all, &list{ps, l.firstMatch})
		}
	}
	return all
}

func (p *policy) parts() (all []*policy) {
	with := func(change func(*policy)) {
		c := *p
		change(&c)
		all = append(all, &c)
	}
	if p.Type == "and" || p.Type == "not" {
		for _, s := range p.Sub {
			with(func(c *policy) { name := c.Name; *c = *s; c.Name = name })
		}
	}
	if len(p.Sub) > 1 && p.Type != "composite" {
		for _, sub := range withoutOne(p.Sub) {
			with(func(c *policy) { c.Sub = sub })
		}
	}
	for i, s := range p.Sub {
		for _, part := range s.parts() {
			with(func(c *policy) { c.Sub = slices.Clone(p.Sub); c.Sub[i] = part })
		}
	}
	if len(p.Values) > 1 {
		for _, v := range withoutOne(p.Values) {
			with(func(c *policy) { c.Values = v })
		}
	}
	if len(p.Spans)+len(p.Events) > 1 {
		for _, x := range withoutOne(p.Spans) {
			with(func(c *policy) { c.Spans = x })
		}
		for _, x := range withoutOne(p.Events) {
			with(func(c *policy) { c.Events = x })
		}
	}
	return all
}

// parts returns copies of the trace that each lack something.
func (t *trace) parts() (all []*trace) {
	each := func(change func(p *piece, r *run, i int) *run) {
		for b, batch := range t.batches {
			for at, p := range batch {
				for k, r := range p.runs {
					for i := range r.spans {
						changed := change(p, r, i)
						if changed == nil {
							continue
						}
						runs := slices.Clone(p.runs)
						runs[k] = changed
						if len(changed.spans) == 0 {
							runs = slices.Delete(runs, k, k+1)
						}
						all = append(all, t.replace(b, at, &piece{p.resource, runs}))
					}
				}
			}
		}
	}
	each(func(_ *piece, r *run, i int) *run { return &run{r.scope, slices.Delete(slices.Clone(r.spans), i, i+1)} })
	simpler := func(is func(*span) bool, change func(*span)) {
		each(func(_ *piece, r *run, i int) *run {
			if !is(r.spans[i]) {
				return nil
			}
			c := *r.spans[i]
			change(&c)
			spans := slices.Clone(r.spans)
			spans[i] = &c
			return &run{r.scope, spans}
		})
	}
	simpler(func(s *span) bool { return len(s.attrs) > 0 }, func(s *span) { s.attrs = s.attrs[1:] })
	simpler(func(s *span) bool { return len(s.attrs) > 0 }, func(s *span) { s.attrs = s.attrs[:len(s.attrs)-1] })
	simpler(func(s *span) bool { return len(s.events) > 0 }, func(s *span) { s.events = s.events[1:] })
	simpler(func(s *span) bool { return s.state != "" }, func(s *span) { s.state = "" })
	simpler(func(s *span) bool { return s.flags != 0 }, func(s *span) { s.flags = 0 })
	simpler(func(s *span) bool { return s.status != 0 }, func(s *span) { s.status = 0 })
	simpler(func(s *span) bool { return s.kind != 0 }, func(s *span) { s.kind = 0 })
	simpler(func(s *span) bool { return s.name != "" }, func(s *span) { s.name = "" })
	for b, batch := range t.batches {
		for at, p := range batch {
			for _, attrs := range withoutOne(p.resource.attrs) {
				all = append(all, t.replace(b, at, &piece{&resource{attrs: attrs}, p.runs}))
			}
		}
	}
	return slices.DeleteFunc(all, func(c *trace) bool { return len(c.batches) == 0 })
}

// replace returns a copy with another piece in a place, or without one if it is empty.
func (t *trace) replace(batch, at int, p *piece) *trace {
	c := &trace{id: t.id, batches: slices.Clone(t.batches)}
	b := slices.Clone(c.batches[batch])
	b[at] = p
	if len(p.runs) == 0 {
		b = slices.Delete(b, at, at+1)
	}
	c.batches[batch] = b
	if len(b) == 0 {
		c.batches = slices.Delete(c.batches, batch, batch+1)
	}
	return c
}

// withoutOne returns copies of a slice that each lack one element.
func withoutOne[T any](all []T) (parts [][]T) {
	for i := range all {
		parts = append(parts, slices.Delete(slices.Clone(all), i, i+1))
	}
	return parts
}
