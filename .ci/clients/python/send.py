"""Sends known traces with the OpenTelemetry Python SDK, as an application would, and prints what they are.

    send.py --endpoint 127.0.0.1:4317 --protocol grpc --traces 20 --service shop
    send.py --endpoint 127.0.0.1:4318 --protocol http/protobuf

For each trace one JSON line goes to standard output: {"trace_id", "kind", "spans"}. A third of the traces are of the kind
"error" (an inner span failed), a third "slow" (the root lasts 2.5 s), a third "normal". Exit status 1: an export failed.
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
        self.failed = 0

    def export(self, spans):
        result = self.exporter.export(spans)
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", required=True, help="host:port")
    parser.add_argument("--protocol", choices=("grpc", "http/protobuf"), default="grpc")
    parser.add_argument("--traces", type=int, default=30)
    parser.add_argument("--service", default="python-client")
    args = parser.parse_args()

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
    if out.failed or not flushed:
        print(f"{out.failed} spans were not accepted", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
