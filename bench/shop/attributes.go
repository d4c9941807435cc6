package shop

import (
	"fmt"
	"strings"
)

// appendAttributes appends about thirteen attributes as an instrumentation of the op's kind sets them, and error.type
// when it failed. Every span has tenant, user.tier, user.id, request.id, cart.items and user.returning.
func appendAttributes(b []byte, o *op, services []service, who variant, failed bool) []byte {
	text := func(key, value string) { b = appendString(b, spanAttributes, key, value) }
	number := func(key string, value int64) { b = appendInt(b, spanAttributes, key, value) }

	text("tenant", who.tenant)
	text("user.tier", who.tier)
	text("user.id", userHole)
	text("request.id", requestHole)
	host := services[o.service].name
	peer := services[o.peer].name

	method, _, _ := strings.Cut(o.name, " ")
	switch o.kind {
	case httpServer, probe:
		text("http.request.method", method)
		text("http.route", o.detail)
		text("url.path", fill(o.detail))
		number("http.response.status_code", httpStatus(failed))
		text("server.address", host)
		number("server.port", 8080)
		if o.kind == probe {
			text("user_agent.original", "kube-probe/1.34")
		} else {
			text("user_agent.original", "Mozilla/5.0 (X11) Firefox/144.0")
		}
	case httpClient:
		text("http.request.method", method)
		text("url.full", fmt.Sprintf("http://%s:8080%s", peer, fill(o.detail)))
		number("http.response.status_code", httpStatus(failed))
		text("server.address", peer)
		number("server.port", 8080)
		text("network.peer.address", peerAddress(o.peer))
	case rpcServer, rpcClient:
		service, name, _ := strings.Cut(o.detail, "/")
		text("rpc.system", "grpc")
		text("rpc.service", service)
		text("rpc.method", name)
		number("rpc.grpc.status_code", map[bool]int64{true: 14}[failed])
		text("server.address", map[bool]string{true: host, false: peer}[o.kind == rpcServer])
		number("server.port", 9090)
		text("network.peer.address", peerAddress(o.peer))
	case database:
		operation, table, _ := strings.Cut(o.name, " ")
		text("db.system.name", "postgresql")
		text("db.namespace", "shop")
		text("db.operation.name", operation)
		text("db.collection.name", table)
		text("db.query.text", o.detail)
		number("db.response.returned_rows", who.items)
		text("server.address", "pg-primary")
	case cache:
		operation, _, _ := strings.Cut(o.name, " ")
		text("db.system.name", "redis")
		text("db.operation.name", operation)
		text("db.query.text", o.detail)
		text("server.address", "redis-cache")
		number("server.port", 6379)
		text("network.peer.address", "10.8.3.20")
		b = appendBool(b, spanAttributes, "cache.hit", who.items%4 != 0)
	case producer, consumer:
		text("messaging.system", "kafka")
		text("messaging.operation.type", map[bool]string{true: "send", false: "process"}[o.kind == producer])
		text("messaging.destination.name", o.detail)
		number("messaging.message.body.size", 300+who.items*41)
		text("messaging.client.id", host+"-1")
		text("messaging.destination.partition.id", "3")
		text("server.address", "kafka-0")
	default:
		text("code.function.name", o.detail)
		text("code.file.path", "/srv/"+host+"/app/service.src")
		number("code.line.number", 100+int64(len(o.name)))
		text("thread.name", "worker-3")
		number("thread.id", 41)
		text("feature_flag.key", "new-ranking")
		b = appendDouble(b, spanAttributes, "cart.total", who.total)
	}
	number("cart.items", who.items)
	b = appendBool(b, spanAttributes, "user.returning", who.returning)
	if failed {
		text("error.type", failureOf(o).kind)
	}
	return b
}

func httpStatus(failed bool) int64 {
	if failed {
		return 503
	}
	return 200
}

func peerAddress(service int) string { return fmt.Sprintf("10.8.%d.17", service) }

// fill puts numbers where a route has names in braces.
func fill(route string) string {
	return strings.NewReplacer("{id}", "48213", "{user}", "77", "{sku}", "8841").Replace(route)
}
