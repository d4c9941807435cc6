package demo

import (
	"errors"

	"thresher/bench/shop"
	"thresher/internal/wire"
)

// FromVisitor reports whether a trace, given as the bytes of a TracesData or ExportTraceServiceRequest message, has spans that do
// not come from the shop: they are from an application that somebody tries the demo with.
func FromVisitor(tracesData []byte) bool {
	v := visitor{namespace: wire.NewKeySet([]string{"service.namespace"})}
	err := wire.Walk(tracesData, &wire.Scratch{}, &v)
	return errors.Is(err, errVisitor)
}

// errVisitor ends a walk that need not go on.
var errVisitor = errors.New("a resource that is not of the shop")

type visitor struct {
	namespace *wire.KeySet
	attrs     []wire.Attr
}

// Resource implements wire.Visitor.
func (v *visitor) Resource(header []byte) (err error) {
	if v.attrs, err = wire.ScanResource(header, v.namespace, v.attrs[:0]); err != nil {
		return err
	}
	if len(v.attrs) == 0 || string(v.attrs[0].Value.Bytes) != shop.Namespace {
		return errVisitor
	}
	return nil
}

// Scope implements wire.Visitor.
func (v *visitor) Scope([]byte) error { return nil }

// Span implements wire.Visitor.
func (v *visitor) Span([]byte) error { return nil }
