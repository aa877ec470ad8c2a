/** One request by HTTP/2 on a connection of its own, for checks. All that it keeps of the answer is bounded. */
import type { Socket } from 'node:net'
import { type ClientEvents, ClientSession } from '../../codec/http2/client-session.ts'
import { NO_ERROR } from '../../codec/http2/frame.ts'
import { HeaderField, PLAIN } from '../../codec/http2/header-field.ts'
import type { ResponseSection } from '../../codec/http2/response-section.ts'
import { DEFAULT_SESSION } from '../../codec/http2/session-options.ts'
import type { Http2Stream } from '../../codec/http2/stream.ts'
import { dial, readyEvent } from './dial.ts'
import type { Endpoint } from './endpoint.ts'

export interface ProbeRequest {
  readonly method: string
  readonly path: string
  /** Beyond the pseudo-header fields; names in lower case. */
  readonly fields?: readonly (readonly [string, string])[]
  readonly body?: Buffer
}

/** A whole answer. */
export interface ProbeAnswer {
  readonly status: number
  readonly fields: ReadonlyMap<string, string>
  /** Its begin, `MAX_BODY_OCTETS` at most. */
  readonly body: Buffer
  /** There was more of it. */
  readonly cut: boolean
  readonly trailers: ReadonlyMap<string, string>
}

const MAX_BODY_OCTETS = 64 * 1024
const OPTIONS = { ...DEFAULT_SESSION, streams: 0 }

/** Undefined where there is no whole and valid answer within `timeoutMs`. Never rejects. */
export async function askHttp2(
  endpoint: Endpoint,
  request: ProbeRequest,
  timeoutMs: number,
): Promise<ProbeAnswer | undefined> {
  const socket = dial(endpoint, { allowHalfOpen: false })
  const probe = new Http2Probe(endpoint, request, socket)
  const timer = setTimeout(() => socket.destroy(), timeoutMs)
  socket.on('error', () => {})
  socket.once(readyEvent(endpoint), () => probe.begin())
  await new Promise(resolve => socket.once('close', resolve))
  clearTimeout(timer)
  return probe.answer
}

class Http2Probe implements ClientEvents<undefined> {
  answer: ProbeAnswer | undefined
  readonly #endpoint: Endpoint
  readonly #request: ProbeRequest
  readonly #socket: Socket
  #session: ClientSession<undefined> | undefined
  #status = 0
  #fields = new Map<string, string>()
  readonly #body: Buffer[] = []
  #octets = 0
  #trailers = new Map<string, string>()

  constructor(endpoint: Endpoint, request: ProbeRequest, socket: Socket) {
    this.#endpoint = endpoint
    this.#request = request
    this.#socket = socket
  }

  begin(): void {
    const { method, path, fields = [], body } = this.#request
    const { tls, authority } = this.#endpoint
    const session = new ClientSession<undefined>(this, performance.now(), OPTIONS)
    this.#session = session
    const stream = session.request(
      undefined,
      [
        new HeaderField(':method', method, PLAIN),
        new HeaderField(':scheme', tls ? 'https' : 'http', PLAIN),
        new HeaderField(':authority', authority, PLAIN),
        new HeaderField(':path', path, PLAIN),
        ...fields.map(([name, value]) => new HeaderField(name, value, PLAIN)),
      ],
      body === undefined,
    )
    if (body !== undefined) {
      // It is shorter than the smallest window that there is before the settings of the other end.
      session.send(stream, body, { start: 0, end: body.length })
      session.end(stream)
    }
    this.#socket.on('data', (chunk: Buffer) => {
      session.receive(chunk, performance.now())
      this.#flush()
    })
    this.#flush()
  }

  #flush(): void {
    for (const piece of this.#session?.take() ?? []) this.#socket.write(piece)
    if (this.#session?.over === true) this.#socket.destroySoon()
  }

  response(_stream: Http2Stream<undefined>, { status, fields }: ResponseSection): void {
    if (status < 200) return
    this.#status = status
    this.#fields = mapOf(fields)
  }

  data(stream: Http2Stream<undefined>, bytes: Buffer, start: number, end: number): void {
    const kept = Math.min(end - start, MAX_BODY_OCTETS - this.#octets)
    this.#body.push(Buffer.from(bytes.subarray(start, start + kept)))
    this.#octets += kept
    if (kept < end - start) this.#finish(true)
    else this.#session?.consumed(stream, end - start)
  }

  trailers(_stream: Http2Stream<undefined>, fields: readonly HeaderField[]): void {
    this.#trailers = mapOf(fields)
  }

  ended(): void {
    this.#finish(false)
  }

  #finish(cut: boolean): void {
    this.answer ??= {
      status: this.#status,
      fields: this.#fields,
      body: Buffer.concat(this.#body),
      cut,
      trailers: this.#trailers,
    }
    this.#session?.fail(NO_ERROR, '')
  }

  /** It will answer nothing any more. */
  reset(): void {
    this.#session?.fail(NO_ERROR, '')
  }

  writable(): void {}

  /** What it has taken it still answers. */
  goingAway(lastStreamId: number): void {
    if (lastStreamId === 0) this.#session?.fail(NO_ERROR, '')
  }

  pong(): void {}

  failed(): void {}
}

/** Of fields with the same name, the first. */
function mapOf(fields: readonly HeaderField[]): Map<string, string> {
  return new Map(fields.map(({ name, value }) => [name, value] as const).toReversed())
}
