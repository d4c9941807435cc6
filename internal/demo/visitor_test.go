package demo

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"thresher/bench/shop"
)

func TestFromVisitor(t *testing.T) {
	s := shop.New(shop.Default(1))
	var shops []byte
	for range 200 {
		shops = s.Next().Data
		require.False(t, FromVisitor(shops))
	}
	marshal := func(td ptrace.Traces) []byte {
		data, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
		require.NoError(t, err)
		return data
	}
	require.True(t, FromVisitor(marshal(trace(span{id: 1, name: "GET /", service: "frontend"}))), "a service may be called like one of the shop")
	own := trace(span{id: 1, name: "GET /"})
	require.True(t, FromVisitor(marshal(own)), "without a resource")
	require.True(t, FromVisitor(append(shops[:len(shops):len(shops)], marshal(own)...)), "beside spans of the shop")
	own.ResourceSpans().At(0).Resource().Attributes().PutInt("service.namespace", 5)
	require.True(t, FromVisitor(marshal(own)))
	own.ResourceSpans().At(0).Resource().Attributes().PutStr("service.namespace", shop.Namespace)
	require.False(t, FromVisitor(marshal(own)))
	require.False(t, FromVisitor(nil))
}
