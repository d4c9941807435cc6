package wire

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
)

// What a request makes a Splitter allocate is asked for first.
func TestSplitAsksForMemory(t *testing.T) {
	tiny := text(2, someTrace+someSpan)
	for name, unit := range map[string]string{
		"resources of one span":           text(1, text(2, tiny)),
		"resources without spans":         text(1, ""),
		"scopes without spans":            text(1, text(2, "")+text(2, "")+text(2, "")),
		"headers behind the spans":        text(1, text(2, tiny+text(3, "schema"))+text(3, "schema")),
		"scopes of one span":              text(1, text(2, tiny)+text(2, tiny)+text(2, tiny)+text(2, tiny)),
		"spans with a resource of 300 B":  text(1, text(1, string(bytes.Repeat([]byte("r"), 300)))+text(2, tiny)),
		"one span and 300 B of its trace": text(1, text(2, tiny)) + text(7, string(bytes.Repeat([]byte("r"), 300))),
	} {
		req := bytes.Repeat([]byte(unit), 2<<20/len(unit))
		asked := 0
		s := NewSplitter(SplitOptions{Partitions: 16, Reserve: func(n int) error { asked += n; return nil }})
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		split, err := s.Split(nil, req)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// Doubling lists leaves as much again behind as garbage. With the race detector slices.Grow takes twice what it needs.
		if allocated := int(after.TotalAlloc - before.TotalAlloc); allocated > 3*asked+64<<10 {
			t.Errorf("%s: %d bytes allocated for a request of %d, %d asked for", name, allocated, len(req), asked)
		}
		runtime.KeepAlive(split)

		full := errors.New("full")
		for limit := asked - 1; limit > 1000; limit /= 3 {
			left := limit
			s := NewSplitter(SplitOptions{Partitions: 16, Reserve: func(n int) error {
				if left -= n; left < 0 {
					return full
				}
				return nil
			}})
			if split, err := s.Split([]byte("before"), req); !errors.Is(err, full) || len(split.Fragments) > 0 || string(split.Bytes) != "before" {
				t.Errorf("%s: with %d bytes of %d: %v, %d fragments", name, limit, asked, err, len(split.Fragments))
			}
		}
	}
}
