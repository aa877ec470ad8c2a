/** Single calls over HTTP/2 before the load: each tenant's is right, and a stranger is refused. */
import type { HeaderField } from '../../src/codec/http2/header-field.ts'
import type { ResponseSection } from '../../src/codec/http2/response-section.ts'
import type { Http2Stream } from '../../src/codec/http2/stream.ts'
import { WrongAnswer } from './answer.ts'
import { foreignHttp2Call, type Http2Call, http2CallsOf } from './http2-call.ts'
import { Http2Connection } from './http2-connection.ts'
import type { Work } from './work.ts'

/** gRPC's UNAUTHENTICATED, which may be said instead of 401 (status 200). */
const UNAUTHENTICATED = '16'

interface Exchange {
  readonly call: Http2Call
  sent: number
  status: number
  grpcStatus: string
  body: string
}

type Stream = Http2Stream<Exchange>

export class Http2Probe {
  readonly #work: Work
  readonly #connection: ProbeConnection

  private constructor(work: Work, connection: ProbeConnection) {
    this.#work = work
    this.#connection = connection
  }

  static async open(work: Work, port: number): Promise<Http2Probe> {
    const connection = new ProbeConnection()
    await connection.connect(port)
    return new Http2Probe(work, connection)
  }

  /** Every tenant once. Throws `WrongAnswer` unless all of each answer is as it must be. */
  async all(): Promise<void> {
    for (const call of http2CallsOf(this.#work)) {
      const { status, body, grpcStatus } = await this.#connection.ask(call)
      const right = body === call.answer.toString('latin1') && grpcStatus === (call.grpc ? '0' : '')
      if (status !== 200 || !right)
        throw new WrongAnswer(
          `a call as ${call.tenant} got ${status} ${grpcStatus} ${body.slice(0, 200)}`,
        )
    }
  }

  /** A credential of nobody must be refused. */
  async refused(): Promise<void> {
    const { status, grpcStatus } = await this.#connection.ask(foreignHttp2Call(this.#work))
    if (status !== 401 && grpcStatus !== UNAUTHENTICATED)
      throw new WrongAnswer(`a foreign credential got ${status} ${grpcStatus} instead of 401`)
  }

  async close(): Promise<void> {
    this.#connection.close()
    return Promise.resolve()
  }
}

/** One call at a time. */
class ProbeConnection extends Http2Connection<Exchange> {
  #answer = Promise.withResolvers<Exchange>()

  async ask(call: Http2Call): Promise<Exchange> {
    this.#answer = Promise.withResolvers()
    const exchange = { call, sent: 0, status: 0, grpcStatus: '', body: '' }
    const stream = this.session.request(exchange, call.fields, call.body.length === 0)
    if (call.body.length > 0) this.writable(stream)
    this.flush()
    return this.#answer.promise
  }

  response({ owner }: Stream, response: ResponseSection): void {
    if (owner === undefined || response.status < 200) return
    owner.status = response.status
    owner.grpcStatus = grpcStatusOf(response.fields) ?? ''
  }

  octets({ owner }: Stream, bytes: Buffer, start: number, end: number): void {
    if (owner) owner.body += bytes.toString('latin1', start, end)
  }

  trailers({ owner }: Stream, fields: readonly HeaderField[]): void {
    if (owner) owner.grpcStatus = grpcStatusOf(fields) ?? ''
  }

  ended({ owner }: Stream): void {
    if (owner) this.#answer.resolve(owner)
  }

  writable(stream: Stream): void {
    const { owner } = stream
    if (owner === undefined) return
    const { body } = owner.call
    const piece = { start: owner.sent, end: body.length, endStream: true }
    owner.sent += this.session.send(stream, body, piece)
  }

  fault(reason: string): void {
    this.#answer.promise.catch(() => {}) // between two calls nobody waits
    this.#answer.reject(new WrongAnswer(reason))
  }
}

/** Of trailers, or of an answer that has nothing else. */
export function grpcStatusOf(fields: readonly HeaderField[]): string | undefined {
  return fields.find(({ name }) => name === 'grpc-status')?.value
}
