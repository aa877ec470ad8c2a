/**
 * A downstream connection that speaks HTTP/1.1: reads calls off the socket, one after the other, and gives each to the
 * exchange. Pipelined calls wait in a bounded buffer and are answered in order (RFC 9112 §9.3.2).
 * It owns the socket from its construction on.
 */
import { INCOMPLETE, INVALID } from '../../../codec/http1/field-section.ts'
import { PipelineCounter } from '../../../codec/http1/pipeline.ts'
import type { RequestHead } from '../../../codec/http1/request-head.ts'
import type { ErrorCode } from '../../../core/errors.ts'
import { SocketHandle } from '../../../runtime/socket-handle.ts'
import { Inbox, type Receiver } from '../../wire/inbox.ts'
import { type Lender, Outbox, OWN_MEMORY, type Sender } from '../../wire/outbox.ts'
import type { WorkerContext } from '../../worker/context.ts'
import type { CallTraffic } from '../call-account.ts'
import { CallWatch, type Waiting, type WatchedCaller } from '../call-watch.ts'
import type { Caller } from '../caller.ts'
import { ConnectionAccount, type Downstream, isDraining } from '../downstream.ts'
import type { Exchange } from '../exchange.ts'
import { OriginMemo } from '../origin-memo.ts'
import { type RateGuard, readerGuard } from '../rate-guard.ts'
import { PAUSED_BY, ReadPauses } from '../read-pauses.ts'
import { Http1AnswerWriter } from './http1-answer.ts'
import { Penalty } from './penalty.ts'

/** Bytes that may wait behind a call that is under way, or twice the largest head; beyond that the socket is not read. */
const MAX_WAITING_BYTES = 64 * 1024
/** How long a peer to which all has been sent may take to close before the socket is closed for good (RFC 9112 §9.6). */
const LINGER_MS = 1_000

const EMPTY = Buffer.alloc(0)

/** Where a worker has its connections, to end them with it. */
export interface OpenConnections {
  add(connection: Http1Connection): unknown
  delete(connection: Http1Connection): unknown
}

export class Http1Connection implements Caller, WatchedCaller, CallTraffic, Receiver, Sender {
  readonly downstream: Downstream
  readonly context: WorkerContext
  readonly inbox: Inbox
  readonly outbox: Outbox
  readonly account: ConnectionAccount
  readonly origin: OriginMemo
  readonly watch: CallWatch
  readonly answer: Http1AnswerWriter
  /** Of the call that is under way, or the idle one. */
  #exchange: Exchange
  /** Bytes of calls that were used, since the beginning. */
  receivedBytes = 0
  #calls = 0
  readonly #head: RequestHead
  /** More than a head may have: one that is not complete yet never stops the reading that completes it. */
  readonly #mostWaiting: number
  /** `#input[#at, #end)` is not used yet. */
  #input: Buffer = EMPTY
  #at = 0
  #end = 0
  /** Whether `#input` is memory of the inbox, and so only valid until this arrival has been dealt with. */
  #borrowed = false
  #pumping = false
  /** Made when input waits for the first time. */
  #pipeline: PipelineCounter | undefined
  /** Whether more calls came than may wait: those that may are still answered. */
  #overflowed = false
  /** No further call is read. */
  #ending = false
  /** Everything that arrives is thrown away. */
  #lingering = false
  #inputEnded = false
  #closed = false
  readonly #open: OpenConnections
  /** Of a client that does not read; made when there is such a thing. */
  #readGuard: RateGuard | undefined
  /** Of what its tenant keeps for slow peers: the input that waited when that was last looked at. */
  #heldInput = 0
  readonly #pauses: ReadPauses
  /** Made with the first call that is one too many of those with a bad credential. */
  #penalty: Penalty | undefined

