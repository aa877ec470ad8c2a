/**
 * A downstream connection that speaks HTTP/2: gives each stream to a caller of its own, whose call is routed by itself, so
 * that the streams of one connection may belong to many tenants. It owns the socket from its construction on.
 */
import { ENHANCE_YOUR_CALM } from '../../../codec/http2/frame.ts'
import type { HeaderField } from '../../../codec/http2/header-field.ts'
import type { RequestSection } from '../../../codec/http2/request-section.ts'
import { type ServerEvents, ServerSession } from '../../../codec/http2/server-session.ts'
import type { Http2Stream } from '../../../codec/http2/stream.ts'
import { ERRORS, type ErrorCode } from '../../../core/errors.ts'
import { Timer } from '../../../core/timer-wheel.ts'
import { SocketHandle } from '../../../runtime/socket-handle.ts'
import { Inbox, type Receiver } from '../../wire/inbox.ts'
import { KEEP_ALIVE_PING, KeepAlive, type WatchedPeer } from '../../wire/keep-alive.ts'
import { Outbox, type Sender } from '../../wire/outbox.ts'
import { SessionTransport } from '../../wire/session-transport.ts'
import type { WorkerContext } from '../../worker/context.ts'
import { ConnectionAccount, type Downstream, isDraining } from '../downstream.ts'
import type { Exchange } from '../exchange.ts'
import { OriginMemo } from '../origin-memo.ts'
import { type RateGuard, readerGuard } from '../rate-guard.ts'
import { Farewell } from './farewell.ts'
import { HeadWatch } from './head-watch.ts'
import { refuseHead } from './http2-answer.ts'
import { Http2Caller } from './http2-caller.ts'

/** How long a peer to which all has been sent may take to close before the socket is closed for good. */
const LINGER_MS = 1_000
/** Heads of answers, and frames that answer others, of a client that does not read; beyond that it is not read, either. */
const MOST_UNREAD_BYTES = 64 * 1024

/** Where a worker has its connections, to end them with it. */
export interface OpenHttp2Connections {
  add(connection: Http2Connection): unknown
  delete(connection: Http2Connection): unknown
}

export class Http2Connection implements ServerEvents<Http2Caller>, Receiver, Sender, WatchedPeer {
  readonly context: WorkerContext
  readonly downstream: Downstream
  readonly account: ConnectionAccount
  readonly origin: OriginMemo
  readonly session: ServerSession<Http2Caller>
  readonly transport: SessionTransport<Http2Caller>
  readonly #inbox: Inbox
  readonly #outbox: Outbox
  readonly #open: OpenHttp2Connections
  readonly #timer = new Timer(this)
  readonly #keepAlive: KeepAlive
  readonly #farewell: Farewell
  readonly #heads: HeadWatch
  /** Callers with a call, each at its `place`: a set would hash them in and out with every call. */
  readonly #callers: Http2Caller[] = []
  /** Those whose call is over, until the end of this turn's work; and those that wait for one. */
  readonly #done: Http2Caller[] = []
  readonly #free: Http2Caller[] = []
  /** Of a client that does not read; made when there is such a thing. */
  #readGuard: RateGuard | undefined
  /** Why the connection is given up, where it is not for what its frames say. */
  #reason: ErrorCode | undefined
  /** Octets that came, of streams and of the connection. */
  #received = 0
  #ending = false
  #lingering = false
  #closed = false

