/** A call over one stream of an HTTP/2 connection. One object serves many calls, one after the other. */

import { isToken } from '../../../codec/http1/characters.ts'
import { BODY_NONE } from '../../../codec/http1/framing.ts'
import {
  CANCEL,
  FRAME_SIZE_ERROR,
  INTERNAL_ERROR,
  NO_ERROR,
  PROTOCOL_ERROR,
} from '../../../codec/http2/frame.ts'
import type { HeaderField } from '../../../codec/http2/header-field.ts'
import type { ResponseSection } from '../../../codec/http2/response-section.ts'
import type { Http2Stream } from '../../../codec/http2/stream.ts'
import type { ErrorCode } from '../../../core/errors.ts'
import type { DeploymentPool, PoolUser } from '../../pool/deployment-pool.ts'
import type { Endpoint } from '../../pool/endpoint.ts'
import type { Http2Upstream, StreamUser } from '../../pool/http2-upstream.ts'
import { BORROWED_MEMORY, type Lender } from '../../wire/outbox.ts'
import { StreamOutput, type StreamSender } from '../../wire/stream-output.ts'
import type { WorkerContext } from '../../worker/context.ts'
import { CallAnswer } from '../call-answer.ts'
import type { CallRequest } from '../call-request.ts'
import { fieldOf, MessageFields, NO_FIELDS } from '../message-fields.ts'
import type { AnsweredCall, UpstreamCall } from '../upstream-call.ts'
import { acceptOf, WEBSOCKET, WEBSOCKET_KEY } from '../websocket.ts'
import { FieldList } from './field-list.ts'
import { writeRequestSection } from './http2-request.ts'
import { SectionFields } from './section-fields.ts'

/** What the call hears besides its answer. */
export interface StreamedCall extends AnsweredCall, PoolUser {
  /** Whether the answer has become a tunnel. */
  readonly tunnelling: boolean
  /** What has come for now was passed on; false where the deployment should rest. */
  answerRead(): boolean
  answerEnds(trailers: MessageFields, clean: boolean): void
  /** The deployment has not looked at the call: it may be sent again. `inGoodOrder`: not because there are too many. */
  upstreamRefused(inGoodOrder: boolean): void
}

export class Http2UpstreamCall implements UpstreamCall, StreamUser, StreamSender {
  /** By REFUSED_STREAM, or GOAWAY. */
  readonly mayRefuse = true
  readonly #context: WorkerContext
  readonly #call: StreamedCall
  readonly #answer = new CallAnswer()
  readonly #sorter: SectionFields
  readonly #trailers = new MessageFields()
  readonly #output = new StreamOutput<StreamUser>(this)
  readonly #list = new FieldList()
  #upstream!: Http2Upstream
  #pool!: DeploymentPool
  #request!: CallRequest
  #stream: Http2Stream<StreamUser> | undefined
  /** Whether there is a place to give back. */
  #placed = false
  /** Whether the last answer has begun. */
  #begun = false
  #hasTrailers = false
  #paused = false
  /** Bytes that were passed on while the answer rests: the deployment may send no others for them yet. */
  #unconsumed = 0

  constructor(context: WorkerContext, call: StreamedCall) {
    this.#context = context
    this.#call = call
    this.#sorter = new SectionFields(context.fields.response)
  }

  /** The next call, or the next try of one, has a place on `upstream`. */
  use(upstream: Http2Upstream, pool: DeploymentPool, request: CallRequest): this {
    this.#upstream = upstream
    this.#pool = pool
    this.#request = request
    this.#stream = undefined
    this.#placed = true
    this.#begun = false
    this.#hasTrailers = false
    this.#paused = false
    this.#unconsumed = 0
    return this
  }

  get endpoint(): Endpoint {
    return this.#upstream.endpoint
  }

  get waitingBytes(): number {
    return this.#output.waiting
  }

  get connected(): boolean {
    return this.#upstream.connected
  }

