package wire

import "fmt"

// sort orders the spans by partition, keeping their order within one.
func (s *Splitter) sort() {
	clear(s.starts)
	for i := range s.spans {
		s.starts[s.spans[i].partition+1]++
	}
	for p := 1; p < len(s.starts); p++ {
		s.starts[p] += s.starts[p-1]
	}
	if cap(s.order) < len(s.spans) {
		s.order = make([]uint32, len(s.spans), cap(s.spans))
	}
	s.order = s.order[:len(s.spans)]
	for i := range s.spans {
		next := &s.starts[s.spans[i].partition]
		s.order[*next] = uint32(i)
		*next++
	}
}

// An opening is how far a fragment has been laid out: the bytes of closed ResourceSpans fields, of the open ResourceSpans
// message without its open ScopeSpans, and of the open ScopeSpans message.
type opening struct{ closed, resource, scope int }

func (o opening) total() int {
	return o.closed + fieldLen(o.resource+fieldLen(o.scope))
}

// plan decides which spans go into which fragment and computes all sizes, so that writing is one pass into memory of the
// right size. It returns the bytes of all fragments and whether they stay within the limit.
func (s *Splitter) plan(limit int) (total int, ok bool) {
	var (
		lay       opening
		last      *splitSpan // the latest span of the open fragment; nil: none is open
		kept      int        // length of order without oversized spans
		resourceN int        // where the sizes of the open messages will stand
		scopeN    int
	)
	closeFragment := func() {
		if last == nil {
			return
		}
		s.sizes[scopeN] = lay.scope
		s.sizes[resourceN] = lay.resource + fieldLen(lay.scope)
		c := &s.cuts[len(s.cuts)-1]
		c.hi, c.size = uint32(kept), lay.total()
		total += c.size
		last = nil
	}
	for _, i := range s.order {
		span := &s.spans[i]
		scope := &s.scopes[span.scope]
		field := fieldLen(len(span.raw))
		fresh := opening{resource: len(s.resources[scope.resource].bytes), scope: len(scope.bytes) + field}
		if s.o.MaxFragment > 0 && fresh.total() > s.o.MaxFragment {
			s.dropOversized(fresh.total())
			continue
		}
		if last != nil && last.partition != span.partition {
			closeFragment()
		}
		next := fresh
		sameScope, sameResource := false, false
		if last != nil {
			sameScope = last.scope == span.scope
			sameResource = s.scopes[last.scope].resource == scope.resource
			switch {
			case sameScope:
				next = opening{lay.closed, lay.resource, lay.scope + field}
			case sameResource:
				next = opening{lay.closed, lay.resource + fieldLen(lay.scope), fresh.scope}
			default:
				next.closed = lay.total()
			}
			if s.o.MaxFragment > 0 && next.total() > s.o.MaxFragment {
				closeFragment()
				next, sameScope, sameResource = fresh, false, false
			}
		}
		if last == nil {
			if total > limit {
				return 0, false
			}
			s.cuts = append(s.cuts, cut{lo: uint32(kept)})
		}
		if !sameScope {
			if last != nil {
				s.sizes[scopeN] = lay.scope
			}
			if !sameResource {
				if last != nil {
					s.sizes[resourceN] = lay.resource + fieldLen(lay.scope)
				}
				resourceN = len(s.sizes)
				s.sizes = append(s.sizes, 0)
			}
			scopeN = len(s.sizes)
			s.sizes = append(s.sizes, 0)
		}
		lay, last = next, span
		s.order[kept] = i
		kept++
	}
	closeFragment()
	s.order = s.order[:kept]
	return total, total <= limit
}

func (s *Splitter) dropOversized(size int) {
	s.out.Oversized++
	if s.out.Reason == nil {
		s.out.Reason = fmt.Errorf("%w: with its resource and scope it has %d bytes, the limit is %d",
			ErrOversized, size, s.o.MaxFragment)
	}
}

// write writes the fragments as planned.
func (s *Splitter) write(dst []byte) {
	s.fragments = s.fragments[:0]
	sizes := s.sizes
	for _, c := range s.cuts {
		start := len(dst)
		scope, resource := ^uint32(0), ^uint32(0)
		for _, i := range s.order[c.lo:c.hi] {
			span := &s.spans[i]
			if span.scope != scope {
				scope = span.scope
				sc := &s.scopes[scope]
				if sc.resource != resource {
					resource = sc.resource
					dst = appendVarint(append(dst, tagResourceSpans), uint64(sizes[0]))
					dst = append(dst, s.resources[resource].bytes...)
					sizes = sizes[1:]
				}
				dst = appendVarint(append(dst, tagScopeSpans), uint64(sizes[0]))
				dst = append(dst, sc.bytes...)
				sizes = sizes[1:]
			}
			dst = appendField(dst, tagSpans, span.raw)
		}
		s.fragments = append(s.fragments, Fragment{
			Partition: int(s.spans[s.order[c.lo]].partition),
			Spans:     int(c.hi - c.lo),
			Bytes:     dst[start:len(dst):len(dst)],
		})
		s.out.Spans += int(c.hi - c.lo)
	}
	s.out.Bytes = dst
	s.out.Fragments = s.fragments
}