  /** It is in `open` for as long as its socket is. */
  constructor(context: WorkerContext, downstream: Downstream, open: OpenHttp2Connections) {
    const { socket } = downstream
    this.context = context
    this.downstream = downstream
    this.#open = open
    this.account = new ConnectionAccount(context, downstream, context.meter.connection)
    this.origin = new OriginMemo(downstream, { received: '2', pseudonym: context.pseudonym })
    this.#inbox = new Inbox(context.readBuffers, this)
    this.#outbox = new Outbox(context.turnWrites, socket, this)
    this.#outbox.attach(SocketHandle.of(socket))
    this.session = new ServerSession(this, context.clock.monotonic(), context.http2.downstream)
    this.transport = new SessionTransport(context.turnWrites, this.#outbox, this.session, this)
    const { pingInterval, pingTimeout, maxConnectionAge, maxConnectionStreams } =
      context.config.http2
    this.#keepAlive = new KeepAlive(context, this, { interval: pingInterval, timeout: pingTimeout })
    this.#farewell = new Farewell(context, this.session, {
      timeout: pingTimeout,
      age: maxConnectionAge,
      streams: maxConnectionStreams,
      moved: () => this.#farewellMoved(),
    })
    this.#heads = new HeadWatch(context, this.session, {
      time: context.config.timeouts.header,
      late: () => this.#giveUp('header_timeout'),
    })
    open.add(this)
    socket.on('end', () => this.#clientEnded())
    // Whoever accepted it listens for its errors; what went wrong does not matter any more, 'close' follows and cleans up.
    socket.on('close', () => this.#socketClosed())
    const { drain, timeouts } = context.config
    this.#wait(isDraining(this) ? drain.idle : timeouts.idle)
  }

  /** Begins to read; `first` is what detection has read before the connection was made. */
  start(first?: Buffer): void {
    this.transport.touch()
    if (first === undefined) this.#heads.look()
    else this.received(first, first.length)
    if (!this.#closed) this.#inbox.attach(this.downstream.socket, this.#outbox.handle)
  }

  received(bytes: Buffer, length: number): boolean {
    const { clock, turnWrites } = this.context
    clock.arrived(turnWrites)
    this.#received += length
    if (this.#lingering) return true
    const now = clock.monotonic()
    this.#keepAlive.heard(now)
    this.session.receive(bytes, now, length)
    this.transport.touch()
    this.#heads.look()
    return !this.#outbox.blocked || this.session.waiting < MOST_UNREAD_BYTES
  }

  heldUp(): void {
    this.account.holds(this.#waitingBytes)
    this.#readGuard ??= readerGuard(this.context, this.#outbox, () => this.#readTooSlow())
    this.#readGuard.watch()
  }

  drained(): void {
    this.context.clock.refresh()
    this.#readGuard?.stop()
    this.transport.drained()
    this.account.holds(this.#waitingBytes)
    this.#inbox.resume()
  }

  /** Frames that the client does not take for now. */
  get #waitingBytes(): number {
    return this.#outbox.blocked ? this.#outbox.unsent + this.session.waiting : 0
  }

  get audible(): boolean {
    return !this.#outbox.blocked
  }

  ping(): void {
    this.session.ping(KEEP_ALIVE_PING)
    this.transport.touch()
  }

  vanished(): void {
    this.#count('ping_timeout')
    this.destroy()
  }

  #readTooSlow(): void {
    this.#count('read_too_slow')
    this.destroy()
  }

  #count(code: ErrorCode): void {
    this.context.stats.rejected(code, this.downstream.listener.index)
    this.account.blame(code)
  }

  // === streams

  request(
    stream: Http2Stream<Http2Caller>,
    section: RequestSection | undefined,
    endStream: boolean,
  ): void {
    if (section === undefined) {
      this.#refuseLargeHead(stream)
      return
    }
    const caller = this.#free.pop() ?? this.#createCaller()
    this.context.wheel.suspend(this.#timer)
    caller.place = this.#callers.push(caller) - 1
    stream.owner = caller
    caller.begin(stream, section, endStream)
    const { overload } = this.context
    if (isDraining(this)) this.#farewell.begin()
    else if (overload.stopsKeepAlive && overload.endsConnectionOf(this.account.runtime))
      this.drain()
    this.#farewell.began(this.session.begun)
  }

  #createCaller(): Http2Caller {
    const { evidence } = this.downstream
    return new Http2Caller(this, { ...this.downstream, evidence: evidence.another() })
  }

  /** Nobody knows whose call it is. */
  #refuseLargeHead(stream: Http2Stream<Http2Caller>): void {
    this.#count('head_too_large')
    refuseHead(this.session, stream)
  }

  malformed({ error }: RequestSection): void {
    this.#count(error)
  }

  // oxlint-disable-next-line eslint/max-params -- as the session tells it: no object a frame
  data(
    stream: Http2Stream<Http2Caller>,
    bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
  ): void {
    if (stream.owner === undefined) this.session.consumed(stream, end - start)
    else stream.owner.data(bytes, start, end, endStream)
  }

  trailers(stream: Http2Stream<Http2Caller>, fields: readonly HeaderField[]): void {
    stream.owner?.trailers(fields)
  }

  ended(stream: Http2Stream<Http2Caller>): void {
    stream.owner?.ended()
  }

  reset(stream: Http2Stream<Http2Caller>, _code: number, isFault: boolean): void {
    stream.owner?.reset(isFault ? 'http2_invalid' : 'client_closed')
  }

  writable(stream: Http2Stream<Http2Caller>): void {
    stream.owner?.writable()
  }

  goingAway(): void {}

  pong(octets: Buffer): void {
    this.#farewell.ponged(octets)
  }

  /** What the client sent ends the connection; GOAWAY says why. */
  failed(code: number): void {
    const reason = this.#reason ?? (code === ENHANCE_YOUR_CALM ? 'http2_flood' : 'http2_invalid')
    this.#count(reason)
    this.#finish(LINGER_MS)
  }

  #giveUp(reason: ErrorCode): void {
    this.#reason = reason
    this.session.fail(ENHANCE_YOUR_CALM, ERRORS[reason].title)
  }

  /** Its stream is over; its exchange may still be at its last step. */
  callerDone(caller: Http2Caller): void {
    const last = this.#callers.pop() as Http2Caller
    if (last !== caller) {
      this.#callers[caller.place] = last
      last.place = caller.place
    }
    if (this.#done.push(caller) === 1) queueMicrotask(this.#recycleDone)
  }

  readonly #recycleDone = (): void => {
    let caller = this.#done.pop()
    for (; caller !== undefined; caller = this.#done.pop()) this.#recycle(caller)
    if (this.#callers.length > 0 || this.#closed) return
    if (this.#ending) this.#finish()
    else this.#wait(this.context.config.timeouts.idle)
  }

  #recycle(caller: Http2Caller): void {
    const { exchanges } = this.context
    exchanges.give(caller.exchange)
    caller.exchange = exchanges.idle
    if (caller.reusable && !this.#closed) this.#free.push(caller)
    else caller.watch.close()
  }

  // === the connection

  #wait(ms: number): void {
    this.context.wheel.arm(this.#timer, ms, this.context.clock.monotonic())
  }

  /** It was idle for too long, or the client does not close what was ended. */
  timerExpired(): void {
    if (this.#lingering) this.downstream.socket.destroy()
    else if (this.#callers.length === 0) this.drain()
  }

  /** The client sends no more: requests that are whole are still answered, and half of one has no meaning. */
  #clientEnded(): void {
    for (const caller of this.#callers.slice()) caller.clientEnded()
    this.#end()
  }

  /** No more streams begin: the connection is closed behind those that there are. */
  #end(): void {
    this.#ending = true
    if (this.#callers.length === 0) this.#finish()
  }

  /** Ends the connection politely: what was written still arrives, where the client takes it within `patienceMs`. */
  #finish(patienceMs = this.context.config.timeouts.idle): void {
    if (this.#lingering || this.#closed) return
    this.#lingering = true
    this.#keepAlive.close()
    this.#farewell.close()
    this.#heads.close()
    // Before the end: of a stream that is given up something may be said, and behind the end nothing can be.
    this.#loseCallers()
    this.transport.sendLast()
    this.#wait(patienceMs)
    this.#outbox.end(() => {
      if (!this.#closed) this.#wait(LINGER_MS)
    })
    this.#inbox.resume()
  }

  /** Each takes itself out of the list. */
  #loseCallers(): void {
    const callers = this.#callers.slice()
    for (const caller of callers) caller.lost()
  }

  /** The worker is shutting down, or the connection was idle for too long: no further streams, those that are there go on. */
  drain(): void {
    this.#farewell.begin()
    this.transport.touch()
  }

  get calls(): Exchange[] {
    return this.#callers.map(({ exchange }) => exchange).filter(({ active }) => active)
  }

  get protocol(): 'h2' {
    return 'h2'
  }

  get kind(): 'calls' | 'tunnel' {
    return this.#callers.some(({ exchange }) => exchange.tunnelling) ? 'tunnel' : 'calls'
  }

  /**
   * The connection ends at once, without the round trip: streams that are on their way are the client's to send again. Not to
   * read it for a while would hold up good calls, too.
   */
  penalize(): void {
    this.#farewell.finish()
  }

  /** Once the client knows which stream is the last one, the connection ends behind it. */
  #farewellMoved(): void {
    this.transport.touch()
    if (this.#farewell.said) this.#end()
  }

  destroy(): void {
    this.#outbox.cut()
  }

  /** Where the connection is meant for nobody any more, the running calls are the last ones. */
  directoryChanged(): void {
    const { evidence } = this.downstream
    evidence.resolve(this.context.authenticator.directory)
    if (evidence.stranded) this.drain()
  }

  #socketClosed(): void {
    if (this.#closed) return
    this.#closed = true
    this.context.clock.refresh()
    this.context.wheel.cancel(this.#timer)
    this.#readGuard?.stop()
    this.#keepAlive.close()
    this.#farewell.close()
    this.#heads.close()
    this.session.abandon()
    this.#loseCallers()
    for (const caller of this.#free) caller.watch.close()
    this.#free.length = 0
    this.account.close({
      protocol: 'HTTP/2',
      traffic: { receivedBytes: this.#received, sentBytes: this.#outbox.total },
      calls: this.session.begun,
    })
    this.#inbox.close()
    this.#open.delete(this)
  }
}
