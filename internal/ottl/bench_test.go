package ottl

import (
	"fmt"
	"testing"

	"thresher/policies"
)

// BenchmarkMatch evaluates policies on spans of one resource and scope. Most spans match nothing, so nothing here does.
func BenchmarkMatch(b *testing.B) {
	texts := []string{
		`attributes["http.response.status_code"] == 418`, `resource.attributes["service.name"] == "cart" and kind == SPAN_KIND_CLIENT`,
		`end_time - start_time > Duration("5s")`, `IsMatch(attributes["http.route"], "^/admin/")`,
	}
	for _, n := range []int{1, 4} {
		b.Run(fmt.Sprintf("conditions=%d", n), func(b *testing.B) {
			var conditions []policies.SpanCondition
			for _, text := range texts[:n] {
				conditions = append(conditions, compiled(b, about(text)))
			}
			p := cut(b, sample())
			v := New().NewView()
			b.SetBytes(int64(len(p.span)))
			b.ReportAllocs()
			for b.Loop() {
				v.Set(p.resource, p.scope, p.span, 0)
				for _, c := range conditions {
					if matched, err := c.Match(v); matched || err != nil {
						b.Fatal(matched, err)
					}
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "spans/s")
		})
	}
}

// BenchmarkEvents has no span expression, and two events a span.
func BenchmarkEvents(b *testing.B) {
	c := compiled(b, aboutEvents(`attributes["exception.type"] == "OutOfMemory"`))
	p := cut(b, sample())
	v := New().NewView()
	b.ReportAllocs()
	for b.Loop() {
		v.Set(p.resource, p.scope, p.span, 0)
		if matched, err := c.Match(v); matched || err != nil {
			b.Fatal(matched, err)
		}
	}
}
