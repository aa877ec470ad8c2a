/**
 * A call over a connection of HTTP/1.1: the request is written with framing of our own, and the answer read with the same
 * care as a request. One object serves many calls, one after the other. What an answer means for the call and for its
 * client is decided by the exchange.
 */
import { randomBytes } from 'node:crypto'
import { BodyReader, type BodySink } from '../../../codec/http1/body.ts'
import { INCOMPLETE, INVALID } from '../../../codec/http1/field-section.ts'
import { SLOT } from '../../../codec/http1/field-table.ts'
import { BODY_CHUNKED, BODY_UNTIL_CLOSE, FRAMING_BITS } from '../../../codec/http1/framing.ts'
import type { ResponseHead } from '../../../codec/http1/response-head.ts'
import type { ErrorCode } from '../../../core/errors.ts'
import type { DeploymentPool } from '../../pool/deployment-pool.ts'
import type { Endpoint } from '../../pool/endpoint.ts'
import type { UpstreamConnection } from '../../pool/upstream-connection.ts'
import { type Lender, OWN_MEMORY } from '../../wire/outbox.ts'
import type { WorkerContext } from '../../worker/context.ts'
import { CallAnswer } from '../call-answer.ts'
import type { CallRequest } from '../call-request.ts'
import { MessageFields } from '../message-fields.ts'
import type { AnsweredCall, UpstreamCall } from '../upstream-call.ts'
import { acceptOf, keyLines, WEBSOCKET } from '../websocket.ts'
import { BodyWriter } from './body-writer.ts'
import { requestHeadText } from './http1-request.ts'
import { opensTunnel } from './protocol-switch.ts'

/** How far one `read` came. */
export const ANSWER_MORE = 0
export const ANSWER_DONE = 1
/** The head was a 101, or a 2xx to CONNECT, that the call accepted: what follows is not HTTP/1.1. */
export const ANSWER_SWITCHED = 2
export const ANSWER_MALFORMED = 3

const EMPTY = Buffer.alloc(0)

/**
 * Interim answers (1xx) of one call: so many, and one a second. Each costs the deployment next to nothing, and 64 KiB of
 * them cost us 8 ms in which nobody else is served.
 */
const INTERIM_BURST = 32
const INTERIM_MS = 1_000

export class Http1UpstreamCall implements UpstreamCall {
  readonly mayRefuse = false
  /** Whether the head of the answer is on its way: from then on the client can be told nothing else. */
  begun = false
  done = false
  /** Whether the connection can serve another call, by what the answer says. */
  reusable = false
  /** What the answer says of how long its connection may rest. */
  #keepAlive = ''
  /** What the last `read` used is `input[0, position)`; behind it, up to `end`, is what it did not look at. */
  input: Buffer = EMPTY
  position = 0
  inputEnd = 0
  readonly #context: WorkerContext
  readonly #call: AnsweredCall
  readonly #answer = new CallAnswer()
  readonly #body: BodyReader
  readonly #trailers = new MessageFields()
  /** Of the call that is under way; set by `use`. */
  #connection!: UpstreamConnection
  #pool!: DeploymentPool
  #request!: CallRequest
  readonly #requestBody = new BodyWriter()
  #switched = false
  /** Of a WebSocket that the client has asked for by HTTP/2, which has no such key; else ''. */
  #webSocketKey = ''
  /** Bytes of an unfinished head. */
  #partial: Buffer | undefined
  #interims = 0
  /** When the first of them came. */
  #interimsSince = 0
  #lender: Lender = OWN_MEMORY

  constructor(context: WorkerContext, call: AnsweredCall) {
    this.#context = context
    this.#call = call
    this.#body = new BodyReader(context.fields.response, context.caps)
  }

  /** The next call, or the next try of one, goes over `connection`. */
  use(connection: UpstreamConnection, pool: DeploymentPool, request: CallRequest): this {
    this.#connection = connection
    this.#pool = pool
    this.#request = request
    this.begun = false
    this.done = false
    this.reusable = false
    this.#switched = false
    this.#webSocketKey = ''
    this.#partial = undefined
    this.#interims = 0
    return this
  }

  get endpoint(): Endpoint {
    return this.#connection.endpoint
  }

  get connected(): boolean {
    return this.#connection.connected
  }

  get waitingBytes(): number {
    return this.#connection.outbox.unsent
  }

  get stale(): boolean {
    return this.#connection.reused && !this.begun && this.#partial === undefined
  }

  // === the request

  accepts(): boolean {
    return true
  }

  begin(request: CallRequest, tenant: string): void {
    const { endpoint, outbox } = this.#connection
    this.#requestBody.begin(outbox, request.kind === BODY_CHUNKED)
    if (request.version === 2 && request.upgrade === WEBSOCKET)
      this.#webSocketKey = randomBytes(16).toString('base64')
    const lines = this.#webSocketKey === '' ? '' : keyLines(this.#webSocketKey, request)
    const { apiKeyHeader } = this.#context.fields
    outbox.text(requestHeadText(request, { tenant, endpoint, apiKeyHeader, lines }))
  }

  data(bytes: Buffer, start: number, end: number, lender: Lender): void {
    this.#requestBody.data(bytes, start, end, lender)
  }

