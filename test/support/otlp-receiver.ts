/** A collector: takes OTLP over HTTP as JSON, and keeps the spans that come. */
import { once } from 'node:events'
import http, { type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

const PATIENCE_MS = 25_000

export interface ReceivedSpan {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  /** 2 is that of a server. */
  readonly kind: number
  /** 0 unset, 1 ok, 2 error. */
  readonly status: number
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly endedAt: number
  readonly attributes: Readonly<Record<string, string | number>>
  readonly resource: Readonly<Record<string, string | number>>
}

interface Attribute {
  readonly key: string
  readonly value: {
    readonly stringValue?: string
    readonly intValue?: number | string
    readonly doubleValue?: number
  }
}

interface Span extends Omit<ReceivedSpan, 'attributes' | 'status' | 'resource'> {
  readonly attributes: readonly Attribute[]
  readonly status: { readonly code?: number }
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
}

interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[]
  }[]
}

export class OtlpReceiver {
  /** How exports are answered: with a status, or never. */
  answer: number | 'never' = 200
  /** Of all exports, also of those that were not taken. */
  readonly requests: { readonly path: string; readonly headers: IncomingHttpHeaders }[] = []
  readonly spans: ReceivedSpan[] = []
  /** As they came. */
  text = ''
  readonly url: string
  readonly #server: http.Server

  private constructor(server: http.Server) {
    this.#server = server
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('request', (request, response) => void this.#take(request, response))
  }

  /** Until the end of `t`. */
  static async start(t: Pick<Test, 'teardown'>): Promise<OtlpReceiver> {
    const server = http.createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const receiver = new OtlpReceiver(server)
    t.teardown(() => receiver.close())
    return receiver
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  async #take(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const text = Buffer.concat(await request.toArray()).toString()
    this.requests.push({ path: request.url ?? '', headers: request.headers })
    if (this.answer === 'never') return
    response.statusCode = this.answer
    response.setHeader('content-type', 'application/json')
    if (this.answer === 200) this.#keep(text)
    response.end('{}')
  }

  #keep(text: string): void {
    this.text += text
    for (const { resource, scopeSpans } of (JSON.parse(text) as Export).resourceSpans)
      for (const span of scopeSpans.flatMap(scope => scope.spans))
        this.spans.push(spanOf(span, valuesOf(resource.attributes)))
  }

  /** Those that `takes` takes, as soon as there are so many; what there is after a while. */
  async await(
    count: number,
    takes: (span: ReceivedSpan) => boolean = () => true,
  ): Promise<ReceivedSpan[]> {
    const deadline = performance.now() + PATIENCE_MS
    while (this.spans.filter(takes).length < count && performance.now() < deadline)
      await new Promise(resolve => setTimeout(resolve, 10))
    return this.spans.filter(takes)
  }
}

function spanOf(span: Span, resource: ReceivedSpan['resource']): ReceivedSpan {
  return {
    name: span.name,
    traceId: span.traceId,
    spanId: span.spanId,
    parentSpanId: span.parentSpanId ?? '',
    kind: span.kind,
    status: span.status.code ?? 0,
    startedAt: Number(span.startTimeUnixNano) / 1e6,
    endedAt: Number(span.endTimeUnixNano) / 1e6,
    attributes: valuesOf(span.attributes),
    resource,
  }
}

function valuesOf(attributes: readonly Attribute[]): Record<string, string | number> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.stringValue ?? Number(value.intValue ?? value.doubleValue),
    ]),
  )
}