  /** Behind other calls: a deployment may have closed the connection for being old. */
  get stale(): boolean {
    return !this.#begun && this.#upstream.session.begun > 1
  }

  // === the request

  /** RFC 8441 §3. */
  accepts({ upgrade }: CallRequest): boolean {
    if (upgrade === '') return true
    // `Upgrade` may offer several, with versions; `:protocol` is one (RFC 8441 §4, RFC 9110 §7.8).
    return isToken(upgrade) && this.#upstream.session.remote.enableConnectProtocol
  }

  begin(request: CallRequest): void {
    const upstream = this.#upstream
    const { apiKeyHeader } = this.#context.fields
    const recipient = { tenant: this.#pool.tenantField, endpoint: upstream.endpoint, apiKeyHeader }
    const section = writeRequestSection(request, recipient, this.#list)
    const whole = request.kind === BODY_NONE && !request.mayTunnel
    const stream = upstream.request(this, section, whole)
    if (stream === undefined) {
      this.#refuseLater()
      return
    }
    this.#stream = stream
    if (request.method === 'HEAD') upstream.session.expectNoBody(stream)
    if (request.mayTunnel) upstream.session.expectTunnel(stream)
    this.#output.begin(upstream.transport, stream)
  }

  /** The place was lost before it could be used. */
  #refuseLater(): void {
    const upstream = this.#upstream
    queueMicrotask(() => {
      if (this.#upstream === upstream && this.#stream === undefined)
        this.#call.upstreamRefused(true)
    })
  }

  data(bytes: Buffer, start: number, end: number, _lender: Lender): void {
    if (this.#stream?.localOpen) this.#output.write(bytes, start, end, false)
  }

  lastData(bytes: Buffer, start: number, end: number, _lender: Lender): void {
    if (this.#stream?.localOpen) this.#output.write(bytes, start, end, true)
  }

  end(trailers: MessageFields): void {
    if (this.#stream?.localOpen) this.#output.end(trailers.list)
  }

  endTunnel(): void {
    this.end(NO_FIELDS)
    this.#touch()
    queueMicrotask(() => this.#endTunnelIfOver())
  }

  /** Both sides of a tunnel have said all. */
  #endTunnelIfOver(): void {
    if (this.#stream?.closed !== true || !this.#call.tunnelling) return
    this.#over()
    this.#call.upstreamClosed('upstream_reset')
  }

  flush(): boolean {
    this.#touch()
    return !this.#output.heldUp
  }

  #touch(): void {
    if (this.#stream !== undefined) this.#upstream.transport.touch()
  }

  streamWritable(): void {
    this.#output.resume()
    this.#touch()
  }

  streamSent(): void {}

  streamDrained(): void {
    this.#call.upstreamDrained()
    this.#endTunnelIfOver()
  }

  // === the answer

  answered(section: ResponseSection, endStream: boolean): void {
    const answer = this.#answer
    answer.takeSection(section, this.#sorter, {
      toHead: this.#request.method === 'HEAD',
      endStream,
    })
    if (this.#opensTunnel(answer)) {
      if (!this.#call.answerSwitches(answer)) this.streamFaulty()
      return
    }
    if (section.status < 200) this.#call.answerInterim(answer)
    else {
      this.#begun = true
      this.#call.answerBegins(answer)
    }
    if (!endStream) this.#goOn(0)
  }

  /** A 2xx to CONNECT, which to an extended one is the 101 of HTTP/1.1 (RFC 8441 §4). */
  #opensTunnel(answer: CallAnswer): boolean {
    const { upgrade, isConnect, fields } = this.#request
    if (answer.status < 200 || answer.status > 299 || (!isConnect && upgrade === '')) return false
    if (upgrade === '') return true
    answer.status = 101
    answer.upgrade = upgrade
    const key = upgrade === WEBSOCKET ? fields.valueOf(WEBSOCKET_KEY) : ''
    if (key !== '') {
      const accept = fieldOf('sec-websocket-accept', acceptOf(key))
      answer.fields.setList([...answer.fields.list, accept])
    }
    return true
  }

  streamData(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (last && !this.#call.tunnelling)
      this.#call.answer.lastData(bytes, start, end, BORROWED_MEMORY)
    else this.#call.answer.data(bytes, start, end, BORROWED_MEMORY)
    if (last) this.#consume(end - start)
    else this.#goOn(end - start)
  }

  /** `octets` were passed on. */
  #goOn(octets: number): void {
    if (!this.#call.answerRead()) this.#paused = true
    if (octets > 0) this.#consume(octets)
  }

  #consume(octets: number): void {
    if (this.#paused) this.#unconsumed += octets
    else if (this.#stream !== undefined) this.#upstream.session.consumed(this.#stream, octets)
  }

  streamTrailers(fields: readonly HeaderField[]): void {
    const list = new FieldList()
    this.#sorter.sort(fields, list)
    this.#trailers.setList(list.end())
    this.#hasTrailers = true
  }

  streamEnded(): void {
    if (this.#call.tunnelling) {
      this.#call.upstreamEnded()
      this.#endTunnelIfOver()
    } else this.#call.answerEnds(this.#hasTrailers ? this.#trailers : NO_FIELDS, true)
  }

  streamReset(code: number, untouched: boolean): void {
    if (!untouched) {
      this.streamLost(FAULTS_OF_OURS.has(code) ? 'upstream_malformed' : 'upstream_reset')
      return
    }
    this.#over()
    // REFUSED_STREAM may mean that it has too much to do.
    this.#call.upstreamRefused(code === NO_ERROR)
  }

  streamLost(error: ErrorCode): void {
    if (this.endUnsaid(error)) return
    this.#over()
    this.#call.upstreamClosed(error)
  }

  /**
   * All octets of an answer of a known length have come, and a client of HTTP/1.1 has the whole of it: the next call on its
   * connection may be of another tenant, whom nothing has happened to.
   */
  endUnsaid(code: ErrorCode): boolean {
    const lacksOnlyEnd = this.#begun && this.#stream?.expected === 0
    if (!lacksOnlyEnd || !this.#call.answer.endsByLength) return false
    this.blame(code, true)
    this.#call.answerEnds(NO_FIELDS, false)
    return true
  }

  /** What the deployment sent is not what it may send. */
  streamFaulty(): void {
    const stream = this.#stream
    if (stream !== undefined) this.#upstream.session.reset(stream, INTERNAL_ERROR)
    this.#touch()
    this.streamLost('upstream_malformed')
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    const octets = this.#unconsumed
    this.#unconsumed = 0
    if (octets === 0) return
    this.#consume(octets)
    this.#touch()
  }

  staySmall(): void {}

  endByClose(): boolean {
    return false
  }

  letGo(whole: boolean): void {
    const stream = this.#stream
    if (stream !== undefined) {
      this.#upstream.session.reset(stream, whole ? NO_ERROR : CANCEL)
      this.#touch()
    }
    this.closed()
  }

  closed(): void {
    if (this.#placed) this.#over()
  }

  /** The stream is nobody's any more, and the place is free. */
  #over(): void {
    const stream = this.#stream
    this.#placed = false
    if (stream !== undefined) {
      stream.owner = undefined
      this.#output.drop()
      if (this.#unconsumed > 0) this.#upstream.session.consumed(stream, this.#unconsumed)
    }
    this.#stream = undefined
    this.#unconsumed = 0
    this.#pool.left(this.#call)
    this.#upstream.leave(this.#call)
  }

  blame(code: ErrorCode, answered: boolean): void {
    this.#upstream.connection.blame(code, answered)
  }
}

/** Resets by which a deployment says that we, or it, broke the protocol. */
const FAULTS_OF_OURS: ReadonlySet<number> = new Set([PROTOCOL_ERROR, FRAME_SIZE_ERROR])