  lastData(bytes: Buffer, start: number, end: number, lender: Lender): void {
    this.#requestBody.data(bytes, start, end, lender)
  }

  end(trailers: MessageFields): void {
    this.#requestBody.end(trailers)
  }

  endTunnel(): void {
    this.#connection.end()
  }

  flush(): boolean {
    return this.#connection.flush()
  }

  // === the answer

  /** Reads on with `bytes[0, length)`, which are memory of the connection. */
  read(bytes: Buffer, length: number): number {
    this.input = bytes
    this.inputEnd = length
    this.position = 0
    this.#lender = this.#connection.inbox
    if (this.#partial !== undefined) this.#prepend(this.#partial)
    while (this.position < this.inputEnd && !this.done) {
      const next = this.begun ? this.#readBody() : this.#readHead()
      if (next < 0) return ANSWER_MALFORMED
      if (next === this.position) break
      this.position = next
      if (this.#switched) return ANSWER_SWITCHED
    }
    return this.done ? ANSWER_DONE : ANSWER_MORE
  }

  /** Whose memory `input`, or what arrives, is in. */
  get memory(): Lender {
    return this.#lender
  }

  /** Of an answer that is whole. */
  get trailers(): MessageFields {
    this.#trailers.setLines(this.#body.trailers)
    return this.#trailers
  }

  #prepend(partial: Buffer): void {
    this.input = Buffer.concat([partial, this.input.subarray(0, this.inputEnd)])
    this.inputEnd = this.input.length
    this.#lender = OWN_MEMORY
    this.#partial = undefined
  }

  /** Position behind the head, the same position where more is needed, or a negative number. */
  #readHead(): number {
    const head = this.#context.responseHead
    const { method } = this.#request
    const next = head.read(this.input, this.position, this.inputEnd, method === 'HEAD')
    if (next === INCOMPLETE) {
      this.#partial = Buffer.from(this.input.subarray(this.position, this.inputEnd))
      return this.position
    }
    return next !== INVALID && this.#acceptHead(head) ? next : -1
  }

  #acceptHead(head: ResponseHead): boolean {
    const answer = this.#answer
    answer.takeHead(head)
    if (opensTunnel(this.#request.method, head.status)) return this.#switch(head)
    if (head.status < 200) return this.#takeInterim(answer)
    this.begun = true
    this.#body.begin(head.kind, head.length)
    this.done = this.#body.done
    this.reusable =
      head.kind !== BODY_UNTIL_CLOSE &&
      (head.minor === 1 ? !head.connection.close : head.connection.keepAlive)
    this.#keepAlive = head.fields.values[SLOT.keepAlive] as string
    this.#call.answerBegins(answer)
    return true
  }

  /** False where there are so many that they are nothing but a flood. */
  #takeInterim(answer: CallAnswer): boolean {
    const now = this.#context.clock.monotonic()
    if (this.#interims === 0) this.#interimsSince = now
    this.#interims++
    if (this.#interims > INTERIM_BURST + (now - this.#interimsSince) / INTERIM_MS) return false
    this.#call.answerInterim(answer)
    return true
  }

  #switch(head: ResponseHead): boolean {
    // RFC 9110 §9.3.6 has a client ignore them. One that does not would take the first bytes of the tunnel for the body.
    if (head.status !== 101 && (head.fields.seen & FRAMING_BITS) !== 0) return false
    if (this.#webSocketKey !== '' && !this.#agreesToWebSocket()) return false
    this.#switched = this.#call.answerSwitches(this.#answer)
    return this.#switched
  }

  /** RFC 6455 §4.2.2; a client of HTTP/2 has no key to check it by. */
  #agreesToWebSocket(): boolean {
    const { fields } = this.#answer
    const { list } = fields
    const accept = list.find(({ name }) => name === 'sec-websocket-accept')
    fields.setList(list.filter(field => field !== accept))
    return accept?.value === acceptOf(this.#webSocketKey)
  }

  #readBody(): number {
    const body = this.#body
    const next = body.read(this.input, this.position, this.inputEnd, this.#sink)
    if (body.error !== undefined) return -1
    this.done = body.done
    return next
  }

  readonly #sink: BodySink = {
    bodyData: (bytes, start, end) => {
      if (this.#body.done) this.#call.answer.lastData(bytes, start, end, this.#lender)
      else this.#call.answer.data(bytes, start, end, this.#lender)
    },
  }

  /** An answer of a known length ends with its last octet. */
  endUnsaid(): boolean {
    return false
  }

  endByClose(): boolean {
    if (!this.begun || this.done || !this.#body.mayClose) return false
    this.done = true
    return true
  }

  pause(): void {
    this.#connection.pause()
  }

  resume(): void {
    this.#connection.resume()
  }

  staySmall(): void {
    this.#connection.inbox.staySmall()
  }

  letGo(whole: boolean): void {
    const connection = this.#connection
    if (whole && this.reusable) {
      this.#pool.release(connection, this.#context.clock.monotonic(), this.#keepAlive)
      return
    }
    connection.user = undefined
    connection.destroy()
  }

  closed(): void {}

  /** Ends the connection: it is of no use any more. */
  destroy(): void {
    this.#connection.destroy()
  }

  blame(code: ErrorCode, answered: boolean): void {
    this.#connection.blame(code, answered)
  }
}
