package ottl

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"

	"thresher/internal/wire"
)

// maxRequest is the size up to which the memory of a request is kept for the next span.
const maxRequest = 1 << 20

// A view holds a span for conditions. It implements policies.SpanView.
type view struct {
	resource, scope, raw []byte
	now                  int64
	ctx                  context.Context // leads functions to the view

	decoded       bool
	err           error
	resourceSpans ptrace.ResourceSpans
	scopeSpans    ptrace.ScopeSpans
	span          ptrace.Span

	resources headers[ptrace.ResourceSpans]
	scopes    headers[ptrace.ScopeSpans]
	request   []byte
}

// viewKey finds the view in the context of an evaluation.
type viewKey struct{}

func newView() *view {
	v := &view{resources: headers[ptrace.ResourceSpans]{read: readResource}, scopes: headers[ptrace.ScopeSpans]{read: readScope}}
	v.ctx = context.WithValue(context.Background(), viewKey{}, v)
	v.Set(nil, nil, nil, 0)
	return v
}

// Set implements policies.SpanView. Nothing is read before a condition asks.
func (v *view) Set(resource, scope, span []byte, now int64) {
	v.resource, v.scope, v.raw, v.now = resource, scope, span, now
	v.decoded, v.err = false, nil
}

// decode makes the span ready, unless it is already or has turned out not to be one.
func (v *view) decode() error {
	if !v.decoded {
		v.decoded = true
		v.err = v.read()
	}
	return v.err
}

func (v *view) read() (err error) {
	if v.resourceSpans, err = v.resources.get(v.resource); err != nil {
		return fmt.Errorf("the resource of the span: %w", err)
	}
	if v.scopeSpans, err = v.scopes.get(v.scope); err != nil {
		return fmt.Errorf("the scope of the span: %w", err)
	}
	// pdata recurses into values as deep as they go; Validate says how deep that is before pdata uses up the stack.
	if err := wire.Validate(v.raw); err != nil {
		return fmt.Errorf("the span: %w", err)
	}
	v.request = appendRequest(v.request[:0], 2, v.raw)
	traces, err := unmarshal(v.request)
	if cap(v.request) > maxRequest {
		v.request = nil
	}
	if err != nil {
		return fmt.Errorf("the span: %w", err)
	}
	v.span = traces.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	return nil
}

func readResource(header []byte) (rs ptrace.ResourceSpans, err error) {
	if err := wire.ValidateResource(header); err != nil {
		return rs, err
	}
	traces, err := unmarshal(appendRequest(nil, 0, header))
	if err != nil {
		return rs, err
	}
	return traces.ResourceSpans().At(0), nil
}

func readScope(header []byte) (ss ptrace.ScopeSpans, err error) {
	if err := wire.ValidateScope(header); err != nil {
		return ss, err
	}
	traces, err := unmarshal(appendRequest(nil, 1, header))
	if err != nil {
		return ss, err
	}
	return traces.ResourceSpans().At(0).ScopeSpans().At(0), nil
}

// appendRequest appends a request that holds one ResourceSpans, ScopeSpans or Span message: depth is 0, 1 or 2.
func appendRequest(dst []byte, depth int, message []byte) []byte {
	numbers := [...]protowire.Number{1, 2, 2} // TracesData.resource_spans, ResourceSpans.scope_spans, ScopeSpans.spans
	var sizes [len(numbers)]int
	size := len(message)
	for i := depth; i >= 0; i-- {
		sizes[i] = size
		size = protowire.SizeTag(numbers[i]) + protowire.SizeBytes(size)
	}
	for i := range depth + 1 {
		dst = protowire.AppendTag(dst, numbers[i], protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(sizes[i]))
	}
	return append(dst, message...)
}

var errPanic = errors.New("pdata panics")

// unmarshal decodes a request. The result is read-only: a function that tried to change it would panic, and not the span, which
// other conditions look at too.
func unmarshal(request []byte) (traces ptrace.Traces, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errPanic, r)
		}
	}()
	var u ptrace.ProtoUnmarshaler
	if traces, err = u.UnmarshalTraces(request); err != nil {
		return traces, err
	}
	traces.MarkReadOnly()
	return traces, nil
}