  /** It is in `open` for as long as its socket is. */
  constructor(context: WorkerContext, downstream: Downstream, open: OpenConnections) {
    this.context = context
    this.downstream = downstream
    this.inbox = new Inbox(context.readBuffers, this)
    this.outbox = new Outbox(context.turnWrites, downstream.socket, this)
    this.outbox.attach(SocketHandle.of(downstream.socket))
    this.account = new ConnectionAccount(context, downstream, context.meter.connection)
    this.#head = downstream.trusted ? context.trustedRequestHead : context.requestHead
    this.#exchange = context.exchanges.idle
    this.#mostWaiting = Math.max(MAX_WAITING_BYTES, 2 * context.caps.headBytes)
    this.origin = new OriginMemo(downstream, { received: '1.1', pseudonym: context.pseudonym })
    this.watch = new CallWatch(this)
    this.#pauses = new ReadPauses(this.inbox, this.watch)
    this.answer = new Http1AnswerWriter(this.outbox)
    this.#open = open
    open.add(this)
    const { socket } = downstream
    socket.on('end', () => this.#receivedEnd())
    // Whoever accepted it listens for its errors; what went wrong does not matter any more, 'close' follows and cleans up.
    socket.on('close', () => this.#socketClosed())
    this.watch.wait('idle', this.#idleTime)
  }

  /** Is its own traffic: one call at a time. */
  get traffic(): CallTraffic {
    return this
  }

  get sentBytes(): number {
    return this.outbox.total
  }

  readonly protocol = 'http/1.1'
  /** They are the connection's, whose tenant they are counted for. */
  readonly waitingBytes = 0

  get unsentBytes(): number {
    return this.outbox.unsent
  }

  get exchange(): Exchange {
    return this.#exchange
  }

  get blocked(): boolean {
    return this.outbox.blocked
  }

  get pausedByPace(): boolean {
    return this.#pauses.has(PAUSED_BY.pace)
  }

  get pausedByUpstream(): boolean {
    return this.#pauses.has(PAUSED_BY.upstream)
  }

  heldUp(): void {
    this.#countWaiting()
    if (!this.#exchange.tunnelling) this.#watchReader()
    this.#exchange.downstreamHeldUp()
  }

  drained(): void {
    this.context.clock.refresh()
    this.#readGuard?.stop()
    this.#countWaiting()
    this.#exchange.downstreamDrained()
    this.pump()
  }

  /** Begins to read; `first` is what detection has read before the connection was made. */
  start(first: Buffer | undefined): void {
    if (first !== undefined) {
      this.#input = first
      this.#end = first.length
      this.pump()
    }
    const { socket } = this.downstream
    this.inbox.attach(socket, this.outbox.handle)
    // Whoever has read the first bytes has seen the end behind them, and nobody sees it twice.
    if (socket.readableEnded) this.#receivedEnd()
  }

  received(bytes: Buffer, length: number): boolean {
    const { clock, turnWrites } = this.context
    clock.arrived(turnWrites)
    if (this.#lingering) return true
    // What was read ahead may still come: behind a gap no call may be answered.
    if (this.#overflowed) return false
    if (this.#exchange.tunnelling) {
      this.receivedBytes += length
      this.#exchange.tunnelFromDownstream(bytes, 0, length, this.inbox)
      return !this.paused
    }
    if (this.#waitingBytes() === 0) {
      this.#input = bytes
      this.#at = 0
      this.#end = length
      this.#borrowed = true
    } else this.#append(bytes.subarray(0, length))
    this.pump()
    if (this.#borrowed) this.#keepRest()
    return !this.paused
  }

  /** Whose memory `#input` is. */
  #lender(): Lender {
    return this.#borrowed ? this.inbox : OWN_MEMORY
  }

  #waitingBytes(): number {
    return this.#end - this.#at
  }

  #append(bytes: Buffer): void {
    this.#input = Buffer.concat([this.#input.subarray(this.#at, this.#end), bytes])
    this.#at = 0
    this.#end = this.#input.length
  }

  /** What this arrival leaves behind is copied: its memory is read into next. */
  #keepRest(): void {
    this.#borrowed = false
    this.#input =
      this.#at < this.#end ? Buffer.from(this.#input.subarray(this.#at, this.#end)) : EMPTY
    this.#at = 0
    this.#end = this.#input.length
  }

  #dropInput(): void {
    this.#input = EMPTY
    this.#at = 0
    this.#end = 0
  }

  /** Uses the input as far as the exchange lets it. Also called by the exchange when it can go on. */
  pump(): void {
    if (this.#pumping || this.#closed) return
    this.#pumping = true
    while (this.#at < this.#end && this.#step());
    this.#pumping = false
    // What was kept of an arrival is not kept any longer.
    if (this.#at === this.#end && !this.#borrowed) this.#dropInput()
    if (this.#closed) return
    if (!this.#exchange.active) this.#giveExchangeBack()
    this.#exchange.flushUpstream()
    this.flush()
    this.#boundWaiting()
    if (this.#waitingBytes() !== this.#heldInput) this.#countWaiting()
    if (this.#overflowed && this.#waitingBytes() === 0 && !this.#exchange.active && !this.#ending) {
      this.reject('too_many_pipelined', true)
      return
    }
    if (this.#inputEnded && this.#waitingBytes() === 0) this.#exchange.downstreamEnded()
    if (!this.#exchange.active && (this.#ending || this.#endOfInput())) this.#finish()
  }

  /** Its call is over, and no event of it can come any more. */
  #giveExchangeBack(): void {
    const { exchanges } = this.context
    if (this.#exchange === exchanges.idle) return
    exchanges.give(this.#exchange)
    this.#exchange = exchanges.idle
  }

  #countWaiting(): void {
    const { blocked, unsent } = this.outbox
    this.#heldInput = this.#waitingBytes()
    this.account.holds((blocked ? unsent : 0) + this.#heldInput)
  }

  /** What waits behind a call is bounded in calls and in bytes; what comes beyond that is not read. */
  #boundWaiting(): void {
    if (this.#at < this.#end && this.#exchange.holdsBackCalls) {
      this.#pipeline ??= new PipelineCounter(this.#head, this.context.config.http1.maxPipelined)
      const allowed = this.#pipeline.overflow(this.#input, this.#at, this.#end)
      if (allowed >= 0) {
        this.#overflowed = true
        this.#end = allowed
      }
    }
    this.#pauses.set(PAUSED_BY.input, this.#overflowed || this.#waitingBytes() >= this.#mostWaiting)
  }

  /** Whether the client has said all, and all of it has been used as far as it can be. */
  #endOfInput(): boolean {
    return this.#inputEnded && (this.#waitingBytes() === 0 || !this.#nextCallWaits())
  }

  /** A client that does not read its answers gets no further ones. */
  #nextCallWaits(): boolean {
    return this.outbox.blocked || this.#pauses.has(PAUSED_BY.penalty)
  }

  /** One step over the input; false where it has to wait. */
  #step(): boolean {
    if (this.#lingering) {
      this.#dropInput()
      return false
    }
    const exchange = this.#exchange
    if (exchange.tunnelling) {
      this.receivedBytes += this.#waitingBytes()
      exchange.tunnelFromDownstream(this.#input, this.#at, this.#end, this.#lender())
      this.#dropInput()
      return false
    }
    if (exchange.active) {
      if (!exchange.wantsBody) return false
      const used = exchange.readBody(this.#input, this.#at, this.#end, this.#lender())
      this.#consume(used)
      exchange.bodyRead()
      return used > 0
    }
    return !this.#ending && !this.#nextCallWaits() && this.#readHead()
  }

  #readHead(): boolean {
    const head = this.#head
    const start = this.#at
    const end = head.read(this.#input, start, this.#end)
    if (end === INVALID) {
      this.reject(head.error, true)
      return false
    }
    if (end === INCOMPLETE) {
      if (this.watch.waiting !== 'header')
        this.watch.wait('header', this.context.config.timeouts.header)
      return false
    }
    this.#consume(end - start)
    this.#calls++
    this.#pipeline?.begun()
    const { exchanges } = this.context
    if (this.#exchange === exchanges.idle) this.#exchange = exchanges.take(this)
    this.#exchange.request.take(head)
    const { connection, minor } = head
    this.#exchange.begin(end - start, minor === 1 ? !connection.close : connection.keepAlive)
    return true
  }

  #consume(bytes: number): void {
    this.#pipeline?.used(bytes)
    this.receivedBytes += bytes
    this.#at += bytes
  }

  /** Sends what the outbox holds; false where more should wait until it has drained. */
  flush(): boolean {
    if (this.outbox.flush()) return true
    this.#countWaiting()
    if (!this.#exchange.tunnelling) this.#watchReader()
    return false
  }

  #watchReader(): void {
    this.#readGuard ??= readerGuard(this.context, this.outbox, () => this.#readTooSlow())
    this.#readGuard.watch()
  }

  #readTooSlow(): void {
    if (this.#exchange.active) this.#exchange.fail('read_too_slow')
    else this.#count('read_too_slow')
    this.destroy()
  }

  late(what: Waiting): void {
    const { socket } = this.downstream
    if (what === 'header') this.reject('header_timeout', true)
    else if (what === 'penalty') this.#penalty?.served()
    else if (what === 'idle' && isDraining(this)) this.#endResting()
    else socket.destroy()
  }

  #count(code: ErrorCode): void {
    this.context.stats.rejected(code, this.downstream.listener.index)
    this.account.blame(code)
  }

  /** Answers a message that never became a call. */
  reject(code: ErrorCode, close: boolean): void {
    this.#count(code)
    const answer = { requestId: '', close, head: false, grpc: false }
    this.answer.refuse(code, answer)
    this.#dropInput()
    this.#ending = true
    this.flush()
    if (!this.#pumping) this.#finish()
  }

  /** HTTP/1.1 has no words beside the answer. */
  lastWord(): void {}

  endConnection(): void {
    this.#ending = true
  }

  /** The next call is read later; what is left of this one is read now. */
  penalize(): void {
    this.#penalty ??= new Penalty({
      source: this.downstream.source,
      turns: this.context.penaltyTurns,
      pauses: this.#pauses,
      watch: this.watch,
      over: () => {
        this.watch.wait('idle', this.#idleTime)
        this.pump()
      },
    })
    this.#penalty.incur()
  }

  /** The exchange is through with its call. */
  callDone(keepAlive: boolean): void {
    this.watch.endPace()
    if (!keepAlive) this.#ending = true
    if (this.#ending) {
      if (!this.#pumping) this.pump()
      return
    }
    if (this.#penalty?.begins() !== true) this.watch.wait('idle', this.#idleTime)
    this.inbox.sate()
    if (!this.#pumping) this.pump()
  }

  /** Ends the connection politely: what was sent still arrives, what is received is thrown away. */
  #finish(): void {
    if (this.#lingering || this.#closed) return
    this.#lingering = true
    this.#dropInput()
    // A peer that is slow to read the last answer is not idle before it has it.
    this.watch.wait('linger', this.context.config.timeouts.idle)
    this.outbox.end(() => {
      if (!this.#closed) this.watch.wait('linger', LINGER_MS)
    })
    // Closing with unread bytes in the kernel would reset the connection, and with it an answer that is under way.
    if (!this.#inputEnded) this.inbox.resume()
  }

  /** The deployment has ended an upgraded connection: what it sent last still arrives. */
  endTunnel(): void {
    this.#ending = true
    this.flush()
    this.#finish()
  }

  /** Ends the connection at once: an answer could not be finished, and the client must notice. */
  destroy(): void {
    this.outbox.cut()
  }

  /**
   * The worker is shutting down. A call that is on its way to a connection that closes would be lost, so one that rests waits
   * for it a moment longer; whatever is answered from now on says that the connection closes.
   */
  drain(): void {
    if (this.watch.waiting === 'idle') this.watch.wait('idle', this.#idleTime)
  }

  get calls(): Exchange[] {
    return this.#exchange.active ? [this.#exchange] : []
  }

  get #idleTime(): number {
    const { config } = this.context
    const draining = isDraining(this)
    return draining ? Math.min(config.drain.idle, config.timeouts.idle) : config.timeouts.idle
  }

  get kind(): 'calls' | 'tunnel' {
    return this.#exchange.tunnelling ? 'tunnel' : 'calls'
  }

  /** An idle connection ends, a call goes on and is the last one. */
  #endResting(): void {
    this.#ending = true
    if (!this.#exchange.active && this.#waitingBytes() === 0) this.#finish()
  }

  /** Where the connection is meant for nobody any more, the running call is the last one. */
  directoryChanged(): void {
    const { evidence } = this.downstream
    evidence.resolve(this.context.authenticator.directory)
    if (evidence.stranded) this.#endResting()
  }

  upstreamFree(): void {
    this.#exchange.paceOver()
  }

  pauseForUpstream(paused: boolean): void {
    if (this.#pauses.set(PAUSED_BY.upstream, paused)) this.#exchange.bytesWait()
  }

  pauseForPace(paused: boolean): void {
    if (this.#pauses.set(PAUSED_BY.pace, paused) && paused) this.inbox.staySmall()
  }

  get paused(): boolean {
    return this.#pauses.any
  }

  #receivedEnd(): void {
    this.#inputEnded = true
    // What came before the end may still wait for its turn; behind half a head there is nobody to answer.
    this.pump()
  }

  #socketClosed(): void {
    if (this.#closed) return
    this.#closed = true
    this.context.clock.refresh()
    this.watch.close()
    this.#penalty?.close()
    this.#readGuard?.stop()
    this.#exchange.abort('client_closed')
    this.#giveExchangeBack()
    this.account.close({ protocol: 'HTTP/1', traffic: this, calls: this.#calls })
    this.inbox.close()
    this.#dropInput()
    this.#open.delete(this)
  }

  get closed(): boolean {
    return this.#closed
  }
}
