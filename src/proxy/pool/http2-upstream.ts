/**
 * A connection to a deployment that speaks HTTP/2, and the calls that share it. Like every upstream connection it belongs
 * to one tenant's pool for all its life.
 */
import { type ClientEvents, ClientSession } from '../../codec/http2/client-session.ts'
import { NO_ERROR, REFUSED_STREAM } from '../../codec/http2/frame.ts'
import type { HeaderField } from '../../codec/http2/header-field.ts'
import type { ResponseSection } from '../../codec/http2/response-section.ts'
import type { Http2Stream } from '../../codec/http2/stream.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { Timer } from '../../core/timer-wheel.ts'
import {
  KEEP_ALIVE_PING,
  KeepAlive,
  PINGS_WITHOUT_CALLS,
  spread,
  type WatchedPeer,
} from '../wire/keep-alive.ts'
import { SessionTransport } from '../wire/session-transport.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { Endpoint } from './endpoint.ts'
import type { UpstreamConnection, UpstreamUser } from './upstream-connection.ts'

/** Who waits for the connection to be made. */
export interface ConnectionWaiter {
  upstreamConnected(): void
  upstreamClosed(error: ErrorCode): void
}

/** Whose stream it is. Its last call is `streamEnded`, `streamReset` or `streamLost`. */
export interface StreamUser {
  /** An answer, in part (1xx) or for good; with `endStream` all of it. */
  answered(section: ResponseSection, endStream: boolean): void
  /** `bytes[start, end)`, only valid during the call; `last`: nothing follows but `streamEnded`. */
  streamData(bytes: Buffer, start: number, end: number, last: boolean): void
  streamTrailers(fields: readonly HeaderField[]): void
  /** The answer is whole. */
  streamEnded(): void
  /** The stream is over before its end. `untouched`: the deployment has not looked at the call. */
  streamReset(code: number, untouched: boolean): void
  /** The connection is gone. */
  streamLost(error: ErrorCode): void
  /** What waited for a larger window can go on. */
  streamWritable(): void
}

export interface Http2UpstreamObserver {
  /** There is room for another call, where there was none. */
  room(): void
  /** The deployment has not answered a PING in time. */
  vanished(): void
}

/** How long a deployment may take to close a connection that was given up. */
const LINGER_MS = 1_000

export class Http2Upstream implements UpstreamUser, ClientEvents<StreamUser>, WatchedPeer {
  readonly connection: UpstreamConnection
  /** Calls that have a place on it, waiting or under way. */
  users = 0
  readonly #context: WorkerContext
  readonly #observer: Http2UpstreamObserver
  readonly #waiters = new Set<ConnectionWaiter>()
  readonly #timer: Timer
  #session: ClientSession<StreamUser> | undefined
  #transport: SessionTransport<StreamUser> | undefined
  #keepAlive: KeepAlive | undefined
  /** No call begins on it any more. */
  #closing = false
  /** What the deployment sent has ended the session, and it is told so. */
  #givenUp = false
  /** When it is too old. */
  #wornAt = Number.POSITIVE_INFINITY
  /** Why it ended, where that is known better than from its socket. */
  #error: ErrorCode | undefined

  /** `connection` is made for it alone. */
  constructor(
    context: WorkerContext,
    connection: UpstreamConnection,
    observer: Http2UpstreamObserver,
  ) {
    this.#context = context
    this.#observer = observer
    this.connection = connection
    this.#timer = new Timer(this)
    connection.user = this
  }

  get endpoint(): Endpoint {
    return this.connection.endpoint
  }

  /**
   * The deployment has said what it takes: how many streams, and whether a tunnel may be one. Nothing was sent before
   * that, so that what does not speak HTTP/2 at all gets no call.
   */
  get connected(): boolean {
    return this.#session?.greeted === true
  }

  /** Whether it was made for one client alone; never. */
  get named(): boolean {
    return false
  }

