/**
 * Spans on their way to a collector, by the libraries of OpenTelemetry: in batches, in the background, and no more of them
 * than the queue holds. They are loaded by workers that have spans alone.
 */
import { SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api'
import { ExportResultCode } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace'
import type { Config } from '../../config/schema.ts'
import { packageVersion } from '../../runtime/package-version.ts'
import type { CallSpan } from './call-span.ts'

/** To put one into JSON takes some 0.8 ms, in which nobody is served. */
const BATCH = 128
const DELAY_MS = 1_000
/** As many as a queue has at the end, when all are sent at once. */
const AT_ONCE = 512
/** For the library to see by itself that an export took too long. */
const GRACE_MS = 1_000
const DEFAULT_PATH = '/v1/traces'
const UNSET = { code: SpanStatusCode.UNSET }
const FAILED = { code: SpanStatusCode.ERROR }
const SCOPE = { name: 'amt', version: packageVersion() }

export interface SpanExportOptions {
  readonly tracing: NonNullable<Config['tracing']>
  /** Name of the service. */
  readonly service: string
  /** Of this worker. */
  readonly instance: string
  /** So many spans are out of the queue; with an error those that are lost. */
  readonly settled: (spans: number, error: Error | undefined) => void
}

export class SpanExport {
  readonly #exporter: OTLPTraceExporter
  readonly #processor: BatchSpanProcessor
  readonly #resource: ReturnType<typeof resourceFromAttributes>

  constructor({ tracing, service, instance, settled }: SpanExportOptions) {
    const { headers, timeout, queue } = tracing
    this.#exporter = new OTLPTraceExporter({
      url: urlOf(tracing.otlp),
      headers,
      timeoutMillis: timeout,
      concurrencyLimit: AT_ONCE,
    })
    this.#processor = new BatchSpanProcessor({
      exporter: counting(this.#exporter, settled),
      maxQueueSize: queue,
      maxExportBatchSize: BATCH,
      scheduledDelayMillis: DELAY_MS,
      exportTimeoutMillis: timeout + GRACE_MS,
    })
    this.#resource = resourceFromAttributes({
      'service.name': service,
      'service.version': SCOPE.version,
      'service.instance.id': instance,
    })
  }

  /** Takes a place in the queue; the caller sees to it that there is one. */
  add(span: CallSpan): void {
    this.#processor.onEnd(readable(span, this.#resource))
  }

  /** Sends all that waits; resolves when it is sent or lost. */
  async end(): Promise<void> {
    try {
      await this.#processor.shutdown()
    } catch {
      // `settled` has counted what is lost.
    }
    await this.#exporter.shutdown()
  }
}

function counting(
  exporter: OTLPTraceExporter,
  settled: SpanExportOptions['settled'],
): SpanExporter {
  return {
    export: (spans, done) =>
      exporter.export(spans, result => {
        const error =
          result.code === ExportResultCode.SUCCESS
            ? undefined
            : (result.error ?? new Error('not exported'))
        settled(spans.length, error)
        done(result)
      }),
    // `end` does it, also where the last export failed.
    shutdown: () => Promise.resolve(),
  }
}

function urlOf(otlp: string): string {
  const url = new URL(otlp)
  if (url.pathname === '/') url.pathname = DEFAULT_PATH
  return url.href
}

function readable(span: CallSpan, resource: ReadableSpan['resource']): ReadableSpan {
  const { trace, failed, ...rest } = span
  const { traceId, spanId, parentId } = trace
  const parent = { traceId, spanId: parentId, traceFlags: TraceFlags.SAMPLED, isRemote: true }
  return {
    ...rest,
    kind: SpanKind.SERVER,
    spanContext: () => ({ traceId, spanId, traceFlags: TraceFlags.SAMPLED }),
    ...(parentId === '' ? {} : { parentSpanContext: parent }),
    status: failed ? FAILED : UNSET,
    links: [],
    events: [],
    ended: true,
    resource,
    instrumentationScope: SCOPE,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  }
}
