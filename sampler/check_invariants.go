//go:build invariants

package sampler

import (
	"fmt"

	"thresher/buffer"
)

// check panics when the machine contradicts itself. The expensive part runs every hundredth time.
func (m *Machine) check() {
	st := &m.stats
	if sum := st.Kept + st.Dropped + st.LateKept + st.LateDropped + st.Duplicate + st.Invalid + st.Moved + st.InFlight; st.Received != sum {
		panic(fmt.Sprintf("ledger: received %d, accounted for %d: %+v", st.Received, sum, *st))
	}
	r, _ := m.resume()
	if m.queue.next != m.queue.end && r > m.next {
		panic(fmt.Sprintf("resume offset %d is behind the next record %d", r, m.next))
	}
	last := Offset(-1)
	undecided := 0
	m.queue.each(func(n uint64, it *item) bool {
		if n == m.queue.next && !it.isUnsettled() || n < m.queue.next && it.isUnsettled() {
			panic("the head of the queue is settled, or not the head")
		}
		if it.offset < last {
			panic(fmt.Sprintf("offset %d stands behind %d in the queue", it.offset, last))
		}
		last = it.offset
		if it.isUndecided() {
			undecided++
		}
		return true
	})
	if n := m.traces.Traces(); undecided != n {
		panic(fmt.Sprintf("%d items are undecided, %d traces are open", undecided, n))
	}
	missed := uint64(0)
	for _, n := range st.MissedAge {
		missed += n
	}
	if missed > st.LateDropped {
		panic(fmt.Sprintf("%d late spans would have kept their trace, of %d that came to dropped ones", missed, st.LateDropped))
	}
	if st.Records%100 != 0 {
		return
	}
	keys := make(map[DeliveredKey]bool, m.queue.end-m.queue.first)
	m.queue.each(func(_ uint64, it *item) bool {
		k := it.key()
		if keys[k] {
			panic(fmt.Sprintf("two deliveries are called %+v: what is acknowledged of one would be taken for the other", k))
		}
		keys[k] = true
		return true
	})
	inLists, pages, counted, inFlight := 0, 0, 0, uint64(0)
	for _, b := range m.deadlines.byTime {
		prev := uint32(0)
		for ref := m.deadlines.buckets[b].head; ref != 0; {
			t := m.traces.Trace(buffer.Ref(ref))
			if t.Prev != prev || t.Deadline <= m.clock.now {
				panic(fmt.Sprintf("trace %x in the list of deadline %d at %d: broken link or overdue", t.ID, t.Deadline, m.clock.now))
			}
			pages += buffer.PagesFor(t.Stored) + buffer.PagesFor(uint64(t.Shaped))
			if !t.Rebuilt {
				inFlight += uint64(t.Spans)
			}
			inLists++
			counted += m.sets[t.Set].cost(t)
			prev, ref = ref, t.Next
		}
	}
	if inLists != m.traces.Traces() || inFlight != st.InFlight {
		panic(fmt.Sprintf("%d traces have deadlines, %d are open; they hold %d spans, %d are in flight", inLists, m.traces.Traces(), inFlight, st.InFlight))
	}
	if counted != m.opened {
		panic(fmt.Sprintf("open traces count %d, %d is noted", counted, m.opened))
	}
	if used := m.traces.Pages.Used() / buffer.PageSize; used != pages {
		panic(fmt.Sprintf("%d pages are in use, %d are accounted for", used, pages))
	}
}