  /** Whether another call may have a place. */
  get open(): boolean {
    if (this.#closing || !this.connection.open) return false
    if (this.users >= this.#context.config.http2.maxStreams) return false
    return !this.connected || this.session.open
  }

  get transport(): SessionTransport<StreamUser> {
    if (this.#transport === undefined) throw new Error('there is no session yet')
    return this.#transport
  }

  // === places

  /** Gives a place to a call; `waiter` hears of the connection where it is not made yet. */
  join(waiter: ConnectionWaiter): void {
    this.users++
    this.endpoint.streams++
    if (!this.connected) {
      this.#waiters.add(waiter)
      return
    }
    this.#context.wheel.suspend(this.#timer)
    if (this.#worn) this.#closing = true
  }

  /** Whether the call that has a place now is the last one, by the age of the connection or the number of its calls. */
  get #worn(): boolean {
    const { clock, config } = this.#context
    const { maxConnectionStreams } = config.http2
    if (clock.monotonic() >= this.#wornAt) return true
    return maxConnectionStreams > 0 && this.session.begun + 1 >= maxConnectionStreams
  }

  /** A call gives its place back. */
  leave(waiter: ConnectionWaiter): void {
    const hadRoom = this.open
    this.users--
    this.endpoint.streams--
    this.#waiters.delete(waiter)
    if (!hadRoom && this.open) this.#observer.room()
    if (this.users > 0) return
    if (this.#closing || this.endpoint.retired) this.close()
    else if (this.connected) this.#rest()
  }

  /** Waits for the next call. */
  #rest(): void {
    const { wheel, clock, config } = this.#context
    wheel.arm(this.#timer, config.timeouts.idle, clock.monotonic())
  }

  /** Begins a stream. Undefined where that became impossible since the place was given: it may be tried elsewhere. */
  request(
    user: StreamUser,
    fields: readonly HeaderField[],
    endStream: boolean,
  ): Http2Stream<StreamUser> | undefined {
    const session = this.#session
    return session?.open === true ? session.request(user, fields, endStream) : undefined
  }

  get session(): ClientSession<StreamUser> {
    if (this.#session === undefined) throw new Error('there is no session yet')
    return this.#session
  }

  /** No further calls; those under way go on, and the connection is closed behind the last. */
  retire(): void {
    this.#closing = true
    if (this.users === 0) this.close()
  }

  /** Ends it politely. */
  close(): void {
    if (this.#givenUp) return
    this.#closing = true
    if (this.#session !== undefined && this.connection.open) {
      this.#session.leave()
      this.#transport?.touch()
      this.#transport?.sendNow()
      this.connection.end()
    }
    this.connection.destroy()
  }

  /** It has rested for long enough; or it was made, and has not said for as long as a connection may take what it takes. */
  timerExpired(): void {
    if (this.#givenUp) this.connection.destroy()
    else if (!this.connected) this.#lose('upstream_connect_timeout')
    else if (this.users === 0) this.close()
  }

  // === of the connection

  upstreamConnected(): void {
    const { clock, config, http2, random, turnWrites, wheel } = this.#context
    this.#session = new ClientSession(this, clock.monotonic(), http2.upstream)
    this.#transport = new SessionTransport(turnWrites, this.connection.outbox, this.#session)
    this.#transport.touch()
    const { pingInterval, pingTimeout, maxConnectionAge } = config.http2
    if (maxConnectionAge > 0) this.#wornAt = clock.monotonic() + spread(maxConnectionAge, random())
    this.#keepAlive = new KeepAlive(this.#context, this, {
      interval: pingInterval,
      timeout: pingTimeout,
      most: PINGS_WITHOUT_CALLS,
    })
    wheel.arm(this.#timer, config.timeouts.connect, clock.monotonic())
  }

  upstreamData(bytes: Buffer, length: number): boolean {
    const now = this.#context.clock.monotonic()
    const { connected } = this
    this.#keepAlive?.heard(now)
    this.#session?.receive(bytes, now, length)
    if (!connected && this.connected) this.#serveWaiters()
    this.#transport?.touch()
    return true
  }

  #serveWaiters(): void {
    if (this.users > 0) this.#context.wheel.suspend(this.#timer)
    else this.#rest()
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const waiter of waiters) waiter.upstreamConnected()
  }

  upstreamHeldUp(): void {}

  upstreamDrained(): void {
    this.#transport?.drained()
  }

  upstreamEnded(): void {
    this.connection.destroy()
  }

  upstreamClosed(reason: ErrorCode): void {
    this.#context.wheel.cancel(this.#timer)
    this.#endCalls(this.#error ?? (this.connected ? reason : this.#notMade(reason)))
  }

  /**
   * There was a connection, and nobody behind it who has said a word: of a process that dies, those that it never accepted
   * end like that. Nothing was sent, so it is as if it could not be made.
   */
  #notMade(reason: ErrorCode): ErrorCode {
    if (reason !== 'upstream_reset') return reason
    this.endpoint.connectionFailed(this.#context.clock.monotonic())
    return 'upstream_connect'
  }

  #endCalls(error: ErrorCode): void {
    this.#closing = true
    this.#keepAlive?.close()
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const waiter of waiters) waiter.upstreamClosed(error)
    for (const stream of this.#session?.abandon() ?? []) {
      const user = stream.owner
      stream.owner = undefined
      user?.streamLost(error)
    }
  }

  // === of the session

  response(stream: Http2Stream<StreamUser>, section: ResponseSection, endStream: boolean): void {
    this.#keepAlive?.called()
    stream.owner?.answered(section, endStream)
  }

  // oxlint-disable-next-line eslint/max-params -- as the session tells it: no object a frame
  data(
    stream: Http2Stream<StreamUser>,
    bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
  ): void {
    this.#keepAlive?.called()
    if (stream.owner === undefined) this.#session?.consumed(stream, end - start)
    else stream.owner.streamData(bytes, start, end, endStream)
  }

  trailers(stream: Http2Stream<StreamUser>, fields: readonly HeaderField[]): void {
    stream.owner?.streamTrailers(fields)
  }

  ended(stream: Http2Stream<StreamUser>): void {
    stream.owner?.streamEnded()
  }

  reset(stream: Http2Stream<StreamUser>, code: number): void {
    const user = stream.owner
    stream.owner = undefined
    user?.streamReset(code, code === REFUSED_STREAM)
  }

  writable(stream: Http2Stream<StreamUser>): void {
    stream.owner?.streamWritable()
  }

  /** Streams above `lastStreamId` were not looked at (RFC 9113 §6.8). */
  goingAway(lastStreamId: number): void {
    this.#closing = true
    for (const stream of this.#session?.refusedAbove(lastStreamId) ?? []) {
      const user = stream.owner
      stream.owner = undefined
      user?.streamReset(NO_ERROR, true)
    }
    if (this.users === 0) this.close()
  }

  pong(): void {}

  get audible(): boolean {
    return this.#transport?.outbox.blocked !== true
  }

  ping(): void {
    this.#session?.ping(KEEP_ALIVE_PING)
    this.#transport?.touch()
  }

  vanished(): void {
    this.#observer.vanished()
    this.endpoint.connectionFailed(this.#context.clock.monotonic())
    this.#lose('upstream_timeout')
  }

  /** Its calls end at once; the deployment has a moment to read why, what it says meanwhile is thrown away. */
  failed(): void {
    const { clock, wheel } = this.#context
    this.#givenUp = true
    wheel.arm(this.#timer, LINGER_MS, clock.monotonic())
    this.#endCalls(this.connected ? 'upstream_malformed' : 'upstream_protocol')
    this.#transport?.sendLast()
    this.connection.end()
  }

  #lose(error: ErrorCode): void {
    this.#error = error
    this.connection.destroy()
  }
}
