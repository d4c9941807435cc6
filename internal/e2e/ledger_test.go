//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"google.golang.org/protobuf/encoding/protowire"

	"thresher/internal/twin"
)

// copies is how often a span was seen, and the sum over its bytes and those of its resource and scope.
type copies struct {
	count int
	sum   uint64
}

// A book records spans by trace. It reads OTLP requests with nothing but protowire, so it shares no code with the product.
// It is safe for concurrent use.
type book struct {
	mu     sync.Mutex
	traces map[pcommon.TraceID]map[twin.SpanKey]copies
	spans  int
	faults []string // spans that came again with other bytes
}

func newBook() *book { return &book{traces: map[pcommon.TraceID]map[twin.SpanKey]copies{}} }

// enter records the spans of an ExportTraceServiceRequest.
func (b *book) enter(request []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return eachField(request, func(field protowire.Number, resourceSpans []byte) error {
		if field != 1 {
			return nil
		}
		resource := only(resourceSpans, func(f protowire.Number) bool { return f != 2 })
		return eachField(resourceSpans, func(field protowire.Number, scopeSpans []byte) error {
			if field != 2 {
				return nil
			}
			scope := only(scopeSpans, func(f protowire.Number) bool { return f != 2 })
			return eachField(scopeSpans, func(field protowire.Number, span []byte) error {
				if field == 2 {
					b.add(span, resource, scope)
				}
				return nil
			})
		})
	})
}

func (b *book) add(span []byte, resource, scope uint64) {
	var id pcommon.TraceID
	var key twin.SpanKey
	_ = eachField(span, func(field protowire.Number, v []byte) error {
		switch field {
		case 1:
			copy(id[:], v)
		case 2:
			copy(key.ID[:], v)
		}
		return nil
	})
	key.Server = kind(span) == 2
	var sums [24]byte
	binary.LittleEndian.PutUint64(sums[0:], resource)
	binary.LittleEndian.PutUint64(sums[8:], scope)
	binary.LittleEndian.PutUint64(sums[16:], xxhash.Sum64(span))
	sum := xxhash.Sum64(sums[:])

	spans := b.traces[id]
	if spans == nil {
		spans = map[twin.SpanKey]copies{}
		b.traces[id] = spans
	}
	c := spans[key]
	if c.count > 0 && c.sum != sum {
		b.faults = append(b.faults, fmt.Sprintf("trace %v span %v came with different bytes", id, key.ID))
	}
	spans[key] = copies{c.count + 1, sum}
	b.spans++
}

// eachField shows the length-delimited fields of a message.
func eachField(msg []byte, f func(protowire.Number, []byte) error) error {
	for len(msg) > 0 {
		number, kind, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return protowire.ParseError(n)
		}
		value := msg[n:]
		size := protowire.ConsumeFieldValue(number, kind, value)
		if size < 0 {
			return protowire.ParseError(size)
		}
		if kind == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(value)
			if err := f(number, v); err != nil {
				return err
			}
		}
		msg = value[size:]
	}
	return nil
}

// only sums up the length-delimited fields that are wanted.
func only(msg []byte, wanted func(protowire.Number) bool) uint64 {
	var d xxhash.Digest
	d.Reset()
	_ = eachField(msg, func(field protowire.Number, v []byte) error {
		if wanted(field) {
			_, _ = d.Write(binary.LittleEndian.AppendUint32(nil, uint32(field)))
			_, _ = d.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(v))))
			_, _ = d.Write(v)
		}
		return nil
	})
	return d.Sum64()
}

func kind(span []byte) (kind uint64) {
	for len(span) > 0 {
		number, wireType, n := protowire.ConsumeTag(span)
		size := protowire.ConsumeFieldValue(number, wireType, span[max(n, 0):])
		if n < 0 || size < 0 {
			return kind
		}
		if number == 6 && wireType == protowire.VarintType {
			kind, _ = protowire.ConsumeVarint(span[n:])
		}
		span = span[n+size:]
	}
	return kind
}

// count tells how many spans of a trace were seen, each once.
func (b *book) count(id pcommon.TraceID) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.traces[id])
}

// totals tells the numbers of traces, of different spans, and of spans in all.
func (b *book) totals() (traces, different, spans int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.traces {
		different += len(s)
	}
	return len(b.traces), different, b.spans
}

// twice lists the spans that came more than once, by trace.
func (b *book) twice() (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, spans := range b.traces {
		again := 0
		for _, c := range spans {
			if c.count > 1 {
				again++
			}
		}
		if again > 0 {
			list = append(list, fmt.Sprintf("trace %v: %d of its %d spans", id, again, len(spans)))
		}
	}
	return list
}

// differences lists what got has less, more or otherwise than want has. Both must be at rest.
func differences(want map[pcommon.TraceID]map[twin.SpanKey]bool, sent, got *book) (missing, extra, altered []string) {
	for id, spans := range want {
		for key := range spans {
			switch g, ok := got.traces[id][key]; {
			case !ok:
				missing = append(missing, fmt.Sprintf("trace %v: span %v (%d of %d spans are there)", id, key.ID, len(got.traces[id]), len(spans)))
			case g.sum != sent.traces[id][key].sum:
				altered = append(altered, fmt.Sprintf("trace %v: span %v is not what was sent", id, key.ID))
			}
		}
	}
	for id, spans := range got.traces {
		for key := range spans {
			if !want[id][key] {
				extra = append(extra, fmt.Sprintf("trace %v: span %v", id, key.ID))
			}
		}
	}
	altered = append(altered, got.faults...)
	return missing, extra, altered
}

// some shortens a list for a message.
func some(list []string) string {
	slices.Sort(list)
	const most = 5
	if len(list) <= most {
		return fmt.Sprintf("%d: %q", len(list), list)
	}
	return fmt.Sprintf("%d, such as %q", len(list), list[:most])
}
