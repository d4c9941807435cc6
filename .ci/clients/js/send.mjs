// Sends known traces with the OpenTelemetry JavaScript SDK, as an application would, and prints what they are.
//
//   node send.mjs --endpoint 127.0.0.1:4317 --protocol grpc --traces 20 --service shop
//   node send.mjs --endpoint 127.0.0.1:4318 --protocol http/protobuf     (or http/json)
//
// For each trace one JSON line goes to standard output: {"trace_id", "kind", "spans"}. A third of the traces are of the kind
// "error" (an inner span failed), a third "slow" (the root lasts 2.5 s), a third "normal". Exit status 1: an export failed.

import { parseArgs } from 'node:util';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const { values: args } = parseArgs({
  options: {
    endpoint: { type: 'string' },
    protocol: { type: 'string', default: 'grpc' },
    traces: { type: 'string', default: '30' },
    service: { type: 'string', default: 'js-client' },
  },
});

const exporters = {
  grpc: () => new GrpcExporter({ url: `http://${args.endpoint}` }),
  'http/protobuf': () => new ProtoExporter({ url: `http://${args.endpoint}/v1/traces` }),
  'http/json': () => new JsonExporter({ url: `http://${args.endpoint}/v1/traces` }),
};
if (!args.endpoint || !exporters[args.protocol]) {
  console.error('usage: node send.mjs --endpoint HOST:PORT --protocol grpc|http/protobuf|http/json');
  process.exit(2);
}

// The SDK only logs that an export failed; here it is counted.
let failed = 0;
const exporter = exporters[args.protocol]();
const send = exporter.export.bind(exporter);
exporter.export = (spans, done) => send(spans, (result) => {
  if (result.code !== 0) {
    failed += spans.length;
    console.error(result.error);
  }
  done(result);
});

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ 'service.name': args.service }),
  spanProcessors: [new BatchSpanProcessor(exporter)],
});
const tracer = provider.getTracer('thresher-ci');
const kinds = ['normal', 'error', 'slow'];

// Four spans: a request, two calls, and a query below the second call.
function oneTrace(kind, number) {
  const begin = Date.now();
  const took = kind === 'slow' ? 2500 : 40;
  const root = tracer.startSpan('GET /checkout', {
    kind: SpanKind.SERVER,
    startTime: begin,
    attributes: { 'http.request.method': 'GET', 'order.number': number },
  }, ROOT_CONTEXT);
  const inside = trace.setSpan(ROOT_CONTEXT, root);
  tracer.startSpan('stock', { kind: SpanKind.CLIENT, startTime: begin + 1 }, inside).end(begin + 5);
  const pay = tracer.startSpan('pay', { kind: SpanKind.CLIENT, startTime: begin + 6 }, inside);
  const query = tracer.startSpan('SELECT', { startTime: begin + 7 }, trace.setSpan(inside, pay));
  if (kind === 'error') {
    query.recordException(new Error('card refused'), begin + 8);
    query.setStatus({ code: SpanStatusCode.ERROR, message: 'card refused' });
  }
  query.end(begin + 9);
  pay.end(begin + took - 1);
  root.end(begin + took);
  return root.spanContext().traceId;
}

for (let i = 0; i < Number(args.traces); i++) {
  const kind = kinds[i % kinds.length];
  console.log(JSON.stringify({ trace_id: oneTrace(kind, i), kind, spans: 4 }));
}
await provider.shutdown().catch(() => {}); // what failed is already counted
if (failed > 0) {
  console.error(`${failed} spans were not accepted`);
  process.exit(1);
}
