/**
 * One stream of a client's HTTP/2 connection, as the exchange of its call sees it. One object serves many streams of its
 * connection, one after the other.
 */
import { Gathered } from '../../../codec/gathered.ts'
import { INTERNAL_ERROR, NO_ERROR } from '../../../codec/http2/frame.ts'
import type { HeaderField } from '../../../codec/http2/header-field.ts'
import type { RequestSection } from '../../../codec/http2/request-section.ts'
import type { Http2Stream } from '../../../codec/http2/stream.ts'
import { BORROWED_MEMORY } from '../../wire/outbox.ts'
import type { StreamSender } from '../../wire/stream-output.ts'
import type { WorkerContext } from '../../worker/context.ts'
import type { CallTraffic } from '../call-account.ts'
import { CallWatch, type WatchedCaller } from '../call-watch.ts'
import type { Caller } from '../caller.ts'
import type { ConnectionAccount, Downstream } from '../downstream.ts'
import type { Exchange } from '../exchange.ts'
import { MessageFields, NO_FIELDS } from '../message-fields.ts'
import type { OriginMemo } from '../origin-memo.ts'
import { RateGuard } from '../rate-guard.ts'
import { FieldList } from './field-list.ts'
import { Http2AnswerWriter } from './http2-answer.ts'
import type { Http2Connection } from './http2-connection.ts'
import { SectionFields } from './section-fields.ts'

export class Http2Caller implements Caller, WatchedCaller, CallTraffic, StreamSender {
  readonly context: WorkerContext
  readonly downstream: Downstream
  readonly watch: CallWatch
  readonly answer: Http2AnswerWriter<Http2Caller>
  exchange: Exchange
  /** Where its connection has it, for as long as its stream is not over. */
  place = 0
  pausedByUpstream = false
  pausedByPace = false
  readonly #connection: Http2Connection
  #stream!: Http2Stream<Http2Caller>
  /** Whether a call of the stream is under way. */
  #serving = false
  /** The connection is gone: what was not counted was not sent. */
  #gone = false
  /** What came of the body before its deployment was reached. */
  #early: Gathered | undefined
  /** The client has said all, behind what is early. */
  #ended = false
  /** The last frame of the request has come; `ended` may be still to come. */
  #whole = false
  #trailers: MessageFields = NO_FIELDS
  #trailerSorter: SectionFields | undefined
  /** Octets that were taken while the client should rest: it may send no others for them yet. */
  #unconsumed = 0
  /** Of a client that does not take its answer; made when there is such a thing. */
  #readGuard: RateGuard | undefined

  /** `downstream` is its own, with evidence that no other call has. */
  constructor(connection: Http2Connection, downstream: Downstream) {
    this.#connection = connection
    this.context = connection.context
    this.downstream = downstream
    this.exchange = connection.context.exchanges.idle
    this.watch = new CallWatch(this)
    this.answer = new Http2AnswerWriter(connection.session, connection.transport, this)
  }

  get account(): ConnectionAccount {
    return this.#connection.account
  }

  get origin(): OriginMemo {
    return this.#connection.origin
  }

  get traffic(): CallTraffic {
    return this
  }

  get receivedBytes(): number {
    return this.#stream.received
  }

  get sentBytes(): number {
    return this.#stream.sent
  }

  get unsentBytes(): number {
    return this.#gone ? Number.POSITIVE_INFINITY : 0
  }

  get waitingBytes(): number {
    return this.answer.waiting + (this.#early?.length ?? 0)
  }

  get blocked(): boolean {
    return this.answer.heldUp
  }

  get paused(): boolean {
    return this.pausedByUpstream || this.pausedByPace
  }

  /** Whether its evidence can serve another call. */
  get reusable(): boolean {
    return !this.downstream.evidence.checking
  }

  // === what the client sends

  /** A call begins on `stream`. */
  begin(stream: Http2Stream<Http2Caller>, section: RequestSection, endStream: boolean): void {
    this.#stream = stream
    this.#serving = true
    this.#ended = endStream
    this.#whole = endStream
    this.#trailers = NO_FIELDS
    this.#unconsumed = 0
    this.pausedByUpstream = false
    this.pausedByPace = false
    this.answer.serve(stream)
    const exchange = this.context.exchanges.take(this)
    this.exchange = exchange
    exchange.request.takeSection(section, endStream)
    exchange.begin(stream.received, false)
    exchange.flushUpstream()
  }

  /** `bytes[start, end)` of the body, only valid during the call; `last`: nothing follows but `ended`. */
  data(bytes: Buffer, start: number, end: number, last: boolean): void {
    this.#whole = last
    if (!this.#serving) {
      this.#connection.session.consumed(this.#stream, end - start)
      return
    }
    if (this.#early !== undefined || !this.#takes) {
      // In one piece: many small ones would take a multiple of the memory.
      this.#early ??= new Gathered()
      this.#early.add(Buffer.from(bytes.subarray(start, end)))
      this.exchange.bytesWait()
      return
    }
    this.#feed(bytes, start, end, last)
    this.exchange.flushUpstream()
  }

  get #takes(): boolean {
    return this.exchange.tunnelling || this.exchange.wantsBody
  }

