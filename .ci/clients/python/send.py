"""Sends known traces with the OpenTelemetry Python SDK, as an application would, and prints what they are.

    send.py --endpoint 127.0.0.1:4317 --protocol grpc --traces 20 --service shop
    send.py --endpoint 127.0.0.1:4318 --protocol http/protobuf
    send.py --endpoint 127.0.0.1:4317 --two-services

For each trace one JSON line goes to standard output: {"trace_id", "kind", "spans"}. A third of the traces are of the kind
"error" (an inner span failed), a third "slow" (the root lasts 2.5 s), a third "normal". Exit status 1: an export failed.

With --two-services the root span is of one service, and a span that failed below it of another, all traces at about the same time.
Each service exports by the SDK's defaults: every 5 s since it was started. They are started such that the error is exported about as long
after the root as it can be, although it ended before it.
"""

import argparse
import json
import sys
import time

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode

KINDS = ("normal", "error", "slow")
MS = 1_000_000


class Watched(SpanExporter):
    """Remembers whether an export failed: the SDK only logs it."""

    def __init__(self, exporter):
        self.exporter = exporter
        self.exported = 0
        self.failed = 0

    def export(self, spans):
        result = self.exporter.export(spans)
        self.exported += len(spans)
        if result is not SpanExportResult.SUCCESS:
            self.failed += len(spans)
        return result

    def shutdown(self):
        self.exporter.shutdown()

    def force_flush(self, timeout_millis=30000):
        return self.exporter.force_flush(timeout_millis)


def exporter(protocol, endpoint):
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint="http://" + endpoint, insecure=True)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"http://{endpoint}/v1/traces")


def one_trace(tracer, kind, number):
    """Four spans: a request, two calls, and a query below the second call."""
    begin = time.time_ns()
    took = 2500 * MS if kind == "slow" else 40 * MS

    root = tracer.start_span("GET /checkout", kind=SpanKind.SERVER, start_time=begin, context=trace.Context())
    root.set_attribute("http.request.method", "GET")
    root.set_attribute("order.number", number)
    inside = trace.set_span_in_context(root)

    stock = tracer.start_span("stock", context=inside, kind=SpanKind.CLIENT, start_time=begin + MS)
    stock.end(begin + 5 * MS)

    pay = tracer.start_span("pay", context=inside, kind=SpanKind.CLIENT, start_time=begin + 6 * MS)
    query = tracer.start_span("SELECT", context=trace.set_span_in_context(pay), start_time=begin + 7 * MS)
    if kind == "error":
        query.record_exception(ValueError("card refused"), timestamp=begin + 8 * MS)
        query.set_status(Status(StatusCode.ERROR, "card refused"))
    query.end(begin + 9 * MS)
    pay.end(begin + took - MS)
    root.end(begin + took)
    return root.get_span_context().trace_id


def two_services(args):
    """A request to one service that fails in another. Nothing is flushed by hand."""

    def service(name):
        out = Watched(exporter(args.protocol, args.endpoint))
        provider = TracerProvider(resource=Resource.create({"service.name": name}))
        provider.add_span_processor(BatchSpanProcessor(out))
        return provider, provider.get_tracer("thresher-ci"), out

    front, front_tracer, front_out = service(args.service + "-front")
    time.sleep(4.5)
    back, back_tracer, back_out = service(args.service + "-back")
    for i in range(args.traces):
        root = front_tracer.start_span("GET /checkout", kind=SpanKind.SERVER, context=trace.Context())
        charge = back_tracer.start_span("charge", kind=SpanKind.SERVER, context=trace.set_span_in_context(root))
        charge.set_status(Status(StatusCode.ERROR, "card refused"))
        charge.end()
        root.end()
        print(json.dumps({"trace_id": f"{root.get_span_context().trace_id:032x}", "kind": "error", "spans": 2}))
    give_up = time.monotonic() + 20
    while front_out.exported + back_out.exported < 2 * args.traces and time.monotonic() < give_up:
        time.sleep(0.1)
    flushed = front_out.exported == back_out.exported == args.traces
    front.shutdown()
    back.shutdown()
    return front_out.failed + back_out.failed, flushed


def one_service(args):
    out = Watched(exporter(args.protocol, args.endpoint))
    provider = TracerProvider(resource=Resource.create({"service.name": args.service}))
    provider.add_span_processor(BatchSpanProcessor(out))
    tracer = provider.get_tracer("thresher-ci")
    for i in range(args.traces):
        kind = KINDS[i % len(KINDS)]
        trace_id = one_trace(tracer, kind, i)
        print(json.dumps({"trace_id": f"{trace_id:032x}", "kind": kind, "spans": 4}))
    flushed = provider.force_flush()
    provider.shutdown()
    return out.failed, flushed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", required=True, help="host:port")
    parser.add_argument("--protocol", choices=("grpc", "http/protobuf"), default="grpc")
    parser.add_argument("--traces", type=int, default=30)
    parser.add_argument("--service", default="python-client")
    parser.add_argument("--two-services", action="store_true")
    args = parser.parse_args()

    failed, flushed = two_services(args) if args.two_services else one_service(args)
    if failed or not flushed:
        print(f"{failed} spans were not accepted" if failed else "not all spans were exported", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