  #feed(bytes: Buffer, start: number, end: number, last: boolean): void {
    const { exchange } = this
    this.#unconsumed += end - start
    if (exchange.tunnelling) {
      exchange.tunnelFromDownstream(bytes, start, end, BORROWED_MEMORY)
      this.#giveBack()
      return
    }
    exchange.takeBody(bytes, start, end, last)
    // Before it is counted: the frame that may follow belongs to the call.
    this.#giveBack()
    exchange.bodyRead()
  }

  /** The client may send as much again as was taken, unless it should rest. */
  #giveBack(): void {
    if (this.#unconsumed === 0 || this.paused) return
    this.#connection.session.consumed(this.#stream, this.#unconsumed)
    this.#unconsumed = 0
  }

  trailers(fields: readonly HeaderField[]): void {
    const { trusted } = this.downstream
    const table = trusted ? this.context.fields.trustedRequest : this.context.fields.request
    this.#trailerSorter ??= new SectionFields(table)
    const list = new FieldList()
    this.#trailerSorter.sort(fields, list)
    this.#trailers = new MessageFields()
    this.#trailers.setList(list.end())
  }

  /** The client has said all. */
  ended(): void {
    this.#ended = true
    this.#whole = true
    if (this.#serving && this.#early === undefined) this.#end()
  }

  #end(): void {
    const { exchange } = this
    if (exchange.tunnelling) exchange.downstreamEnded()
    else if (exchange.wantsBody) {
      exchange.endBody(this.#trailers)
      exchange.bodyRead()
    }
    exchange.flushUpstream()
  }

  /** The client has reset the stream, or it is over because of what came on it, or did not come. */
  reset(why: 'client_closed' | 'http2_invalid'): void {
    if (this.#serving) this.exchange.abort(why)
    this.#finish()
  }

  /** Nothing more comes on the connection. */
  clientEnded(): void {
    if (!this.#whole) this.reset('client_closed')
  }

  /** The connection is gone. */
  lost(): void {
    this.#gone = true
    this.reset('client_closed')
    this.watch.close()
  }

  pump(): void {
    const early = this.#early
    if (early !== undefined && this.#serving && this.#takes) {
      this.#early = undefined
      const last = this.#ended && this.#trailers === NO_FIELDS
      this.#feed(early.bytes, 0, early.length, last)
      this.exchange.bytesWait()
    }
    if (!this.#serving) return
    if (this.#ended && this.#early === undefined) this.#end()
    this.exchange.flushUpstream()
    this.#connection.transport.touch()
  }

  pauseForUpstream(paused: boolean): void {
    if (paused || this.pausedByUpstream) this.exchange.bytesWait()
    this.pausedByUpstream = paused
    this.#pauseOrResume()
  }

  pauseForPace(paused: boolean): void {
    this.pausedByPace = paused
    this.#pauseOrResume()
  }

  #pauseOrResume(): void {
    if (this.paused) this.watch.excuseUpload()
    else if (this.#unconsumed > 0) {
      this.#giveBack()
      this.streamSent()
      this.#connection.transport.touch()
    }
  }

  // === what the client gets

  flush(): boolean {
    this.#connection.transport.touch()
    if (!this.answer.heldUp) return true
    this.exchange.bytesWait()
    this.#watchReader()
    return false
  }

  #watchReader(): void {
    this.#readGuard ??= new RateGuard(this.context, this.context.config.minimumRate.response, {
      moved: () => this.#stream.sent,
      heldUp: () => false,
      tooSlow: () => this.#readTooSlow(),
    })
    this.#readGuard.watch()
  }

  /** Also what is left of a call that is over, or the stream and its connection would stay for as long as the client likes. */
  #readTooSlow(): void {
    if (this.#serving) {
      this.exchange.fail('read_too_slow')
      return
    }
    this.context.stats.rejected('read_too_slow', this.downstream.listener.index)
    this.destroy()
    this.#connection.transport.touch()
  }

  /** The windows of the client let more go. */
  writable(): void {
    this.answer.resume()
    this.#connection.transport.touch()
  }

  streamSent(): void {
    if (!this.#serving) return
    this.exchange.bytesWait()
    this.exchange.downstreamSent()
  }

  streamDrained(): void {
    this.#readGuard?.stop()
    if (this.#serving) this.exchange.downstreamDrained()
    else this.#finish()
  }

  upstreamFree(): void {
    this.exchange.paceOver()
  }

  /** A reset, where the stream is not over with the answer. */
  lastWord(whole: boolean): void {
    if (this.answer.heldUp && whole) return
    const { session } = this.#connection
    if (!whole) session.reset(this.#stream, INTERNAL_ERROR)
    // RFC 9113 §8.1: the answer is whole, and the rest of the request is not wanted.
    else if (!this.#whole || this.#stream.localOpen) session.reset(this.#stream, NO_ERROR)
  }

  endConnection(): void {
    this.#connection.drain()
  }

  penalize(): void {
    this.#connection.penalize()
  }

  callDone(): void {
    this.#serving = false
    this.watch.rest()
    // What is left of the answer still goes; the stream is over behind it.
    if (!this.answer.heldUp) this.#finish()
  }

  endTunnel(): void {
    this.callDone()
  }

  destroy(): void {
    this.#serving = false
    this.#connection.session.reset(this.#stream, INTERNAL_ERROR)
    this.#finish()
  }

  late(): void {}

  /** Nothing more happens on the stream. */
  #finish(): void {
    this.#serving = false
    this.watch.rest()
    this.#readGuard?.stop()
    this.answer.drop()
    this.#unconsumed += this.#early?.length ?? 0
    this.#early = undefined
    const stream = this.#stream
    if (stream.owner !== this) return
    stream.owner = undefined
    const { session, transport } = this.#connection
    if (this.#unconsumed > 0) session.consumed(stream, this.#unconsumed)
    this.#unconsumed = 0
    // RFC 9113 §8.1: the answer is whole, and the rest of the request is not wanted.
    if (!this.#whole || stream.localOpen) session.reset(stream, NO_ERROR)
    transport.touch()
    this.#connection.callerDone(this)
  }
}
